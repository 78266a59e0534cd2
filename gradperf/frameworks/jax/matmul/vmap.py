"""``jax.vmap`` over the rows: row by matrix, batched by the framework."""

import jax

from gradperf.frameworks.contract import Arrays, Run
from gradperf.frameworks.jax.runtime import from_numpy
from gradperf.problems.matmul import Matmul

EXECUTION = "jit"
CALLS = ("vmap",)


def prepare(problem: Matmul, inputs: Arrays, device: str, dtype: str) -> Run:
    left, b = [from_numpy(a, device) for a in inputs["a"]], from_numpy(inputs["b"], device)
    product = jax.jit(jax.vmap(lambda row, b: row @ b, in_axes=(0, None)))
    return lambda steps=None: {"product": jax.block_until_ready([product(a, b) for a in left[:steps]])}
