"""The derivative known from the calculus: cos x."""

from typing import Any

import numpy as np

from gradperf.contract import Run
from gradperf.problems import Arrays
from gradperf.problems.derivative import SineDerivative


def prepare(problem: SineDerivative, inputs: Arrays, device: str, dtype: str) -> Run:
    x = inputs["x"]

    def run() -> dict[str, Any]:
        for _ in range(problem.steps):
            derivative = np.cos(x)
        return {"grad_x": derivative}

    return run
