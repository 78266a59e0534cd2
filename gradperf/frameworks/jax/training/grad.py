"""``jax.value_and_grad`` without ``jit``: traced and dispatched operation by operation at every step."""

from typing import Any

import jax

from gradperf.frameworks.contract import Arrays, Backward, Forward, Run
from gradperf.frameworks.jax import network, stepwise
from gradperf.problems.training import Training

CALLS = ("value_and_grad",)


def prepare(problem: Training, inputs: Arrays, device: str, dtype: str) -> Run:
    return stepwise.prepare(problem, inputs, device, network.step_of(problem))


def phases(problem: Training, inputs: Arrays, device: str, dtype: str) -> tuple[Forward, Backward]:
    """``jax.vjp`` is the forward pass; the function that it returns is the backward pass."""
    loss_of = network.loss_of(problem)
    parameters, x, y = network.on_device(problem, inputs, device)
    differentiated = problem.gradient_problem()

    def forward() -> Any:
        if problem.input_gradient:
            loss, pull_back = jax.vjp(lambda p, x: loss_of(p, x, y), parameters, x)
        else:
            loss, pull_back = jax.vjp(lambda p: loss_of(p, x, y), parameters)
        return jax.block_until_ready((loss, pull_back))

    def backward(state: Any) -> dict[str, Any]:
        loss, pull_back = state
        by_parameters, *by_x = pull_back(jax.numpy.ones_like(loss))
        return jax.block_until_ready(differentiated.outputs(loss.reshape(1), [], [*by_parameters, *by_x]))

    return forward, backward
