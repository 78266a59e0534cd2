"""The network of a training problem in TensorFlow's own operations, eager or in a graph.

Tensors are (batch, features). Parameters are a flat list w1, b1, w2, … as in ``Training.parameters``.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from gradperf.frameworks.contract import Arrays
from gradperf.problems.training import Training

Tensors = Sequence[Any]
Loss = Callable[[Tensors, Any, Any], Any]

ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "identity": lambda z: z,
    "relu": tf.nn.relu,
    "shifted_relu": lambda z: tf.nn.relu(z) - 0.5,
    "tanh": tf.tanh,
}


def variables(problem: Training, inputs: Arrays) -> list[Any]:
    """Return the initial parameters as new variables."""
    return [tf.Variable(inputs[name], name=name) for name in problem.parameters]


def loss_of(problem: Training, dtype: str) -> Loss:
    """Return ``loss(parameters, x, y)``, a scalar. Its constants are placed on the current device."""
    layers = [(slot.weight, slot.bias, ACTIVATIONS[slot.activation]) for slot in problem.slots]
    exponents = None if problem.powers is None else tf.constant(np.arange(problem.powers + 1, dtype=dtype))
    divisor = problem.divisor

    def loss(parameters: Tensors, x: Any, y: Any) -> Any:
        a = x if exponents is None else x**exponents
        for w, b, activation in layers:
            z = a @ parameters[w]
            # bias_add instead of +: its gradient is one operation, that of a broadcast sum is several.
            a = activation(z if b is None else tf.nn.bias_add(z, parameters[b]))
        total = tf.reduce_sum(tf.square(a - y))
        return total if divisor == 1 else total / divisor

    return loss
