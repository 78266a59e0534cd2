"""``jax.jit`` of one step, loss, gradients and update, called from a Python loop."""

import jax

from gradperf.frameworks.contract import Arrays, Run
from gradperf.frameworks.jax import network, stepwise
from gradperf.problems.training import Training

EXECUTION = "jit"
CALLS = ("value_and_grad",)


def prepare(problem: Training, inputs: Arrays, device: str, dtype: str) -> Run:
    return stepwise.prepare(problem, inputs, device, jax.jit(network.step_of(problem)))
