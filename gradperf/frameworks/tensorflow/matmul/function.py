"""The ``@`` operator in a ``tf.function``: the framework's own product, in a graph of its own."""

from operator import matmul

from gradperf.frameworks.contract import Arrays, Run
from gradperf.frameworks.tensorflow import single
from gradperf.frameworks.tensorflow.calling import traced
from gradperf.problems.matmul import Matmul

EXECUTION = "graph"


def prepare(problem: Matmul, inputs: Arrays, device: str, dtype: str) -> Run:
    return single.prepare("product", matmul, device, inputs["a"], [inputs["b"]], traced)
