"""The network of a training problem in torch's own operations.

Tensors are (batch, features). Parameters are a flat list w1, b1, w2, … as in ``Training.parameters``.
"""

from collections.abc import Callable, Sequence

import torch

from gradperf.frameworks.contract import Arrays
from gradperf.frameworks.torch.runtime import from_numpy
from gradperf.problems.training import Training

Tensors = Sequence[torch.Tensor]

ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "identity": lambda z: z,
    "relu": torch.relu,
    "shifted_relu": lambda z: torch.relu(z) - 0.5,
    "tanh": torch.tanh,
}


def on_device(
    problem: Training, inputs: Arrays, device: str
) -> tuple[list[torch.Tensor], torch.Tensor, torch.Tensor]:
    """Return the initial parameters, x and y on the device; x requires a gradient if the problem asks for one."""
    x = from_numpy(inputs["x"], device).requires_grad_(problem.input_gradient)
    initial = [from_numpy(inputs[name], device) for name in problem.parameters]
    return initial, x, from_numpy(inputs["y"], device)


def leaves(tensors: Tensors) -> list[torch.Tensor]:
    """Return copies that are new leaves of the autograd graph."""
    return [tensor.clone().requires_grad_() for tensor in tensors]


def exponents(problem: Training, x: torch.Tensor) -> torch.Tensor | None:
    """Return 0 … d in x's dtype, on x's device, or None if the network takes x itself."""
    if problem.powers is None:
        return None
    return torch.arange(problem.powers + 1, dtype=x.dtype, device=x.device)


def loss_of(
    problem: Training,
    x: torch.Tensor,
    y: torch.Tensor,
    activations: dict[str, Callable[[torch.Tensor], torch.Tensor]] = ACTIVATIONS,
) -> Callable[[Tensors], torch.Tensor]:
    """Return ``loss(parameters)``, a scalar; x and y are bound."""
    layers = [(slot.weight, slot.bias, activations[slot.activation]) for slot in problem.slots]
    powers, divisor = exponents(problem, x), problem.divisor

    def loss(parameters: Tensors) -> torch.Tensor:
        a = x if powers is None else x**powers
        for w, b, activation in layers:
            a = activation(a @ parameters[w] if b is None else torch.addmm(parameters[b], a, parameters[w]))
        total = (a - y).square().sum()
        return total if divisor == 1 else total / divisor

    return loss
