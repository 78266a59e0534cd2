"""Row by matrix: a row broadcast against the whole second matrix, then summed; the loop over rows is in Python."""

import jax
import jax.numpy as jnp

from gradperf.contract import Run
from gradperf.frameworks.jax.runtime import from_numpy
from gradperf.problems import Arrays
from gradperf.problems.matmul import Matmul


def prepare(problem: Matmul, inputs: Arrays, device: str, dtype: str) -> Run:
    a, b = (from_numpy(inputs[name], device) for name in ("a", "b"))

    def run() -> dict[str, jax.Array]:
        rows = [(a[i, :, None] * b).sum(axis=0) for i in range(problem.m)]
        return {"product": jnp.stack(rows).block_until_ready()}

    return run
