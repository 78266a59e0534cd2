"""``jnp.einsum``, the product spelled in indices."""

import jax
import jax.numpy as jnp

from gradperf.contract import Run
from gradperf.frameworks.jax.runtime import from_numpy
from gradperf.problems import Arrays
from gradperf.problems.matmul import Matmul


def prepare(problem: Matmul, inputs: Arrays, device: str, dtype: str) -> Run:
    a, b = (from_numpy(inputs[name], device) for name in ("a", "b"))

    def run() -> dict[str, jax.Array]:
        return {"product": jnp.einsum("ik,kj->ij", a, b).block_until_ready()}

    return run
