"""One backward pass with a vector of ones: sin acts on each point alone, so all derivatives come at once."""

from typing import Any

import tensorflow as tf

from gradperf.frameworks.contract import Arrays, Run
from gradperf.frameworks.tensorflow import single
from gradperf.problems.derivative import SineDerivative

CALLS = ("gradient",)


def derivative(x: Any) -> Any:
    """Return the derivative; ones are the default output gradient of the tape."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.sin(x)
    return tape.gradient(y, x)


def prepare(problem: SineDerivative, inputs: Arrays, device: str, dtype: str) -> Run:
    return single.prepare("grad_x", derivative, device, inputs["x"])
