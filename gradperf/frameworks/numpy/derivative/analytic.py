"""The analytic derivative: cos x."""

import numpy as np

from gradperf.frameworks.contract import Arrays, Run
from gradperf.problems.derivative import SineDerivative


def prepare(problem: SineDerivative, inputs: Arrays, device: str, dtype: str) -> Run:
    points = list(inputs["x"])
    return lambda steps=None: {"grad_x": [np.cos(x) for x in points[:steps]]}
