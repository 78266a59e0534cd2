"""``jax.lax.scan`` under ``jit``: the whole training is one compiled loop.

Without the barrier XLA would move constant work out of the loop, such as the powers of the polynomial's x. The
problem asks for them at every step (0.90 µs per step, 0.66 µs without).
"""

from functools import partial
from typing import Any

import jax

from gradperf.frameworks.contract import Arrays, Run
from gradperf.frameworks.jax import network
from gradperf.problems.training import Training

EXECUTION = "one program"
CALLS = ("scan", "value_and_grad")


def prepare(problem: Training, inputs: Arrays, device: str, dtype: str) -> Run:
    step = network.step_of(problem)
    initial, x, y = network.on_device(problem, inputs, device)

    @partial(jax.jit, static_argnums=3)
    def train(parameters: Any, x: jax.Array, y: jax.Array, steps: int) -> Any:
        def body(carry: Any, _: None) -> Any:
            (parameters, state), x_now = jax.lax.optimization_barrier((carry, x))
            parameters, state, loss, gradients = step(parameters, state, x_now, y)
            return (parameters, state), (loss, gradients)

        start = (parameters, network.start(problem, initial))
        (parameters, _), (losses, gradients) = jax.lax.scan(body, start, length=steps)
        return problem.outputs(losses, parameters, [gradient[-1] for gradient in gradients or []])

    return lambda steps=problem.steps: jax.block_until_ready(train(initial, x, y, steps))
