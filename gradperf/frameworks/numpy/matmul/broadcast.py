"""Row by matrix: a row broadcast against the whole second matrix, then summed."""

import numpy as np

from gradperf.frameworks.contract import Array, Arrays, Run
from gradperf.problems.matmul import Matmul

UNCOUNTED = "it multiplies entries, and makes no matrix product"
PRODUCTS = "none"


def repeats(problem: Matmul) -> int:
    return problem.m


def product(a: Array, b: Array) -> Array:
    """(m, k) and (k, n) → (m, n)."""
    c = np.zeros((len(a), b.shape[1]), a.dtype)
    for i in range(len(a)):
        c[i] = (a[i, :, None] * b).sum(axis=0)
    return c


def prepare(problem: Matmul, inputs: Arrays, device: str, dtype: str) -> Run:
    left, b = list(inputs["a"]), inputs["b"]
    return lambda steps=None: {"product": [product(a, b) for a in left[:steps]]}
