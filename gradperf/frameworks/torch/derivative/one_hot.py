"""One backward pass for every point, each with a one-hot output vector: the slow way that a notebook shows."""

from typing import Any

import torch

from gradperf.contract import Run
from gradperf.frameworks.torch.runtime import from_numpy, synchronize
from gradperf.problems import Arrays
from gradperf.problems.derivative import SineDerivative


def prepare(problem: SineDerivative, inputs: Arrays, device: str, dtype: str) -> Run:
    x: Any = from_numpy(inputs["x"], device).requires_grad_()
    one_hot = torch.eye(problem.points, dtype=x.dtype, device=device)

    def run() -> dict[str, torch.Tensor]:
        for _ in range(problem.steps):
            y = torch.sin(x)
            derivative = torch.empty_like(y)
            for i, vector in enumerate(one_hot):
                x.grad = None
                y.backward(vector, retain_graph=True)
                derivative[i] = x.grad[i]
        synchronize(device)
        return {"grad_x": derivative}

    return run
