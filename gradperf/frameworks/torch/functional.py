"""Updates as functions without side effects, for steps that are compiled or captured as a whole.

``update(optimizer, parameters, gradients, state) -> (parameters, state)``. The number of steps is a tensor, so that
every step is the same program.
"""

from typing import Any

import torch

from gradperf.frameworks.torch.network import Tensors
from gradperf.problems.training import SGD, Adam

State = list[Any]
"""Empty for SGD; for Adam both moments and the number of steps done."""


def update(
    optimizer: SGD | Adam | None, parameters: Tensors, gradients: Tensors, state: State
) -> tuple[list[torch.Tensor], State]:
    """Return the new parameters and the new state."""
    match optimizer:
        case SGD(lr):
            return [p - lr * g for p, g in zip(parameters, gradients, strict=True)], state
        case Adam(lr, beta1, beta2, eps):
            m, v, t = state
            t = t + 1
            m = [beta1 * a + (1 - beta1) * g for a, g in zip(m, gradients, strict=True)]
            v = [beta2 * a + (1 - beta2) * g * g for a, g in zip(v, gradients, strict=True)]
            rate, root = lr / (1 - beta1**t), torch.sqrt(1 - beta2**t)
            moved = zip(parameters, m, v, strict=True)
            return [p - rate * a / (torch.sqrt(b) / root + eps) for p, a, b in moved], [m, v, t]
    return list(parameters), state


def start(optimizer: SGD | Adam | None, parameters: Tensors) -> State:
    """Return the state before the first step.

    The count is a tensor because a number would be compiled in, and float64 because 1 − β2^t would lose four
    digits.
    """
    if not isinstance(optimizer, Adam):
        return []
    m, v = ([torch.zeros_like(p) for p in parameters] for _ in range(2))
    return [m, v, torch.zeros((), dtype=torch.float64, device=parameters[0].device)]
