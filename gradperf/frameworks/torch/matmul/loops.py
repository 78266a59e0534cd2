"""Three nested Python loops over the entries of tensors: the definition."""

import torch

from gradperf.contract import Run
from gradperf.frameworks.torch.runtime import from_numpy, synchronize
from gradperf.problems import Arrays
from gradperf.problems.matmul import Matmul, too_many_calls

UNCOUNTED = "it multiplies entries, and makes no matrix product"


def supports(problem: Matmul, device: str, dtype: str) -> str | None:
    return too_many_calls(problem.m * problem.k * problem.n)


def prepare(problem: Matmul, inputs: Arrays, device: str, dtype: str) -> Run:
    a, b = (from_numpy(inputs[name], device) for name in ("a", "b"))

    def run() -> dict[str, torch.Tensor]:
        for _ in range(problem.steps):
            c = torch.zeros(problem.m, problem.n, dtype=a.dtype, device=device)
            for i in range(problem.m):
                for j in range(problem.n):
                    for k in range(problem.k):
                        c[i, j] += a[i, k] * b[k, j]
        synchronize(device)
        return {"product": c}

    return run
