"""The ``@`` operator, compiled by XLA (``jit_compile=True``)."""

from operator import matmul

from gradperf.frameworks.contract import Arrays, Run
from gradperf.frameworks.tensorflow import single
from gradperf.frameworks.tensorflow.calling import compiled
from gradperf.problems.matmul import Matmul

EXECUTION = "xla"


def prepare(problem: Matmul, inputs: Arrays, device: str, dtype: str) -> Run:
    return single.prepare("product", matmul, device, inputs["a"], [inputs["b"]], compiled)
