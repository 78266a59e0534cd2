"""``jnp.einsum``, the product spelled in indices."""

import jax
import jax.numpy as jnp

from gradperf.frameworks.contract import Arrays, Run
from gradperf.frameworks.jax.runtime import from_numpy
from gradperf.problems.matmul import Matmul

CALLS = ("einsum",)


def prepare(problem: Matmul, inputs: Arrays, device: str, dtype: str) -> Run:
    left, b = [from_numpy(a, device) for a in inputs["a"]], from_numpy(inputs["b"], device)
    return lambda steps=None: {
        "product": jax.block_until_ready([jnp.einsum("ik,kj->ij", a, b) for a in left[:steps]])
    }
