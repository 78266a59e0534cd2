"""Three nested Python loops over the entries of tensors: the definition."""

import torch

from gradperf.frameworks.contract import Arrays, Run
from gradperf.frameworks.torch.runtime import from_numpy, synchronized
from gradperf.problems.matmul import Matmul, too_many_calls

UNCOUNTED = "it multiplies entries, and makes no matrix product"
PRODUCTS = "none"


def repeats(problem: Matmul) -> int:
    return problem.m * problem.k * problem.n


def supports(problem: Matmul, device: str, dtype: str) -> str | None:
    return too_many_calls(repeats(problem))


def product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """(m, k) and (k, n) → (m, n)."""
    (m, inner), (_, n) = a.shape, b.shape
    c = torch.zeros(m, n, dtype=a.dtype, device=a.device)
    for i in range(m):
        for j in range(n):
            for k in range(inner):
                c[i, j] += a[i, k] * b[k, j]
    return c


def prepare(problem: Matmul, inputs: Arrays, device: str, dtype: str) -> Run:
    left, b = list(from_numpy(inputs["a"], device)), from_numpy(inputs["b"], device)
    return lambda steps=None: {"product": synchronized([product(a, b) for a in left[:steps]], device)}
