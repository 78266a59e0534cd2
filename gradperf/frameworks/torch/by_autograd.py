"""Training by ``loss.backward()`` and an explicit update, shared by the styles that differ in the loss.

``loss(parameters)`` is a function of leaves. Their ``.grad`` is dropped after every step, which costs less than to
fill it with zeros.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from gradperf.frameworks.contract import Arrays, Backward, Forward, Run
from gradperf.frameworks.torch import network, optimizers
from gradperf.frameworks.torch.runtime import synchronized
from gradperf.problems.training import Training

Loss = Callable[[Sequence[torch.Tensor]], torch.Tensor]
MakeLoss = Callable[[Training, torch.Tensor, torch.Tensor], Loss]


def prepare(problem: Training, inputs: Arrays, device: str, make_loss: MakeLoss) -> Run:
    """Return the training."""
    initial, x, y = network.on_device(problem, inputs, device)
    loss_of = make_loss(problem, x, y)

    def run(steps: int = problem.steps) -> dict[str, torch.Tensor]:
        parameters = network.leaves(initial)
        differentiated = [*parameters, x] if problem.input_gradient else parameters
        update = optimizers.start(problem.optimizer, parameters)
        losses = []
        for _ in range(steps):
            loss = loss_of(parameters)
            loss.backward()
            gradients: list[Any] = [tensor.grad for tensor in differentiated]
            update(parameters, gradients)
            for tensor in differentiated:
                tensor.grad = None
            losses.append(loss.detach())
        return synchronized(problem.outputs(torch.stack(losses), parameters, gradients), device)

    return run


def phases(problem: Training, inputs: Arrays, device: str, make_loss: MakeLoss) -> tuple[Forward, Backward]:
    """Return the two halves of a step; ``backward`` frees what ``forward`` saved, as in training."""
    initial, x, y = network.on_device(problem, inputs, device)
    parameters = network.leaves(initial)
    differentiated = [*parameters, x] if problem.input_gradient else parameters
    gradient_problem = problem.gradient_problem()
    loss_of = make_loss(problem, x, y)

    def backward(loss: torch.Tensor) -> dict[str, torch.Tensor]:
        loss.backward()
        gradients: list[Any] = [tensor.grad for tensor in differentiated]
        for tensor in differentiated:
            tensor.grad = None
        return synchronized(gradient_problem.outputs(loss.detach().reshape(1), [], gradients), device)

    return lambda: synchronized(loss_of(parameters), device), backward
