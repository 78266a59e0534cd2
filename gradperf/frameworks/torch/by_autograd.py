"""Training by ``loss.backward()`` and an explicit update, shared by the styles that differ in the loss.

``loss(parameters)`` is a function of leaves. Their ``.grad`` is dropped after every step: to zero it would write
what the next backward pass overwrites anyway.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from gradperf.frameworks.contract import Backward, Forward, Run
from gradperf.frameworks.torch import network, optimizers
from gradperf.frameworks.torch.runtime import synchronize
from gradperf.problems import Arrays
from gradperf.problems.training import Training

Loss = Callable[[Sequence[torch.Tensor]], torch.Tensor]
MakeLoss = Callable[[Training, torch.Tensor, torch.Tensor], Loss]


def prepare(problem: Training, inputs: Arrays, device: str, make_loss: MakeLoss) -> Run:
    """Return the training."""
    x, y = network.data(problem, inputs, device)
    initial = network.initial(problem, inputs, device)
    loss_of = make_loss(problem, x, y)

    def run() -> dict[str, torch.Tensor]:
        parameters = network.leaves(initial)
        differentiated = [*parameters, x] if problem.input_gradient else parameters
        update = optimizers.start(problem.optimizer, parameters)
        losses = []
        for _ in range(problem.steps):
            loss = loss_of(parameters)
            loss.backward()
            gradients: list[Any] = [tensor.grad for tensor in differentiated]
            update(parameters, gradients)
            for tensor in differentiated:
                tensor.grad = None
            losses.append(loss.detach())
        outputs = problem.outputs(torch.stack(losses), parameters, gradients)
        synchronize(device)
        return outputs

    return run


def phases(problem: Training, inputs: Arrays, device: str, make_loss: MakeLoss) -> tuple[Forward, Backward]:
    """Return the two halves of a step; ``backward`` frees what ``forward`` saved, as in training."""
    x, y = network.data(problem, inputs, device)
    parameters = network.leaves(network.initial(problem, inputs, device))
    differentiated = [*parameters, x] if problem.input_gradient else parameters
    gradient_problem = problem.gradient_problem()
    loss_of = make_loss(problem, x, y)

    def forward() -> torch.Tensor:
        loss = loss_of(parameters)
        synchronize(device)
        return loss

    def backward(loss: torch.Tensor) -> dict[str, torch.Tensor]:
        loss.backward()
        gradients: list[Any] = [tensor.grad for tensor in differentiated]
        for tensor in differentiated:
            tensor.grad = None
        synchronize(device)
        return gradient_problem.outputs(loss.detach().reshape(1), [], gradients)

    return forward, backward
