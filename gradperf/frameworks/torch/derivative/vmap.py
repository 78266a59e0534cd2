"""``torch.func.vmap`` of ``grad``: the derivative of a scalar function, mapped over the points."""

import torch

from gradperf.contract import Run
from gradperf.frameworks.torch.runtime import from_numpy, synchronize
from gradperf.problems import Arrays
from gradperf.problems.derivative import SineDerivative


def prepare(problem: SineDerivative, inputs: Arrays, device: str, dtype: str) -> Run:
    x = from_numpy(inputs["x"], device)
    derivative_at = torch.func.vmap(torch.func.grad(torch.sin))

    def run() -> dict[str, torch.Tensor]:
        for _ in range(problem.steps):
            derivative = derivative_at(x)
        synchronize(device)
        return {"grad_x": derivative}

    return run
