"""Trains by calling a step from a Python loop."""

from typing import Any

import jax
import jax.numpy as jnp

from gradperf.frameworks.contract import Arrays, Run
from gradperf.frameworks.jax import network
from gradperf.problems.training import Training


def prepare(problem: Training, inputs: Arrays, device: str, step: network.Step) -> Run:
    """Return the training that calls ``step``."""
    initial, x, y = network.on_device(problem, inputs, device)

    def run(steps: int = problem.steps) -> dict[str, Any]:
        parameters, state, losses = initial, network.start(problem, initial), []
        for _ in range(steps):
            parameters, state, loss, gradients = step(parameters, state, x, y)
            losses.append(loss)
        outputs = problem.outputs(jnp.stack(losses), parameters, gradients or [])
        return jax.block_until_ready(outputs)

    return run
