"""``jax.value_and_grad`` without ``jit``: traced and dispatched operation by operation at every step."""

from typing import Any

import jax

from gradperf.contract import Backward, Forward, Run
from gradperf.frameworks.jax import network, stepwise
from gradperf.problems import Arrays
from gradperf.problems.training import Training


def prepare(problem: Training, inputs: Arrays, device: str, dtype: str) -> Run:
    return stepwise.prepare(problem, inputs, device, network.step_of(problem, inputs, device))


def phases(problem: Training, inputs: Arrays, device: str, dtype: str) -> tuple[Forward, Backward]:
    """``jax.vjp`` is the forward pass; the function that it returns, the backward pass."""
    loss = network.loss_of(problem, inputs, device)
    parameters = network.differentiated(problem, inputs, device)
    differentiated = problem.gradient_problem()

    def forward() -> Any:
        value, pull_back = jax.vjp(loss, parameters)
        return value.block_until_ready(), pull_back

    def backward(state: Any) -> dict[str, Any]:
        value, pull_back = state
        (gradients,) = pull_back(jax.numpy.ones_like(value))
        return jax.block_until_ready(differentiated.outputs(value.reshape(1), [], gradients))

    return forward, backward
