"""Row by column: an elementwise product and a sum for every entry."""

import torch

from gradperf.contract import Run
from gradperf.frameworks.torch.runtime import from_numpy, synchronize
from gradperf.problems import Arrays
from gradperf.problems.matmul import Matmul, too_many_calls

UNCOUNTED = "it multiplies entries, and makes no matrix product"


def supports(problem: Matmul, device: str, dtype: str) -> str | None:
    return too_many_calls(problem.m * problem.n)


def prepare(problem: Matmul, inputs: Arrays, device: str, dtype: str) -> Run:
    a, b = (from_numpy(inputs[name], device) for name in ("a", "b"))

    def run() -> dict[str, torch.Tensor]:
        for _ in range(problem.steps):
            c = torch.zeros(problem.m, problem.n, dtype=a.dtype, device=device)
            for i in range(problem.m):
                for j in range(problem.n):
                    c[i, j] = (a[i, :] * b[:, j]).sum()
        synchronize(device)
        return {"product": c}

    return run
