"""The ``@`` operator under ``jax.jit``."""

import jax

from gradperf.frameworks.contract import Arrays, Run
from gradperf.frameworks.jax.runtime import from_numpy
from gradperf.problems.matmul import Matmul

EXECUTION = "jit"


def prepare(problem: Matmul, inputs: Arrays, device: str, dtype: str) -> Run:
    left, b = [from_numpy(a, device) for a in inputs["a"]], from_numpy(inputs["b"], device)
    product = jax.jit(lambda a, b: a @ b)
    return lambda steps=None: {"product": jax.block_until_ready([product(a, b) for a in left[:steps]])}
