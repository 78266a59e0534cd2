"""Row by matrix: a row broadcast against the whole second matrix, then summed; the loop over rows is in Python."""

import jax
import jax.numpy as jnp

from gradperf.contract import Run
from gradperf.frameworks.jax.runtime import from_numpy
from gradperf.problems import Arrays
from gradperf.problems.matmul import Matmul

UNCOUNTED = "it multiplies entries, and makes no matrix product"


def prepare(problem: Matmul, inputs: Arrays, device: str, dtype: str) -> Run:
    a, b = (from_numpy(inputs[name], device) for name in ("a", "b"))

    def run() -> dict[str, jax.Array]:
        products = [
            jnp.stack([(a[i, :, None] * b).sum(axis=0) for i in range(problem.m)]) for _ in range(problem.steps)
        ]
        return {"product": jax.block_until_ready(products)[-1]}

    return run
