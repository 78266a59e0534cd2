"""Autograd with a custom ``autograd.Function`` for ReLU, whose forward and backward are in Python."""

from functools import partial
from typing import Any

import torch

from gradperf.frameworks.contract import Arrays, Backward, Forward, Run
from gradperf.frameworks.torch import by_autograd, network
from gradperf.problems.training import Training

CALLS = ("apply", "backward")


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


_FUNCTIONS = {"relu": ReLU.apply, "shifted_relu": lambda z: ReLU.apply(z) - 0.5}
make_loss = partial(network.loss_of, activations={**network.ACTIVATIONS, **_FUNCTIONS})


def supports(problem: Training, device: str, dtype: str) -> str | None:
    """Return the reason for a network without a ReLU: it would be the same as ``autograd``."""
    if any(slot.activation in ("relu", "shifted_relu") for slot in problem.slots):
        return None
    return "its custom Function is a ReLU, and this network has none"


def prepare(problem: Training, inputs: Arrays, device: str, dtype: str) -> Run:
    return by_autograd.prepare(problem, inputs, device, make_loss)


def phases(problem: Training, inputs: Arrays, device: str, dtype: str) -> tuple[Forward, Backward]:
    return by_autograd.phases(problem, inputs, device, make_loss)
