"""``torch.func.vmap`` of ``grad``: the derivative of a scalar function, mapped over the points."""

import torch

from gradperf.frameworks.contract import Arrays, Run
from gradperf.frameworks.torch.runtime import from_numpy, synchronized
from gradperf.problems.derivative import SineDerivative

CALLS = ("grad", "vmap")


def prepare(problem: SineDerivative, inputs: Arrays, device: str, dtype: str) -> Run:
    points = [from_numpy(x, device) for x in inputs["x"]]
    derivative_at = torch.func.vmap(torch.func.grad(torch.sin))
    return lambda steps=None: {"grad_x": synchronized([derivative_at(x) for x in points[:steps]], device)}
