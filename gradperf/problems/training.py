"""Training problems. A network is data, so every style runs every network.

Notation: ``x`` (batch, features), ``y`` (batch, outputs), ``w{i}`` (in, out) and ``b{i}`` (out,) of layer i from
1. The loss is Σ(ŷ − y)² over the whole batch, or that divided by the batch. The derivative of max(z, 0) at z = 0 is
0, as in every framework's own relu.

Sizes, learning rates and published figures are those of five public notebooks; ``docs/problems.md`` lists them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, pairwise
from typing import Literal, TypeVar

import numpy as np

from gradperf.problems.problem import Array, Arrays, Problem, Work, check_normal, frozen

BASELINE = "numpy.by_hand"

Activation = Literal["identity", "relu", "shifted_relu", "tanh"]
"""identity z; relu max(z, 0); shifted_relu max(z, 0) − 0.5; tanh."""


@dataclass(frozen=True)
class Layer:
    """``activation(a @ w + b)`` with ``outputs`` columns."""

    outputs: int
    activation: Activation = "identity"
    bias: bool = False


@dataclass(frozen=True)
class SGD:
    """Gradient descent: w ← w − lr·g."""

    lr: float


@dataclass(frozen=True)
class Adam:
    """Adam as in Kingma & Ba (2015), algorithm 1: w ← w − lr·m̂ / (√v̂ + eps)."""

    lr: float
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8


Optimizer = SGD | Adam
_Seen = tuple[Array, Array]
_T = TypeVar("_T")

_PROBE_RATE = 2.0**20
"""A power of two, so that dividing by it is exact."""

Draw = Callable[[np.random.Generator, "Training"], tuple[Array, Array]]
Initialise = Callable[[np.random.Generator, int, int], Array]
"""Returns a matrix of shape (fan-in, fan-out); a bias is a matrix of one row."""


def zeros(generator: np.random.Generator, fan_in: int, fan_out: int) -> Array:
    """Return zeros."""
    return np.zeros((fan_in, fan_out))


@dataclass(frozen=True)
class Slot:
    """One layer: where its weight and bias are in the flat list of parameters, and its activation."""

    weight: int
    bias: int | None
    activation: Activation


@dataclass(frozen=True)
class Training(Problem):
    """A network, its data, its loss and its update: ``steps`` full-batch steps from the same initial weights.

    With ``optimizer=None`` nothing is updated, and the outputs are the gradients instead of the weights.
    ``powers=d`` replaces the one input column x by x⁰ … x^d, computed again at every step.
    """

    name: str
    batch: int
    features: int
    layers: tuple[Layer, ...]
    loss: Literal["sum", "mean"]
    optimizer: Optimizer | None
    steps: int = field()  # not the default of Problem
    dtype: str
    draw: Draw = field(repr=False)
    initialise: Initialise = field(repr=False)
    initialise_bias: Initialise = field(repr=False, default=zeros)
    powers: int | None = None
    input_gradient: bool = False
    quick_steps: int | None = None
    quick_batch: int | None = None

    family = "training"
    most_others = 1.5  # all styles: at most 1.22, as autograd differentiates each operation by itself

    def __post_init__(self) -> None:
        """Raise ValueError for what no style could compute."""
        if not self.layers or self.batch < 1 or self.steps < 1:
            raise ValueError(f"{self.name}: needs at least one layer, one example and one step")
        if self.optimizer is None and self.steps != 1:
            raise ValueError(f"{self.name}: without an optimizer nothing is updated, so steps must be 1")
        if self.input_gradient and self.optimizer is not None:
            raise ValueError(f"{self.name}: input_gradient needs optimizer=None: no update uses the gradient by x")
        if self.powers is not None and (self.features != 1 or self.input_gradient):
            raise ValueError(f"{self.name}: powers need exactly one feature and no input_gradient")

    def at_tier(self, tier: str) -> "Training":
        """Return this problem with the steps and the batch of ``tier``: ``full`` is the published size.

        ``quick`` has fewer steps, or a smaller batch if there is one step; ``short`` has a tenth of its steps.
        """
        if tier == "full":
            return self
        quick = replace(self, steps=self.quick_steps or self.steps, batch=self.quick_batch or self.batch)
        return quick if tier == "quick" else replace(quick, steps=max(1, quick.steps // 10))

    def gradient_problem(self) -> "Training":
        """Return the same network without an update: its outputs are the gradients of the first step."""
        return replace(self, optimizer=None, steps=1)

    def probe(self) -> "Training":
        """Return one step of SGD at a rate so large that w − lr·g shows g to the last digit; or this problem."""
        return self if self.optimizer is None else replace(self, optimizer=SGD(_PROBE_RATE), steps=1)

    def gradients_shown(self, inputs: Arrays, outputs: Arrays) -> Arrays:
        """Return the gradients: (w − w′) / lr for every parameter, or the outputs without an update."""
        if self.optimizer is None:
            return {name: array for name, array in outputs.items() if name.startswith("grad_")}
        return {
            f"grad_{name}": (inputs[name].astype(np.float64) - outputs[name]) / _PROBE_RATE
            for name in self.parameters
        }

    def with_steps(self, steps: int) -> "Training":
        """Return this training, ended after ``steps``."""
        return replace(self, steps=steps)

    def rehearsal(self) -> "Training | None":
        """Return five steps of Adam at a rate of 1e-2, or None for another optimizer.

        At 1e-6 a float32 weight of 1 moves by only eight of its smallest units per step, whatever the moments are.
        """
        if not isinstance(self.optimizer, Adam):
            return None
        return replace(self, optimizer=replace(self.optimizer, lr=1e-2), steps=5)

    def longer_step(self) -> "tuple[Training, int] | None":
        """Return two steps with twice the powers, which are computed anew at every step; None without powers."""
        if self.powers is None:
            return None
        return replace(self, powers=2 * self.powers, steps=2), self.batch * self.powers

    @property
    def functions(self) -> frozenset[str]:  # type: ignore[override]  # made from the layers
        """Return the activations that are functions."""
        return frozenset(layer.activation for layer in self.layers if layer.activation == "tanh")

    @property
    def divisor(self) -> int:
        """Return what Σ(ŷ − y)² is divided by."""
        return self.batch if self.loss == "mean" else 1

    @property
    def widths(self) -> tuple[int, ...]:
        """Return the number of columns before the first layer and after each layer."""
        first = self.features if self.powers is None else self.powers + 1
        return (first, *(layer.outputs for layer in self.layers))

    @property
    def parameters(self) -> tuple[str, ...]:
        """Return the names of the parameters in their flat order: w1, b1, w2, …"""
        layers = enumerate(self.layers, start=1)
        return tuple(f"{kind}{number}" for number, layer in layers for kind in ("wb" if layer.bias else "w"))

    @property
    def slots(self) -> tuple[Slot, ...]:
        """Return for each layer where its parameters are in :attr:`parameters`."""
        names = self.parameters
        return tuple(
            Slot(names.index(f"w{n}"), names.index(f"b{n}") if layer.bias else None, layer.activation)
            for n, layer in enumerate(self.layers, start=1)
        )

    def inputs(self, seed: int, dtype: str) -> Arrays:
        """Draw ``x``, ``y`` and the initial parameters, in float64 and then cast.

        Biases are drawn last, so that networks of one shape share all other numbers, with and without bias.
        Then the examples that are :meth:`near_a_kink` are drawn again.
        """
        generator = np.random.default_rng(seed)
        x, y = self.draw(generator, self)
        drawn = {"x": x, "y": y}
        for number, (fan_in, fan_out) in enumerate(pairwise(self.widths), start=1):
            drawn[f"w{number}"] = self.initialise(generator, fan_in, fan_out)
        for number, layer in enumerate(self.layers, start=1):
            if layer.bias:
                drawn[f"b{number}"] = self.initialise_bias(generator, 1, layer.outputs)[0]
        while (again := np.flatnonzero(self.near_a_kink(drawn))).size:
            x[again], y[again] = self.draw(generator, replace(self, batch=again.size))
        return frozen(drawn, dtype)

    def near_a_kink(self, inputs: Arrays) -> Array:
        """Return for each example whether float32 could put it on the other side of a ReLU's kink.

        Then a pre-activation z = a·w + b is so near 0 that rounding decides its sign, and the gradients of two
        correct programs differ by all that this example contributes. Near means |z| < 3e-8·‖a‖·‖w‖, three times
        the mean error of float32 here. Exactly 0 is not near: it is 0 in every program. Only the first 32 steps
        are checked: a training moves most in them, and later the side of a unit at the kink matters little.
        """
        near = np.zeros(self.batch, bool)
        parameters = [inputs[name].astype(np.float64) for name in self.parameters]
        for _, _, seen in islice(self._train(inputs, parameters), 32):
            for slot, (a, z) in zip(self.slots, seen, strict=True):
                if slot.activation in ("relu", "shifted_relu"):
                    size = np.linalg.norm(a, axis=1)[:, None] * np.linalg.norm(parameters[slot.weight], axis=0)
                    near |= ((z != 0) & (np.abs(z) < 3e-8 * size)).any(axis=1)
        return near

    def degenerate(self, inputs: Arrays) -> str | None:
        """Return which ReLU is on for all entries of its layer, or off for all: then it could be left out."""
        if alike := super().degenerate(inputs):
            return alike
        parameters = [inputs[name].astype(np.float64) for name in self.parameters]
        _, _, seen = self._chain_rule(parameters, *(inputs[name].astype(np.float64) for name in ("x", "y")))
        for number, (slot, (_, z)) in enumerate(zip(self.slots, seen, strict=True), start=1):
            if slot.activation in ("relu", "shifted_relu") and (z > 0).all() == (z > 0).any():
                return f"the ReLU of layer {number} is {'on' if z.max() > 0 else 'off'} for every entry"
        return None

    def curve(self, inputs: Arrays, outputs: Arrays) -> Arrays:
        """Return x, y and what the network makes of x after the last step, if x and y are one column each."""
        if (self.features, self.layers[-1].outputs) != (1, 1):
            return {}
        parameters = [outputs.get(name, inputs[name]).astype(np.float64) for name in self.parameters]
        x, y = (inputs[name].astype(np.float64) for name in ("x", "y"))
        _, _, seen = self._chain_rule(parameters, x, y)
        fitted = _ACTIVATIONS[self.layers[-1].activation][0](seen[-1][1])
        order = np.argsort(x[:, 0])
        return {"x": x[order, 0], "y": y[order, 0], "fitted": fitted[order, 0]}

    def outputs(self, losses: _T, parameters: Sequence[_T], gradients: Sequence[_T]) -> dict[str, _T]:
        """Name the outputs of a style: the losses, and the weights, or the gradients without an update.

        ``gradients`` has the order of ``parameters``; the gradient by ``x`` comes last if the problem asks for it.
        """
        if self.optimizer is not None:
            return {"losses": losses, **dict(zip(self.parameters, parameters, strict=True))}
        names = (*self.parameters, "x") if self.input_gradient else self.parameters
        return {"losses": losses, **{f"grad_{n}": g for n, g in zip(names, gradients, strict=True)}}

    def reference(self, inputs: Arrays) -> Arrays:
        """Train in float64, one plain line per formula. ``correctness/`` proves it by central differences.

        Raises ``AbnormalNumbers`` if a step meets a number that is not normal in the dtype of the inputs.
        """
        parameters = [inputs[name].astype(np.float64) for name in self.parameters]
        losses = np.empty(self.steps)
        gradients: list[Array] = []
        for t, (loss, by_parameter, _) in enumerate(self._train(inputs, parameters)):
            losses[t], gradients = loss, by_parameter
        outputs = self.outputs(losses, parameters, gradients)
        check_normal(outputs, inputs["x"].dtype.name, f"{self.name}, after the last step")
        return outputs

    def _train(self, inputs: Arrays, parameters: list[Array]) -> Iterator[tuple[float, list[Array], list[_Seen]]]:
        """Yield the loss, the gradients, and a and z of each layer at every step, then update ``parameters``."""
        x, y = (inputs[name].astype(np.float64) for name in ("x", "y"))
        first, second = ([np.zeros_like(p) for p in parameters] for _ in range(2))
        dtype, names = inputs["x"].dtype.name, (*self.parameters, "x")
        for t in range(1, self.steps + 1):
            loss, gradients, seen = self._chain_rule(parameters, x, y)
            kinds = {"": parameters, "gradient of ": gradients}
            if isinstance(self.optimizer, Adam):
                kinds |= {"first moment of ": first, "second moment of ": second}
            met = {f"{kind}{n}": a for kind, arrays in kinds.items() for n, a in zip(names, arrays, strict=False)}
            check_normal(met, dtype, f"{self.name}, step {t}")
            yield loss, gradients, seen
            for i, g in enumerate(gradients[: len(parameters)]):
                match self.optimizer:
                    case SGD(lr):
                        parameters[i] = parameters[i] - lr * g
                    case Adam(lr, beta1, beta2, eps):
                        first[i] = beta1 * first[i] + (1 - beta1) * g
                        second[i] = beta2 * second[i] + (1 - beta2) * g**2
                        m_hat, v_hat = first[i] / (1 - beta1**t), second[i] / (1 - beta2**t)
                        parameters[i] = parameters[i] - lr * m_hat / (np.sqrt(v_hat) + eps)

    @property
    def forward_flops(self) -> int:
        """Return the operations in the matrix products of a forward pass: one product for each layer."""
        return sum(2 * self.batch * i * o for i, o in pairwise(self.widths))

    def work(self, dtype: str) -> Work:
        """Count one step: forward pass, loss, backward pass and update.

        A layer takes three matrix products of one size: forward, the gradient by its weights, the gradient by its
        input. The first layer takes the last one only with ``input_gradient``.
        """
        batch, products, other, parameters = self.batch, 0, 0, 0
        if self.powers is not None:
            other += batch * self.widths[0]  # one power each
        for number, (layer, fan_in) in enumerate(zip(self.layers, self.widths, strict=False)):
            parameters += (fan_in + layer.bias) * layer.outputs
            by_input = number > 0 or self.input_gradient
            products += (3 if by_input else 2) * 2 * batch * fan_in * layer.outputs
            # Forward, then backward; a bias is added, its gradient is a sum over the batch.
            forward, backward = _ACTIVATION_FLOPS[layer.activation]
            other += batch * layer.outputs * (forward + backward + 2 * layer.bias)
        # Residual, square, sum; and twice the residual for the backward pass.
        other += 4 * batch * self.layers[-1].outputs
        data = batch * (self.features + self.layers[-1].outputs)
        moved = data + 2 * parameters + 1  # data and parameters read, parameters or gradients and the loss written
        match self.optimizer:
            case SGD():
                other += 2 * parameters  # lr·g, w − …
            case Adam():
                # m: 3, v: 4, corrections: 2, then root, + eps, quotient, · lr, w − …: 5.
                other += 14 * parameters
                moved += 4 * parameters  # both moments, read and written
            case None:
                moved += batch * self.features if self.input_gradient else 0
        return Work(products, other, np.dtype(dtype).itemsize * moved)

    def _chain_rule(self, parameters: list[Array], x: Array, y: Array) -> tuple[float, list[Array], list[_Seen]]:
        """Return the loss, the gradients, and for each layer its input a and its pre-activation z."""
        a = x if self.powers is None else x ** np.arange(self.powers + 1)
        seen: list[_Seen] = []
        for slot in self.slots:
            z = a @ parameters[slot.weight] + (0.0 if slot.bias is None else parameters[slot.bias])
            seen.append((a, z))
            a = _ACTIVATIONS[slot.activation][0](z)
        loss = float(np.sum((a - y) ** 2)) / self.divisor
        by_a = 2 * (a - y) / self.divisor
        gradients: list[Array] = [np.empty(0)] * len(parameters)
        for slot, (a, z) in zip(reversed(self.slots), reversed(seen), strict=True):
            by_z = by_a * _ACTIVATIONS[slot.activation][1](z)
            gradients[slot.weight] = a.T @ by_z
            if slot.bias is not None:
                gradients[slot.bias] = by_z.sum(axis=0)
            by_a = by_z @ parameters[slot.weight].T
        return loss, [*gradients, by_a] if self.input_gradient else gradients, seen


_ACTIVATIONS: dict[Activation, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "identity": (lambda z: z, np.ones_like),
    "relu": (lambda z: np.where(z > 0, z, 0.0), lambda z: np.where(z > 0, 1.0, 0.0)),
    "shifted_relu": (lambda z: np.where(z > 0, z, 0.0) - 0.5, lambda z: np.where(z > 0, 1.0, 0.0)),
    "tanh": (np.tanh, lambda z: 1 / np.cosh(z) ** 2),
}
"""Each activation and its derivative, both as functions of z."""

_ACTIVATION_FLOPS: dict[Activation, tuple[int, int]] = {
    "identity": (0, 0),
    "relu": (1, 2),  # max; z > 0, times the gradient
    "shifted_relu": (2, 2),
    "tanh": (1, 3),  # tanh; square, 1 − …, times the gradient
}
"""Operations per entry, forward and backward."""


def gaussian(generator: np.random.Generator, problem: Training) -> tuple[Array, Array]:
    """Draw x and y: independent standard normal numbers."""
    x = generator.standard_normal((problem.batch, problem.features))
    return x, generator.standard_normal((problem.batch, problem.layers[-1].outputs))


def digit_images(generator: np.random.Generator, problem: Training) -> tuple[Array, Array]:
    """Draw substitutes for standardised 28×28 digit images, and targets 0 … 9 as floats.

    They have the pixel mean of the published images, 0.1304, and their standard deviation, 0.3073: a pixel is ink
    with probability 0.1543, and ink is uniform on [0.6903, 1]. Both numbers also standardise them.
    """
    shape = (problem.batch, problem.features)
    ink = generator.random(shape) < 0.1543
    pixels = np.where(ink, generator.uniform(0.6903, 1.0, shape), 0.0)
    y = generator.integers(0, 10, (problem.batch, problem.layers[-1].outputs)).astype(np.float64)
    return (pixels - 0.1304) / 0.3073, y


def sine_curve(generator: np.random.Generator, problem: Training) -> tuple[Array, Array]:
    """Return points evenly spaced on [0, 5] and their sines; nothing is drawn."""
    x = np.linspace(0, 5, problem.batch)[:, None]
    return x, np.sin(x)


def standard_normal(generator: np.random.Generator, fan_in: int, fan_out: int) -> Array:
    """Draw independent standard normal weights."""
    return generator.standard_normal((fan_in, fan_out))


def kaiming_normal(generator: np.random.Generator, fan_in: int, fan_out: int) -> Array:
    """Draw normal weights with standard deviation √(2 / fan_in), from He et al. (2015)."""
    weights: Array = generator.standard_normal((fan_in, fan_out)) * np.sqrt(2 / fan_in)
    return weights


_TWO_LAYER = Training(
    name="two_layer_784x30x10",
    batch=64,
    features=784,
    layers=(Layer(30, "relu"), Layer(10)),
    loss="sum",
    optimizer=SGD(1e-6),
    steps=500,
    quick_steps=50,
    dtype="float64",
    draw=gaussian,
    initialise=standard_normal,
)
_TINY = replace(_TWO_LAYER, name="tiny_3x2x1", features=3, layers=(Layer(2, "relu"), Layer(1)), dtype="float32")
# With biases of zero, a mask taken before the bias is added would go unnoticed at the first step.
_TINY_BIAS = replace(
    _TINY,
    name="tiny_bias_3x2x1",
    layers=(Layer(2, "relu", bias=True), Layer(1, bias=True)),
    initialise_bias=standard_normal,
)

PROBLEMS: tuple[Problem, ...] = (
    _TWO_LAYER,
    replace(
        _TWO_LAYER,
        name="two_layer_1000x100x10",
        features=1000,
        layers=(Layer(100, "relu"), Layer(10)),
        dtype="float32",
    ),
    _TINY,
    _TINY_BIAS,
    replace(_TINY_BIAS, name="tiny_bias_adam_3x2x1", optimizer=Adam(1e-6)),
    Training(
        name="shifted_relu_784x50x1",
        batch=50_000,
        quick_batch=2_000,
        features=784,
        layers=(Layer(50, "shifted_relu", bias=True), Layer(1, bias=True)),
        loss="mean",
        optimizer=None,
        steps=1,
        input_gradient=True,
        dtype="float32",
        draw=digit_images,
        initialise=kaiming_normal,
    ),
    Training(
        name="polynomial_degree4",
        batch=100,
        features=1,
        powers=4,
        layers=(Layer(1),),
        loss="mean",
        optimizer=SGD(1e-5),
        steps=200_000,
        quick_steps=200,
        dtype="float64",
        draw=sine_curve,
        initialise=zeros,
    ),
)
