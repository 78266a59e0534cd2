"""Backpropagation by hand as in the notebooks: matrix products, and a new array for every result."""

from gradperf.frameworks.contract import Array, Arrays, Backward, Forward, Run
from gradperf.frameworks.numpy import backprop
from gradperf.problems.training import Training


def weight_gradient(a: Array, delta: Array) -> Array:
    """Return one matrix product over the batch."""
    return a.T @ delta


def prepare(problem: Training, inputs: Arrays, device: str, dtype: str) -> Run:
    return backprop.prepare(problem, inputs, weight_gradient)


def phases(problem: Training, inputs: Arrays, device: str, dtype: str) -> tuple[Forward, Backward]:
    return backprop.phases(problem, inputs, weight_gradient)
