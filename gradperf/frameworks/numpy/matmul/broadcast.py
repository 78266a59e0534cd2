"""Row by matrix: a row broadcast against the whole second matrix, then summed."""

from typing import Any

import numpy as np

from gradperf.contract import Run
from gradperf.problems import Arrays
from gradperf.problems.matmul import Matmul

UNCOUNTED = "it multiplies entries, and makes no matrix product"


def prepare(problem: Matmul, inputs: Arrays, device: str, dtype: str) -> Run:
    a, b = inputs["a"], inputs["b"]

    def run() -> dict[str, Any]:
        for _ in range(problem.steps):
            c = np.zeros((problem.m, problem.n), a.dtype)
            for i in range(problem.m):
                c[i] = (a[i, :, None] * b).sum(axis=0)
        return {"product": c}

    return run
