"""``np.einsum``, the product spelled in indices."""

import numpy as np

from gradperf.frameworks.contract import Arrays, Run
from gradperf.problems.matmul import Matmul

CALLS = ("einsum",)


def prepare(problem: Matmul, inputs: Arrays, device: str, dtype: str) -> Run:
    left, b = list(inputs["a"]), inputs["b"]
    return lambda steps=None: {"product": [np.einsum("ik,kj->ij", a, b) for a in left[:steps]]}
