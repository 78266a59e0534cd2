"""``torch.func.vmap`` of ``grad``: the derivative of a scalar function, mapped over the points."""

from typing import Any

import torch

from gradperf.frameworks.contract import Run
from gradperf.frameworks.torch.runtime import from_numpy, synchronize
from gradperf.problems import Arrays
from gradperf.problems.derivative import SineDerivative


def prepare(problem: SineDerivative, inputs: Arrays, device: str, dtype: str) -> Run:
    points = [from_numpy(x, device) for x in inputs["x"]]
    derivative_at = torch.func.vmap(torch.func.grad(torch.sin))

    def run() -> dict[str, Any]:
        derivatives = [derivative_at(x) for x in points]
        synchronize(device)
        return {"grad_x": derivatives}

    return run
