"""One step as a ``tf.function`` compiled by XLA (``jit_compile=True``), called from a Python loop."""

from gradperf.frameworks.contract import Arrays, Run
from gradperf.frameworks.tensorflow import by_tape
from gradperf.frameworks.tensorflow.calling import compiled
from gradperf.problems.training import Training

EXECUTION = "xla"
CALLS = ("gradient",)


def prepare(problem: Training, inputs: Arrays, device: str, dtype: str) -> Run:
    return by_tape.prepare(problem, inputs, device, dtype, compiled)
