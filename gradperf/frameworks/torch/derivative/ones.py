"""One backward pass with a vector of ones: sin acts on each point alone, so all derivatives come at once."""

from typing import Any

import torch

from gradperf.frameworks.contract import Arrays, Run
from gradperf.frameworks.torch.runtime import from_numpy, synchronized
from gradperf.problems.derivative import SineDerivative

CALLS = ("backward",)


def prepare(problem: SineDerivative, inputs: Arrays, device: str, dtype: str) -> Run:
    points = [from_numpy(x, device).requires_grad_() for x in inputs["x"]]
    ones = torch.ones_like(points[0])

    def run(steps: int | None = None) -> dict[str, Any]:
        for x in points[:steps]:
            x.grad = None
            torch.sin(x).backward(ones)
        return {"grad_x": synchronized([x.grad for x in points[:steps]], device)}

    return run
