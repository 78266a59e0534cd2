"""One backward pass with a vector of ones: sin acts on each point alone, so all derivatives come at once."""

import torch

from gradperf.contract import Run
from gradperf.frameworks.torch.runtime import from_numpy, synchronize
from gradperf.problems import Arrays
from gradperf.problems.derivative import SineDerivative


def prepare(problem: SineDerivative, inputs: Arrays, device: str, dtype: str) -> Run:
    x = from_numpy(inputs["x"], device).requires_grad_()
    ones = torch.ones_like(x)

    def run() -> dict[str, torch.Tensor | None]:
        for _ in range(problem.steps):
            x.grad = None
            torch.sin(x).backward(ones)
        synchronize(device)
        return {"grad_x": x.grad}

    return run
