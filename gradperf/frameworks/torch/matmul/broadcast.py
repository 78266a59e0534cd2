"""Row by matrix: a row broadcast against the whole second matrix, then summed."""

import torch

from gradperf.frameworks.contract import Arrays, Run
from gradperf.frameworks.torch.runtime import from_numpy, synchronized
from gradperf.problems.matmul import Matmul

UNCOUNTED = "it multiplies entries, and makes no matrix product"
PRODUCTS = "none"


def repeats(problem: Matmul) -> int:
    return problem.m


def product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """(m, k) and (k, n) → (m, n)."""
    c = torch.zeros(len(a), b.shape[1], dtype=a.dtype, device=a.device)
    for i in range(len(a)):
        c[i] = (a[i, :, None] * b).sum(0)
    return c


def prepare(problem: Matmul, inputs: Arrays, device: str, dtype: str) -> Run:
    left, b = list(from_numpy(inputs["a"], device)), from_numpy(inputs["b"], device)
    return lambda steps=None: {"product": synchronized([product(a, b) for a in left[:steps]], device)}
