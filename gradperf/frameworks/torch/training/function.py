"""Autograd with a custom ``autograd.Function`` for ReLU, whose forward and backward are in Python."""

from typing import Any

import torch

from gradperf.frameworks.contract import Backward, Forward, Run
from gradperf.frameworks.torch import by_autograd, network
from gradperf.problems import Arrays
from gradperf.problems.training import Training


class ReLU(torch.autograd.Function):
    """max(z, 0), with the derivative 0 at z = 0."""

    @staticmethod
    def forward(ctx: Any, z: torch.Tensor) -> torch.Tensor:
        """Save z for the backward pass."""
        ctx.save_for_backward(z)
        return z.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> torch.Tensor:
        """Return the gradient where z was positive, else 0."""
        (z,) = ctx.saved_tensors
        return grad_outputs[0] * (z > 0)


def relu(z: torch.Tensor) -> torch.Tensor:
    """Return max(z, 0) by the Function."""
    result: torch.Tensor = ReLU.apply(z)
    return result


ACTIVATIONS = {**network.ACTIVATIONS, "relu": relu, "shifted_relu": lambda z: relu(z) - 0.5}


def supports(problem: Training, device: str, dtype: str) -> str | None:
    """Return the reason for a network without a ReLU: it would be the same as ``autograd``."""
    if any(slot.activation in ("relu", "shifted_relu") for slot in problem.slots):
        return None
    return "its custom Function is a ReLU, and this network has none"


def make_loss(problem: Training, x: torch.Tensor, y: torch.Tensor) -> by_autograd.Loss:
    """Return the loss with the custom Function."""
    return network.loss_of(problem, x, y, ACTIVATIONS)


def prepare(problem: Training, inputs: Arrays, device: str, dtype: str) -> Run:
    return by_autograd.prepare(problem, inputs, device, make_loss)


def phases(problem: Training, inputs: Arrays, device: str, dtype: str) -> tuple[Forward, Backward]:
    return by_autograd.phases(problem, inputs, device, make_loss)
