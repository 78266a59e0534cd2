"""The forward pass in tensor operations, the backward pass by autograd, an explicit update."""

from gradperf.frameworks.contract import Arrays, Backward, Forward, Run
from gradperf.frameworks.torch import by_autograd, network
from gradperf.problems.training import Training

CALLS = ("backward",)


def prepare(problem: Training, inputs: Arrays, device: str, dtype: str) -> Run:
    return by_autograd.prepare(problem, inputs, device, network.loss_of)


def phases(problem: Training, inputs: Arrays, device: str, dtype: str) -> tuple[Forward, Backward]:
    return by_autograd.phases(problem, inputs, device, network.loss_of)
