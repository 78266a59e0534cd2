"""Row by matrix: a row broadcast against the whole second matrix, then summed."""

import torch

from gradperf.contract import Run
from gradperf.frameworks.torch.runtime import from_numpy, synchronize
from gradperf.problems import Arrays
from gradperf.problems.matmul import Matmul

UNCOUNTED = "it multiplies entries, and makes no matrix product"


def prepare(problem: Matmul, inputs: Arrays, device: str, dtype: str) -> Run:
    a, b = (from_numpy(inputs[name], device) for name in ("a", "b"))

    def run() -> dict[str, torch.Tensor]:
        for _ in range(problem.steps):
            c = torch.zeros(problem.m, problem.n, dtype=a.dtype, device=device)
            for i in range(problem.m):
                c[i] = (a[i, :, None] * b).sum(0)
        synchronize(device)
        return {"product": c}

    return run
