"""The ``@`` operator: one call to BLAS."""

from typing import Any

from gradperf.contract import Run
from gradperf.problems import Arrays
from gradperf.problems.matmul import Matmul


def prepare(problem: Matmul, inputs: Arrays, device: str, dtype: str) -> Run:
    a, b = inputs["a"], inputs["b"]

    def run() -> dict[str, Any]:
        for _ in range(problem.steps):
            c = a @ b
        return {"product": c}

    return run
