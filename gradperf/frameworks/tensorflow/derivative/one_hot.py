"""One backward pass for every point, each with a one-hot output gradient: a slow way that a notebook shows."""

from typing import Any

import tensorflow as tf

from gradperf.frameworks.contract import Arrays, Run
from gradperf.frameworks.tensorflow import single
from gradperf.frameworks.tensorflow.runtime import on
from gradperf.problems.derivative import SineDerivative

CALLS = ("gradient",)


def repeats(problem: SineDerivative) -> int:
    return problem.points


def prepare(problem: SineDerivative, inputs: Arrays, device: str, dtype: str) -> Run:
    with on(device):
        one_hot = tf.unstack(tf.eye(problem.points, dtype=dtype))

    def derivative(x: Any) -> Any:
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(x)
            y = tf.sin(x)
        jacobian = [tape.gradient(y, x, output_gradients=vector) for vector in one_hot]
        return tf.linalg.diag_part(tf.stack(jacobian))

    return single.prepare("grad_x", derivative, device, inputs["x"])
