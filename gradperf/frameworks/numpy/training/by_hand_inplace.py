"""Backpropagation by hand, as fast as numpy can: every array allocated beforehand, every call into ``out``.

A step is a *program*: a flat list of calls with bound arguments, so that the inner loop interprets nothing. The
mathematics is that of ``by_hand``, with the savings of a careful user:

- x² … x^d by repeated multiplication, not by the general power function; computed again at every step, except x⁰
  and x¹, which are inputs;
- a sum over the batch is a product with ones, and a product with one column is one with a vector;
- constants are arrays, and ``a.dot`` replaces ``np.dot``: half the overhead per call;
- if the weights are updated, the loss's factor 2 / divisor is part of the learning rate.
"""

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from gradperf.frameworks.contract import Array, Arrays, Backward, Forward, Run
from gradperf.problems.training import SGD, Adam, Training

Call = Callable[[], Any]


class Step:
    """The programs of one step, and the arrays that they read and write.

    ``gradients`` are those of the loss divided by ``scale``. Without an update ``scale`` is 1.
    """

    def __init__(self, problem: Training, inputs: Arrays, dtype: str) -> None:
        self.parameters = [inputs[name].copy() for name in problem.parameters]
        self.gradients = [np.empty_like(parameter) for parameter in self.parameters]
        self.forward: list[Call] = []
        self.backward: list[Call] = []
        x, y = inputs["x"], inputs["y"]
        ones = np.ones(problem.batch, dtype)

        a = x
        if problem.powers is not None:
            column = np.ascontiguousarray(x[:, 0])
            rows = np.ones((problem.powers + 1, problem.batch), dtype)
            rows[1:2] = column
            for k in range(2, problem.powers + 1):
                self.forward.append(partial(np.multiply, rows[k - 1], column, rows[k]))
            a = rows.T

        backward_by_layer: list[list[Call]] = []
        delta = np.empty(0)
        for number, slot in enumerate(problem.slots):
            w, w_gradient = self.parameters[slot.weight], self.gradients[slot.weight]
            z = np.empty((problem.batch, w.shape[1]), dtype)
            self.forward.append(_product(a, w, z))
            if slot.bias is not None:
                self.forward.append(partial(np.add, z, self.parameters[slot.bias], z))
            layer_delta = np.empty_like(z)
            output, forward, backward = _activation(slot.activation, z, layer_delta)
            self.forward += forward
            backward.append(_product(a.T, layer_delta, w_gradient))
            if slot.bias is not None:
                backward.append(partial(ones.dot, layer_delta, self.gradients[slot.bias]))
            if number > 0:
                backward.append(_product(layer_delta, w.T, delta))
            elif problem.input_gradient:
                self.gradients.append(np.empty_like(x))
                backward.append(_product(layer_delta, w.T, self.gradients[-1]))
            backward_by_layer.append(backward)
            a, delta = output, layer_delta

        # delta is ŷ − y, times the loss's factor if no learning rate can include it.
        self.residual = delta.reshape(-1)
        self.forward.append(partial(np.subtract, a.reshape(-1), y.reshape(-1), self.residual))
        self.divisor = problem.divisor
        self.scale = 2 / problem.divisor
        if problem.optimizer is None:
            factor = np.asarray(self.scale, dtype)
            self.backward.append(partial(np.multiply, self.residual, factor, self.residual))
            self.scale = 1.0
        for backward in reversed(backward_by_layer):
            self.backward += backward


def _product(a: Array, b: Array, out: Array) -> Call:
    """Return the call with the least overhead that computes ``a @ b`` into ``out``."""
    if b.shape[1] == 1:
        return partial(a.dot, b[:, 0], out[:, 0])
    return partial(a.dot, b, out)


def _activation(name: str, z: Array, delta: Array) -> tuple[Array, list[Call], list[Call]]:
    """Return the output, the calls that fill it, and those that make ``delta`` the gradient by z."""
    if name == "identity":
        return z, [], []
    output = np.empty_like(z)
    slope = np.empty_like(z)
    if name == "tanh":
        one = np.ones((), z.dtype)
        backward: list[Call] = [
            partial(np.square, output, slope),
            partial(np.subtract, one, slope, slope),
            partial(np.multiply, delta, slope, delta),
        ]
        return output, [partial(np.tanh, z, output)], backward
    zero = np.zeros((), z.dtype)
    # This ufunc deprecates a third positional argument.
    forward: list[Call] = [partial(np.maximum, z, zero, out=output)]
    if name == "relu" and z.size <= _SMALL:
        # The sign of max(z, 0) is the mask, in the right dtype.
        return output, forward, [partial(np.sign, output, slope), partial(np.multiply, delta, slope, delta)]
    if name == "shifted_relu":
        forward.append(partial(np.subtract, output, np.asarray(0.5, z.dtype), output))
    mask = np.empty(z.shape, bool)
    return output, forward, [partial(np.greater, z, zero, mask), partial(np.multiply, delta, mask, delta)]


_SMALL = 2048
"""Up to this many entries ``sign`` costs less than a comparison and a cast; measured on AMD EPYC, numpy 2.4."""


def _sgd(sgd: SGD, step: Step) -> list[Call]:
    calls: list[Call] = []
    for parameter, gradient in zip(step.parameters, step.gradients, strict=True):
        w, g = parameter.reshape(-1), gradient.reshape(-1)
        calls.append(partial(np.multiply, g, np.asarray(sgd.lr * step.scale, w.dtype), g))
        calls.append(partial(np.subtract, w, g, w))
    return calls


def _adam(adam: Adam, step: Step, steps: int) -> tuple[list[Call], Call]:
    """Return the calls of one update, and the call that resets the state.

    All parameters of the network are updated as one vector: gather, eleven calls, scatter.
    """
    sizes = np.cumsum([0, *(parameter.size for parameter in step.parameters)])
    dtype = step.parameters[0].dtype
    g, m, v, change = (np.zeros(sizes[-1], dtype) for _ in range(4))
    pieces = [slice(*bounds) for bounds in itertools.pairwise(sizes)]
    scale, beta1, beta2, rest1, rest2 = (
        np.asarray(value, dtype) for value in (step.scale, adam.beta1, adam.beta2, 1 - adam.beta1, 1 - adam.beta2)
    )
    # lr·m̂ / (√v̂ + eps) = (lr·√c2/c1)·m / (√v + eps·√c2), with c1 = 1 − β1^t and c2 = 1 − β2^t.
    t = np.arange(1, steps + 1)
    root = np.sqrt(1 - adam.beta2**t)
    rates, epsilons = (adam.lr * root / (1 - adam.beta1**t)).astype(dtype), (adam.eps * root).astype(dtype)
    rate, epsilon = np.zeros((), dtype), np.zeros((), dtype)
    schedule: Iterator[tuple[Any, Any]] = iter(())  # set by `reset`

    def advance() -> None:
        rate[()], epsilon[()] = next(schedule)

    def reset() -> None:
        nonlocal schedule
        m.fill(0)
        v.fill(0)
        schedule = zip(rates, epsilons, strict=True)

    gather: list[Call] = [
        partial(np.multiply, gradient.reshape(-1), scale, g[piece])
        for piece, gradient in zip(pieces, step.gradients, strict=True)
    ]
    scatter: list[Call] = [
        partial(np.subtract, parameter.reshape(-1), change[piece], parameter.reshape(-1))
        for piece, parameter in zip(pieces, step.parameters, strict=True)
    ]
    return [
        advance,
        *gather,
        partial(np.multiply, m, beta1, m),
        partial(np.multiply, g, rest1, change),
        partial(np.add, m, change, m),
        partial(np.multiply, v, beta2, v),
        partial(np.square, g, g),
        partial(np.multiply, g, rest2, g),
        partial(np.add, v, g, v),
        partial(np.sqrt, v, g),
        partial(np.add, g, epsilon, g),
        partial(np.divide, m, g, change),
        partial(np.multiply, change, rate, change),
        *scatter,
    ], reset


def prepare(problem: Training, inputs: Arrays, device: str, dtype: str) -> Run:
    step = Step(problem, inputs, dtype)
    update: list[Call] = []
    reset: Call | None = None
    match problem.optimizer:
        case SGD():
            update = _sgd(problem.optimizer, step)
        case Adam():
            update, reset = _adam(problem.optimizer, step, problem.steps)
    program = [*step.backward, *update]
    initial = [inputs[name] for name in problem.parameters]
    losses = np.empty(problem.steps, dtype)
    # Each step writes its loss into one of these views of `losses`.
    places = [losses[t : t + 1].reshape(()) for t in range(problem.steps)]
    residual = step.residual

    def run(steps: int = problem.steps) -> dict[str, Any]:
        for parameter, start in zip(step.parameters, initial, strict=True):
            np.copyto(parameter, start)
        if reset is not None:
            reset()
        for place in places[:steps]:
            for call in step.forward:
                call()
            residual.dot(residual, place)
            for call in program:
                call()
        return problem.outputs(losses[:steps] / step.divisor, step.parameters, step.gradients)

    return run


def phases(problem: Training, inputs: Arrays, device: str, dtype: str) -> tuple[Forward, Backward]:
    differentiated = problem.gradient_problem()
    step = Step(differentiated, inputs, dtype)

    def forward() -> Any:
        for call in step.forward:
            call()
        return step.residual.dot(step.residual) / step.divisor

    def backward(loss: Any) -> dict[str, Any]:
        for call in step.backward:
            call()
        return differentiated.outputs(np.atleast_1d(loss), [], step.gradients)

    return forward, backward
