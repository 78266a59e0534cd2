"""Row by column: an elementwise product and a sum for every entry."""

from typing import Any

import numpy as np

from gradperf.contract import Run
from gradperf.problems import Arrays
from gradperf.problems.matmul import Matmul, too_many_calls

UNCOUNTED = "it multiplies entries, and makes no matrix product"


def supports(problem: Matmul, device: str, dtype: str) -> str | None:
    return too_many_calls(problem.m * problem.n)


def prepare(problem: Matmul, inputs: Arrays, device: str, dtype: str) -> Run:
    a, b = inputs["a"], inputs["b"]

    def run() -> dict[str, Any]:
        for _ in range(problem.steps):
            c = np.zeros((problem.m, problem.n), a.dtype)
            for i in range(problem.m):
                for j in range(problem.n):
                    c[i, j] = (a[i, :] * b[:, j]).sum()
        return {"product": c}

    return run
