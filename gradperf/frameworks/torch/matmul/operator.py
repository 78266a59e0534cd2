"""The ``@`` operator, which is ``torch.matmul``: the framework's own product."""

from typing import Any

from gradperf.frameworks.contract import Run
from gradperf.frameworks.torch.runtime import from_numpy, synchronize
from gradperf.problems import Arrays
from gradperf.problems.matmul import Matmul


def prepare(problem: Matmul, inputs: Arrays, device: str, dtype: str) -> Run:
    left, b = list(from_numpy(inputs["a"], device)), from_numpy(inputs["b"], device)

    def run() -> dict[str, Any]:
        products = [a @ b for a in left]
        synchronize(device)
        return {"product": products}

    return run
