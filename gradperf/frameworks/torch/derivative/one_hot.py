"""One backward pass for every point, each with a one-hot output vector: a slow way that a notebook shows."""

from typing import Any

import torch

from gradperf.frameworks.contract import Arrays, Run
from gradperf.frameworks.torch.runtime import from_numpy, synchronized
from gradperf.problems.derivative import SineDerivative

CALLS = ("backward",)


def repeats(problem: SineDerivative) -> int:
    return problem.points


def prepare(problem: SineDerivative, inputs: Arrays, device: str, dtype: str) -> Run:
    points = [from_numpy(x, device).requires_grad_() for x in inputs["x"]]
    one_hot = torch.eye(problem.points, dtype=points[0].dtype, device=device)

    def derivative_at(x: Any) -> torch.Tensor:
        y = torch.sin(x)
        derivative = torch.empty_like(y)
        for i, vector in enumerate(one_hot):
            x.grad = None
            y.backward(vector, retain_graph=True)
            derivative[i] = x.grad[i]
        return derivative

    return lambda steps=None: {"grad_x": synchronized([derivative_at(x) for x in points[:steps]], device)}
