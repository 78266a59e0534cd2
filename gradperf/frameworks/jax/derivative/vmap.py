"""``jax.vmap`` of ``jax.grad``, jitted: the derivative of a scalar function, mapped over the points."""

import jax
import jax.numpy as jnp

from gradperf.contract import Run
from gradperf.frameworks.jax.runtime import from_numpy
from gradperf.problems import Arrays
from gradperf.problems.derivative import SineDerivative


def prepare(problem: SineDerivative, inputs: Arrays, device: str, dtype: str) -> Run:
    x = from_numpy(inputs["x"], device)
    derivative_at = jax.jit(jax.vmap(jax.grad(jnp.sin)))

    def run() -> dict[str, jax.Array]:
        derivatives = [derivative_at(x) for _ in range(problem.steps)]
        return {"grad_x": jax.block_until_ready(derivatives)[-1]}

    return run
