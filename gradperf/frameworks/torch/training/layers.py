"""Backpropagation by hand in layer classes, each with its own ``backward``."""

from typing import Any

import torch

from gradperf.frameworks.contract import Arrays, Backward, Forward, Run
from gradperf.frameworks.torch import network, optimizers
from gradperf.frameworks.torch.runtime import synchronized
from gradperf.problems.training import Training


class Linear:
    """a @ w + b. ``backward`` computes the gradient by ``a`` only with ``input_gradient``."""

    def __init__(self, w: torch.Tensor, b: torch.Tensor | None, *, input_gradient: bool) -> None:
        self.w, self.b, self.input_gradient = w, b, input_gradient

    def forward(self, a: torch.Tensor) -> torch.Tensor:
        """(batch, in) → (batch, out)."""
        self.a = a
        return a @ self.w if self.b is None else torch.addmm(self.b, a, self.w)

    def backward(self, delta: torch.Tensor) -> torch.Tensor:
        """Keep the gradients by w and b; (batch, out) → (batch, in)."""
        self.w_gradient = self.a.t() @ delta
        if self.b is not None:
            self.b_gradient = delta.sum(0)
        return delta @ self.w.t() if self.input_gradient else delta

    def gradients(self) -> list[torch.Tensor]:
        """Return the gradient by w, and by b if there is one."""
        return [self.w_gradient] if self.b is None else [self.w_gradient, self.b_gradient]


class ReLU:
    """max(a, 0) + shift."""

    def __init__(self, shift: float = 0.0) -> None:
        self.shift = shift

    def forward(self, a: torch.Tensor) -> torch.Tensor:
        """Any shape."""
        self.a = a
        return a.clamp(min=0) + self.shift if self.shift else a.clamp(min=0)

    def backward(self, delta: torch.Tensor) -> torch.Tensor:
        """Return delta where a was positive, else 0."""
        return delta * (self.a > 0)


class Tanh:
    """tanh(a)."""

    def forward(self, a: torch.Tensor) -> torch.Tensor:
        """Any shape."""
        self.output = torch.tanh(a)
        return self.output

    def backward(self, delta: torch.Tensor) -> torch.Tensor:
        """The derivative is 1 − tanh²."""
        return delta * (1 - self.output**2)


class SquaredError:
    """Σ(a − y)² / divisor."""

    def __init__(self, y: torch.Tensor, divisor: int) -> None:
        self.y, self.divisor = y, divisor

    def forward(self, a: torch.Tensor) -> torch.Tensor:
        """(batch, outputs) → ()."""
        self.residual = a - self.y
        loss = self.residual.square().sum()
        return loss if self.divisor == 1 else loss / self.divisor

    def backward(self) -> torch.Tensor:
        """Return the gradient by ``a``, (batch, outputs)."""
        return 2 / self.divisor * self.residual


class Model:
    """The layers in order, and the loss. They share ``parameters``, which the update changes in place."""

    def __init__(self, problem: Training, parameters: list[torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> None:
        self.x, self.powers = x, network.exponents(problem, x)
        self.layers: list[Linear | ReLU | Tanh] = []
        self.linears: list[Linear] = []
        for slot in problem.slots:
            b = None if slot.bias is None else parameters[slot.bias]
            wanted = problem.input_gradient or bool(self.linears)
            self.linears.append(Linear(parameters[slot.weight], b, input_gradient=wanted))
            self.layers.append(self.linears[-1])
            match slot.activation:
                case "relu":
                    self.layers.append(ReLU())
                case "shifted_relu":
                    self.layers.append(ReLU(shift=-0.5))
                case "tanh":
                    self.layers.append(Tanh())
        self.loss = SquaredError(y, problem.divisor)
        self.input_gradient = problem.input_gradient

    def forward(self) -> torch.Tensor:
        """Return the loss."""
        a = self.x if self.powers is None else self.x**self.powers
        for layer in self.layers:
            a = layer.forward(a)
        return self.loss.forward(a)

    def backward(self) -> list[torch.Tensor]:
        """Return the gradients by the parameters, and by x if the problem asks for it."""
        delta = self.loss.backward()
        for layer in reversed(self.layers):
            delta = layer.backward(delta)
        gradients = [gradient for linear in self.linears for gradient in linear.gradients()]
        return [*gradients, delta] if self.input_gradient else gradients


def prepare(problem: Training, inputs: Arrays, device: str, dtype: str) -> Run:
    initial, x, y = network.on_device(problem, inputs, device)
    x = x.detach()

    def run(steps: int = problem.steps) -> dict[str, torch.Tensor]:
        parameters = [parameter.clone() for parameter in initial]
        model = Model(problem, parameters, x, y)
        update = optimizers.start(problem.optimizer, parameters)
        losses = []
        for _ in range(steps):
            losses.append(model.forward())
            gradients = model.backward()
            update(parameters, gradients)
        return synchronized(problem.outputs(torch.stack(losses), parameters, gradients), device)

    return run


def phases(problem: Training, inputs: Arrays, device: str, dtype: str) -> tuple[Forward, Backward]:
    initial, x, y = network.on_device(problem, inputs, device)
    model = Model(problem, initial, x.detach(), y)
    differentiated = problem.gradient_problem()

    def backward(loss: torch.Tensor) -> dict[str, Any]:
        return synchronized(differentiated.outputs(loss.reshape(1), [], model.backward()), device)

    return lambda: synchronized(model.forward(), device), backward
