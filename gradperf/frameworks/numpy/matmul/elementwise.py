"""Row by column: an elementwise product and a sum for every entry."""

import numpy as np

from gradperf.frameworks.contract import Array, Arrays, Run
from gradperf.problems.matmul import Matmul, too_many_calls

UNCOUNTED = "it multiplies entries, and makes no matrix product"
PRODUCTS = "none"


def repeats(problem: Matmul) -> int:
    return problem.m * problem.n


def supports(problem: Matmul, device: str, dtype: str) -> str | None:
    return too_many_calls(repeats(problem))


def product(a: Array, b: Array) -> Array:
    """(m, k) and (k, n) → (m, n)."""
    (m, _), (_, n) = a.shape, b.shape
    c = np.zeros((m, n), a.dtype)
    for i in range(m):
        for j in range(n):
            c[i, j] = (a[i, :] * b[:, j]).sum()
    return c


def prepare(problem: Matmul, inputs: Arrays, device: str, dtype: str) -> Run:
    left, b = list(inputs["a"]), inputs["b"]
    return lambda steps=None: {"product": [product(a, b) for a in left[:steps]]}
