"""The analytic derivative: cos x."""

from typing import Any

import numpy as np

from gradperf.frameworks.contract import Run
from gradperf.problems import Arrays
from gradperf.problems.derivative import SineDerivative


def prepare(problem: SineDerivative, inputs: Arrays, device: str, dtype: str) -> Run:
    points = list(inputs["x"])

    def run() -> dict[str, Any]:
        return {"grad_x": [np.cos(x) for x in points]}

    return run
