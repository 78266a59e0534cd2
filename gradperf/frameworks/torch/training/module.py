"""``nn.Module`` and ``torch.optim``: what most users of torch write."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from gradperf.frameworks.contract import Arrays, Backward, Forward, Run
from gradperf.frameworks.torch import network
from gradperf.frameworks.torch.runtime import synchronized
from gradperf.problems.training import SGD, Adam, Training

CALLS = ("backward", "forward")


class Powers(nn.Module):
    """x (batch, 1) → x⁰ … x^d (batch, d + 1)."""

    exponents: torch.Tensor

    def __init__(self, exponents: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("exponents", exponents)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the powers."""
        return x**self.exponents


class ShiftedReLU(nn.Module):
    """max(z, 0) − 0.5."""

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Any shape."""
        return nn.functional.relu(z) - 0.5


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "shifted_relu": ShiftedReLU,
    "tanh": nn.Tanh,
}


class Network(nn.Module):
    """The layers in order, and the loss Σ(ŷ − y)² / divisor, in x's dtype and on its device."""

    def __init__(self, problem: Training, x: torch.Tensor) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        exponents = network.exponents(problem, x)
        if exponents is not None:
            layers.append(Powers(exponents))
        self.linears: list[nn.Linear] = []
        for slot, fan_in, fan_out in zip(problem.slots, problem.widths, problem.widths[1:], strict=False):
            linear = nn.Linear(fan_in, fan_out, slot.bias is not None, x.device, x.dtype)
            self.linears.append(linear)
            layers.append(linear)
            if slot.activation != "identity":
                layers.append(ACTIVATIONS[slot.activation]())
        self.layers = nn.Sequential(*layers)
        self.criterion = nn.MSELoss(reduction="sum")
        self.divisor = problem.divisor

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return the loss."""
        loss: torch.Tensor = self.criterion(self.layers(x), y)
        return loss if self.divisor == 1 else loss / self.divisor

    @torch.no_grad()
    def load(self, problem: Training, initial: list[torch.Tensor]) -> None:
        """Copy the initial parameters in; nn.Linear keeps its weight as (out, in)."""
        for slot, linear in zip(problem.slots, self.linears, strict=True):
            linear.weight.copy_(initial[slot.weight].t())
            if slot.bias is not None:
                linear.bias.copy_(initial[slot.bias])

    def tensors(self, of: Callable[[nn.Parameter], Any]) -> list[Any]:
        """Return the weights as (in, out), or their gradients, in the problem's order."""
        return [
            of(parameter).t() if parameter is linear.weight else of(parameter)
            for linear in self.linears
            for parameter in linear.parameters()
        ]


def gradients(model: Network, problem: Training, x: torch.Tensor) -> list[Any]:
    """Return the gradients of the last backward pass, by x last if the problem asks for it."""
    found = model.tensors(lambda parameter: parameter.grad)
    return [*found, x.grad] if problem.input_gradient else found


def optimizer_of(problem: Training, model: nn.Module) -> torch.optim.Optimizer | None:
    """Return torch's own optimizer, with new state."""
    match problem.optimizer:
        case SGD(lr):
            return torch.optim.SGD(model.parameters(), lr=lr)
        case Adam(lr, beta1, beta2, eps):
            return torch.optim.Adam(model.parameters(), lr=lr, betas=(beta1, beta2), eps=eps)
    return None


def prepare(problem: Training, inputs: Arrays, device: str, dtype: str) -> Run:
    initial, x, y = network.on_device(problem, inputs, device)
    model = Network(problem, x)

    def run(steps: int = problem.steps) -> dict[str, torch.Tensor]:
        model.load(problem, initial)
        optimizer = optimizer_of(problem, model)
        losses = []
        for _ in range(steps):
            model.zero_grad()
            x.grad = None
            loss = model(x, y)
            loss.backward()
            if optimizer is not None:
                optimizer.step()
            losses.append(loss.detach())
        parameters = model.tensors(lambda parameter: parameter.detach())
        outputs = problem.outputs(torch.stack(losses), parameters, gradients(model, problem, x))
        return synchronized(outputs, device)

    return run


def phases(problem: Training, inputs: Arrays, device: str, dtype: str) -> tuple[Forward, Backward]:
    initial, x, y = network.on_device(problem, inputs, device)
    model = Network(problem, x)
    model.load(problem, initial)
    differentiated = problem.gradient_problem()

    def forward() -> torch.Tensor:
        model.zero_grad()
        x.grad = None
        loss: torch.Tensor = model(x, y)
        return synchronized(loss, device)

    def backward(loss: torch.Tensor) -> dict[str, torch.Tensor]:
        loss.backward()
        outputs = differentiated.outputs(loss.detach().reshape(1), [], gradients(model, problem, x))
        return synchronized(outputs, device)

    return forward, backward
