"""``torch.einsum``, the product spelled in indices."""

import torch

from gradperf.contract import Run
from gradperf.frameworks.torch.runtime import from_numpy, synchronize
from gradperf.problems import Arrays
from gradperf.problems.matmul import Matmul


def prepare(problem: Matmul, inputs: Arrays, device: str, dtype: str) -> Run:
    a, b = (from_numpy(inputs[name], device) for name in ("a", "b"))

    def run() -> dict[str, torch.Tensor]:
        for _ in range(problem.steps):
            c = torch.einsum("ik,kj->ij", a, b)
        synchronize(device)
        return {"product": c}

    return run
