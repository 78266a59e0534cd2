"""``np.einsum``, the product spelled in indices."""

from typing import Any

import numpy as np

from gradperf.frameworks.contract import Run
from gradperf.problems import Arrays
from gradperf.problems.matmul import Matmul


def prepare(problem: Matmul, inputs: Arrays, device: str, dtype: str) -> Run:
    left, b = list(inputs["a"]), inputs["b"]

    def run() -> dict[str, Any]:
        return {"product": [np.einsum("ik,kj->ij", a, b) for a in left]}

    return run
