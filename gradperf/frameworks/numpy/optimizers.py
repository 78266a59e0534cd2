"""Updates by hand. ``start(optimizer, parameters)`` returns ``update(parameters, gradients)`` with new state."""

from collections.abc import Callable
from typing import Any

import numpy as np

from gradperf.frameworks.contract import Array
from gradperf.problems.training import SGD, Adam

Update = Callable[[list[Array], list[Array]], None]


def start(optimizer: SGD | Adam | None, parameters: list[Array]) -> Update:
    """Return the update of one training; it replaces each parameter by a new array."""
    match optimizer:
        case None:
            return lambda parameters, gradients: None
        case SGD(lr):
            return _sgd(lr)
        case Adam():
            return _adam(optimizer, parameters)


def _sgd(lr: float) -> Update:
    def update(parameters: list[Array], gradients: list[Array]) -> None:
        for i in range(len(parameters)):
            parameters[i] = parameters[i] - lr * gradients[i]

    return update


def _adam(adam: Adam, parameters: list[Array]) -> Update:
    lr, beta1, beta2, eps = adam.lr, adam.beta1, adam.beta2, adam.eps
    m: list[Any] = [np.zeros_like(p) for p in parameters]
    v: list[Any] = [np.zeros_like(p) for p in parameters]
    steps = 0

    def update(parameters: list[Array], gradients: list[Array]) -> None:
        nonlocal steps
        steps += 1
        for i in range(len(parameters)):
            g = gradients[i]
            m[i] = beta1 * m[i] + (1 - beta1) * g
            v[i] = beta2 * v[i] + (1 - beta2) * g**2
            m_hat = m[i] / (1 - beta1**steps)
            v_hat = v[i] / (1 - beta2**steps)
            parameters[i] = parameters[i] - lr * m_hat / (np.sqrt(v_hat) + eps)

    return update
