"""One step as a ``tf.function``: tape and update traced into one graph, called from a Python loop."""

from gradperf.frameworks.contract import Arrays, Run
from gradperf.frameworks.tensorflow import by_tape
from gradperf.frameworks.tensorflow.calling import traced
from gradperf.problems.training import Training

EXECUTION = "graph"
CALLS = ("gradient",)


def prepare(problem: Training, inputs: Arrays, device: str, dtype: str) -> Run:
    return by_tape.prepare(problem, inputs, device, dtype, traced)
