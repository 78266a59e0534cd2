"""``ones`` in a ``tf.function``: its backward pass, traced into a graph."""

from gradperf.frameworks.contract import Arrays, Run
from gradperf.frameworks.tensorflow import single
from gradperf.frameworks.tensorflow.calling import traced
from gradperf.frameworks.tensorflow.derivative.ones import derivative
from gradperf.problems.derivative import SineDerivative

EXECUTION = "graph"
CALLS = ("gradient",)


def prepare(problem: SineDerivative, inputs: Arrays, device: str, dtype: str) -> Run:
    return single.prepare("grad_x", derivative, device, inputs["x"], call_as=traced)
