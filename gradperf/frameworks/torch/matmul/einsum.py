"""``torch.einsum``, the product spelled in indices."""

import torch

from gradperf.frameworks.contract import Arrays, Run
from gradperf.frameworks.torch.runtime import from_numpy, synchronized
from gradperf.problems.matmul import Matmul

CALLS = ("einsum",)


def prepare(problem: Matmul, inputs: Arrays, device: str, dtype: str) -> Run:
    left, b = list(from_numpy(inputs["a"], device)), from_numpy(inputs["b"], device)
    return lambda steps=None: {
        "product": synchronized([torch.einsum("ik,kj->ij", a, b) for a in left[:steps]], device)
    }
