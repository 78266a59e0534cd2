"""The derivative known from the calculus: cos x."""

import numpy as np

from gradperf.contract import Run
from gradperf.problems import Arrays
from gradperf.problems.derivative import SineDerivative


def prepare(problem: SineDerivative, inputs: Arrays, device: str, dtype: str) -> Run:
    x = inputs["x"]
    return lambda: {"grad_x": np.cos(x)}
