"""``jax.vmap`` of ``jax.grad``, jitted: the derivative of a scalar function, mapped over the points."""

import jax
import jax.numpy as jnp

from gradperf.frameworks.contract import Arrays, Run
from gradperf.frameworks.jax.runtime import from_numpy
from gradperf.problems.derivative import SineDerivative

EXECUTION = "jit"
CALLS = ("grad", "vmap")


def prepare(problem: SineDerivative, inputs: Arrays, device: str, dtype: str) -> Run:
    points = [from_numpy(x, device) for x in inputs["x"]]
    derivative_at = jax.jit(jax.vmap(jax.grad(jnp.sin)))
    return lambda steps=None: {"grad_x": jax.block_until_ready([derivative_at(x) for x in points[:steps]])}
