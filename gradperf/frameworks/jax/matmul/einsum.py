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
        products = [jnp.einsum("ik,kj->ij", a, b) for _ in range(problem.steps)]
        return {"product": jax.block_until_ready(products)[-1]}

    return run
