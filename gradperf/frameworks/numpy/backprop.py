"""Backpropagation by hand with a new array for every result, as the notebooks write it.

The styles differ in one formula: ``weight_gradient(a, delta)`` takes a layer's input (batch, in) and the gradient
of its pre-activation (batch, out), and returns the weight gradient (in, out).
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from gradperf.frameworks.contract import Array, Arrays, Backward, Forward, Run
from gradperf.frameworks.numpy.optimizers import start
from gradperf.problems.training import Training

ACTIVATIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array, Array], Array]]] = {
    "identity": (lambda z: z, lambda delta, z: delta),
    "relu": (lambda z: np.maximum(z, 0), lambda delta, z: delta * (z > 0)),
    "shifted_relu": (lambda z: np.maximum(z, 0) - 0.5, lambda delta, z: delta * (z > 0)),
    "tanh": (np.tanh, lambda delta, z: delta * (1 - np.tanh(z) ** 2)),
}
"""Each activation, and its backward pass: from the gradient of its output to the gradient of its input z."""

WeightGradient = Callable[[Array, Array], Array]


def step(problem: Training, inputs: Arrays, weight_gradient: WeightGradient) -> tuple[Any, Any]:
    """Return ``forward(parameters) -> (loss, tape)`` and ``backward(parameters, tape) -> gradients``."""
    x, y = inputs["x"], inputs["y"]
    divisor = problem.divisor
    exponents = None if problem.powers is None else np.arange(problem.powers + 1, dtype=x.dtype)
    layers = [(slot.weight, slot.bias, *ACTIVATIONS[slot.activation]) for slot in problem.slots]

    def forward(parameters: list[Array]) -> tuple[Any, Any]:
        a = x if exponents is None else x**exponents
        tape = []
        for w, b, activation, _ in layers:
            z = a @ parameters[w]
            if b is not None:
                z = z + parameters[b]
            tape.append((a, z))
            a = activation(z)
        residual = a - y
        return np.square(residual).sum() / divisor, (tape, residual)

    def backward(parameters: list[Array], taped: Any) -> list[Array]:
        tape, residual = taped
        gradients = [x] * len(parameters)
        delta = 2 / divisor * residual
        for layer in range(len(layers) - 1, -1, -1):
            w, b, _, derivative = layers[layer]
            a, z = tape[layer]
            delta = derivative(delta, z)
            gradients[w] = weight_gradient(a, delta)
            if b is not None:
                gradients[b] = delta.sum(axis=0)
            if layer > 0:
                delta = delta @ parameters[w].T
        if problem.input_gradient:
            gradients.append(delta @ parameters[layers[0][0]].T)
        return gradients

    return forward, backward


def prepare(problem: Training, inputs: Arrays, weight_gradient: WeightGradient) -> Run:
    """Return the training, from copies of the initial parameters."""
    forward, backward = step(problem, inputs, weight_gradient)
    initial = [inputs[name] for name in problem.parameters]

    def run(steps: int = problem.steps) -> dict[str, Any]:
        parameters = [parameter.copy() for parameter in initial]
        update = start(problem.optimizer, parameters)
        losses = np.empty(steps, dtype=inputs["x"].dtype)
        for t in range(steps):
            losses[t], tape = forward(parameters)
            gradients = backward(parameters, tape)
            update(parameters, gradients)
        return problem.outputs(losses, parameters, gradients)

    return run


def phases(problem: Training, inputs: Arrays, weight_gradient: WeightGradient) -> tuple[Forward, Backward]:
    """Return the two halves of a step at the initial parameters."""
    forward, backward = step(problem, inputs, weight_gradient)
    parameters = [inputs[name] for name in problem.parameters]
    differentiated = problem.gradient_problem()

    def backward_once(state: Any) -> dict[str, Any]:
        loss, tape = state
        return differentiated.outputs(np.atleast_1d(loss), [], backward(parameters, tape))

    return lambda: forward(parameters), backward_once
