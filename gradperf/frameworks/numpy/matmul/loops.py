"""Three nested Python loops over scalars: the definition."""

from typing import Any

import numpy as np

from gradperf.contract import Run
from gradperf.problems import Arrays
from gradperf.problems.matmul import Matmul, too_many_calls

UNCOUNTED = "it multiplies entries, and makes no matrix product"


def supports(problem: Matmul, device: str, dtype: str) -> str | None:
    return too_many_calls(problem.m * problem.k * problem.n)


def prepare(problem: Matmul, inputs: Arrays, device: str, dtype: str) -> Run:
    a, b = inputs["a"], inputs["b"]

    def run() -> dict[str, Any]:
        for _ in range(problem.steps):
            c = np.zeros((problem.m, problem.n), a.dtype)
            for i in range(problem.m):
                for j in range(problem.n):
                    for k in range(problem.k):
                        c[i, j] += a[i, k] * b[k, j]
        return {"product": c}

    return run
