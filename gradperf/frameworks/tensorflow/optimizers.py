"""Updates of variables, the same for eager calls, ``tf.function`` and v1 graphs.

``build(optimizer, parameters)`` returns ``update(gradients)`` and the variables of its state. These are zero at the
start of a training, so they must be reset together with the parameters.

A v1 graph runs only what it is asked for, so there the caller must run the operations that ``update`` returns.
"""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from gradperf.problems.training import SGD, Adam

Update = Callable[[Sequence[Any]], list[Any]]


def build(optimizer: SGD | Adam | None, parameters: Sequence[Any]) -> tuple[Update, list[Any]]:
    """Return the update of ``parameters``, which must be variables, and its state."""
    match optimizer:
        case None:
            return lambda gradients: [], []
        case SGD(lr):
            return _sgd(lr, parameters), []
        case Adam():
            return _adam(optimizer, parameters)


def _sgd(lr: float, parameters: Sequence[Any]) -> Update:
    def update(gradients: Sequence[Any]) -> list[Any]:
        return [
            parameter.assign_sub(lr * gradient, read_value=False)
            for parameter, gradient in zip(parameters, gradients, strict=True)
        ]

    return update


def _adam(adam: Adam, parameters: Sequence[Any]) -> tuple[Update, list[Any]]:
    """Update by TensorFlow's own kernel, one operation for each parameter.

    The formula in single operations takes sixteen of them, and an eager step of a tiny network then lasts twice as
    long.

    The kernel computes w ← w − lr·√(1 − β₂ᵗ)/(1 − β₁ᵗ) · m/(√v + eps), where eps is not corrected for the bias.
    With 0 for both powers, lr·√(1 − β₂ᵗ)/(1 − β₁ᵗ) as lr and eps·√(1 − β₂ᵗ) as eps, it computes algorithm 1.
    """
    dtype = parameters[0].dtype
    moments1, moments2 = (
        [tf.Variable(tf.zeros_like(parameter), trainable=False) for parameter in parameters] for _ in range(2)
    )
    beta1, beta2, zero = (tf.constant(value, dtype) for value in (adam.beta1, adam.beta2, 0))
    # float64 for every dtype: 1 − 0.999 in float32 is wrong in the fifth digit.
    steps = tf.Variable(0, dtype=tf.float64, trainable=False)

    def update(gradients: Sequence[Any]) -> list[Any]:
        t = steps + 1
        root = tf.sqrt(1 - adam.beta2**t)
        lr, eps = tf.cast(adam.lr * root / (1 - adam.beta1**t), dtype), tf.cast(adam.eps * root, dtype)
        return [steps.assign(t, read_value=False)] + [
            tf.raw_ops.ResourceApplyAdam(
                var=parameter.handle,
                m=moment1.handle,
                v=moment2.handle,
                beta1_power=zero,
                beta2_power=zero,
                lr=lr,
                beta1=beta1,
                beta2=beta2,
                epsilon=eps,
                grad=gradient,
            )
            for parameter, moment1, moment2, gradient in zip(parameters, moments1, moments2, gradients, strict=True)
        ]

    return update, [steps, *moments1, *moments2]
