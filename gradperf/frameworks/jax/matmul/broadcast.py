"""Row by matrix: a row broadcast against the whole second matrix, then summed; the loop over rows is in Python."""

import jax
import jax.numpy as jnp

from gradperf.frameworks.contract import Arrays, Run
from gradperf.frameworks.jax.runtime import from_numpy
from gradperf.problems.matmul import Matmul

EXECUTION = "unknown"  # JAX reads a large array in pieces when it is iterated, which cannot be traced
UNCOUNTED = "it multiplies entries, and makes no matrix product"
PRODUCTS = "none"


def repeats(problem: Matmul) -> int:
    return problem.m


def product(a: jax.Array, b: jax.Array) -> jax.Array:
    """(m, k) and (k, n) → (m, n)."""
    return jnp.stack([(row[:, None] * b).sum(axis=0) for row in a])


def prepare(problem: Matmul, inputs: Arrays, device: str, dtype: str) -> Run:
    left, b = [from_numpy(a, device) for a in inputs["a"]], from_numpy(inputs["b"], device)
    return lambda steps=None: {"product": jax.block_until_ready([product(a, b) for a in left[:steps]])}
