"""Backpropagation by hand with tensors, no autograd: numpy's ``by_hand`` in torch."""

from collections.abc import Callable
from typing import Any

import torch

from gradperf.frameworks.contract import Arrays, Backward, Forward, Run
from gradperf.frameworks.torch import network, optimizers
from gradperf.frameworks.torch.runtime import synchronized
from gradperf.problems.training import Training

DERIVATIVES: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "identity": lambda delta, z: delta,
    "relu": lambda delta, z: delta * (z > 0),
    "shifted_relu": lambda delta, z: delta * (z > 0),
    "tanh": lambda delta, z: delta * (1 - torch.tanh(z) ** 2),
}
"""Each returns the gradient by an activation's input z from the gradient by its output."""


def step(problem: Training, x: torch.Tensor, y: torch.Tensor) -> tuple[Any, Any]:
    """Return ``forward(parameters) -> (loss, tape)`` and ``backward(parameters, tape) -> gradients``."""
    divisor, powers = problem.divisor, network.exponents(problem, x)
    layers = [
        (slot.weight, slot.bias, network.ACTIVATIONS[slot.activation], DERIVATIVES[slot.activation])
        for slot in problem.slots
    ]

    def forward(parameters: list[torch.Tensor]) -> Any:
        a = x if powers is None else x**powers
        tape = []
        for w, b, activation, _ in layers:
            z = a @ parameters[w] if b is None else torch.addmm(parameters[b], a, parameters[w])
            tape.append((a, z))
            a = activation(z)
        residual = a - y
        loss = residual.square().sum()
        return loss if divisor == 1 else loss / divisor, (tape, residual)

    def backward(parameters: list[torch.Tensor], taped: Any) -> list[torch.Tensor]:
        tape, residual = taped
        gradients = [x] * len(parameters)
        delta = 2 / divisor * residual
        for layer in range(len(layers) - 1, -1, -1):
            w, b, _, derivative = layers[layer]
            a, z = tape[layer]
            delta = derivative(delta, z)
            gradients[w] = a.t() @ delta
            if b is not None:
                gradients[b] = delta.sum(0)
            if layer > 0:
                delta = delta @ parameters[w].t()
        if problem.input_gradient:
            gradients.append(delta @ parameters[layers[0][0]].t())
        return gradients

    return forward, backward


def prepare(problem: Training, inputs: Arrays, device: str, dtype: str) -> Run:
    initial, x, y = network.on_device(problem, inputs, device)
    forward, backward = step(problem, x.detach(), y)

    def run(steps: int = problem.steps) -> dict[str, torch.Tensor]:
        parameters = [parameter.clone() for parameter in initial]
        update = optimizers.start(problem.optimizer, parameters)
        losses = []
        for _ in range(steps):
            loss, tape = forward(parameters)
            gradients = backward(parameters, tape)
            update(parameters, gradients)
            losses.append(loss)
        return synchronized(problem.outputs(torch.stack(losses), parameters, gradients), device)

    return run


def phases(problem: Training, inputs: Arrays, device: str, dtype: str) -> tuple[Forward, Backward]:
    parameters, x, y = network.on_device(problem, inputs, device)
    differentiated = problem.gradient_problem()
    forward, backward = step(problem, x.detach(), y)

    def backward_once(state: Any) -> dict[str, torch.Tensor]:
        loss, tape = state
        return synchronized(differentiated.outputs(loss.reshape(1), [], backward(parameters, tape)), device)

    return lambda: synchronized(forward(parameters), device), backward_once
