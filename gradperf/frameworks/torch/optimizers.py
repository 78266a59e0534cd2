"""Explicit updates. ``start(optimizer, parameters)`` returns ``update(parameters, gradients)`` with new state.

In place and without autograd, as in torch's own tutorials. ``module`` uses ``torch.optim`` instead.
"""

import math
from collections.abc import Callable, Sequence

import torch

from gradperf.problems.training import SGD, Adam

Update = Callable[[Sequence[torch.Tensor], Sequence[torch.Tensor]], None]


def start(optimizer: SGD | Adam | None, parameters: Sequence[torch.Tensor]) -> Update:
    """Return the update of one training."""
    match optimizer:
        case None:
            return lambda parameters, gradients: None
        case SGD(lr):
            return _sgd(lr)
        case Adam():
            return _adam(optimizer, parameters)


def _sgd(lr: float) -> Update:
    @torch.no_grad()
    def update(parameters: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor]) -> None:
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.sub_(gradient, alpha=lr)

    return update


def _adam(adam: Adam, parameters: Sequence[torch.Tensor]) -> Update:
    m = [torch.zeros_like(parameter) for parameter in parameters]
    v = [torch.zeros_like(parameter) for parameter in parameters]
    steps = 0

    @torch.no_grad()
    def update(parameters: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor]) -> None:
        nonlocal steps
        steps += 1
        rate = adam.lr / (1 - adam.beta1**steps)
        root = math.sqrt(1 - adam.beta2**steps)
        for i, gradient in enumerate(gradients):
            m[i].lerp_(gradient, 1 - adam.beta1)
            v[i].mul_(adam.beta2).addcmul_(gradient, gradient, value=1 - adam.beta2)
            parameters[i].addcdiv_(m[i], (v[i].sqrt() / root).add_(adam.eps), value=-rate)

    return update
