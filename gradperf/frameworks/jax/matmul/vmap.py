"""``jax.vmap`` over the rows: row by matrix, batched by the framework."""

import jax

from gradperf.contract import Run
from gradperf.frameworks.jax.runtime import from_numpy
from gradperf.problems import Arrays
from gradperf.problems.matmul import Matmul


def prepare(problem: Matmul, inputs: Arrays, device: str, dtype: str) -> Run:
    a, b = (from_numpy(inputs[name], device) for name in ("a", "b"))
    product = jax.jit(jax.vmap(lambda row, b: row @ b, in_axes=(0, None)))

    def run() -> dict[str, jax.Array]:
        products = [product(a, b) for _ in range(problem.steps)]
        return {"product": jax.block_until_ready(products)[-1]}

    return run
