"""Three nested Python loops over scalars: the definition."""

import numpy as np

from gradperf.frameworks.contract import Array, Arrays, Run
from gradperf.problems.matmul import Matmul, too_many_calls

UNCOUNTED = "it multiplies entries, and makes no matrix product"
PRODUCTS = "none"


def repeats(problem: Matmul) -> int:
    return problem.m * problem.k * problem.n


def supports(problem: Matmul, device: str, dtype: str) -> str | None:
    return too_many_calls(repeats(problem))


def product(a: Array, b: Array) -> Array:
    """(m, k) and (k, n) → (m, n)."""
    (m, inner), (_, n) = a.shape, b.shape
    c = np.zeros((m, n), a.dtype)
    for i in range(m):
        for j in range(n):
            for k in range(inner):
                c[i, j] += a[i, k] * b[k, j]
    return c


def prepare(problem: Matmul, inputs: Arrays, device: str, dtype: str) -> Run:
    left, b = list(inputs["a"]), inputs["b"]
    return lambda steps=None: {"product": [product(a, b) for a in left[:steps]]}
