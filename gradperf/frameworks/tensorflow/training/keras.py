"""Keras: a ``Sequential`` model, compiled, trained by ``train_on_batch``.

Not by ``fit``: there a full-batch step is an epoch, and every epoch starts an iterator over the data, callbacks
and a history. On a network of 8 weights that took 50 ms for a step of 0.6 ms.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from gradperf.frameworks.contract import Arrays, Run
from gradperf.frameworks.tensorflow.runtime import from_numpy, on, synchronized
from gradperf.problems.training import SGD, Adam, Training

ACTIVATIONS: dict[str, Any] = {
    "identity": None,
    "relu": "relu",
    "shifted_relu": lambda z: keras.ops.relu(z) - 0.5,
    "tanh": "tanh",
}

EXECUTION = "graph"
CALLS = ("gradient", "train_on_batch")


class SquaredError(keras.losses.Loss):  # type: ignore[misc]  # Keras has no types
    """Σ(ŷ − y)² of each example. Keras' own MeanSquaredError also divides by the number of outputs."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """(batch, outputs) → (batch,); the base class reduces over the batch."""
        return keras.ops.sum(keras.ops.square(y_pred - y_true), axis=-1)


def supports(problem: Training, device: str, dtype: str) -> str | None:
    if keras.backend.backend() != "tensorflow":
        return f"keras was imported with the backend {keras.backend.backend()}: set KERAS_BACKEND=tensorflow"
    if problem.optimizer is None:
        return "train_on_batch always updates the weights, and returns no gradients"
    if isinstance(problem.optimizer, Adam) and dtype == "float64":
        return "Keras' Adam rounds its β₁ and β₂ to float32: in float64 the relative error of its updates is 7e-6"
    return None


def model_of(problem: Training, dtype: str) -> Any:
    """Return the compiled model."""
    layers = [keras.Input((problem.features,))]
    if problem.powers is not None:
        exponents = np.arange(problem.powers + 1, dtype=dtype)
        layers.append(keras.layers.Lambda(lambda x: keras.ops.power(x, exponents)))
    layers += [
        keras.layers.Dense(layer.outputs, ACTIVATIONS[layer.activation], layer.bias) for layer in problem.layers
    ]
    model = keras.Sequential(layers)
    # By default Keras takes XLA only if there is a GPU: then one case would be two programs.
    model.compile(optimizer_of(problem), SquaredError(reduction=problem.loss), jit_compile=False)
    return model


def optimizer_of(problem: Training) -> Any:
    """Return Keras' own optimizer."""
    match problem.optimizer:
        case SGD(lr):
            return keras.optimizers.SGD(lr)
        case Adam(lr, beta1, beta2, eps):
            return keras.optimizers.Adam(lr, beta1, beta2, eps)


@contextmanager
def floats(dtype: str) -> Iterator[None]:
    """Make ``dtype`` Keras' default, which is read while a model is built, compiled and traced.

    A dtype for each layer is not enough: the loss of a compiled model, its metric and the learning rate always
    take the default.
    """
    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)
    try:
        yield
    finally:
        keras.config.set_floatx(before[0])
        keras.config.set_dtype_policy(before[1])


def prepare(problem: Training, inputs: Arrays, device: str, dtype: str) -> Run:
    x, y = from_numpy(inputs["x"], device), from_numpy(inputs["y"], device)
    weights = [from_numpy(inputs[name], device) for name in problem.parameters]
    with on(device), floats(dtype):
        model = model_of(problem, dtype)
        model.optimizer.build(model.trainable_variables)
        state = [(variable, variable.numpy()) for variable in model.optimizer.variables]
        model.train_on_batch(x, y)
    initial = [*zip(model.trainable_variables, weights, strict=True), *state]

    def run(steps: int = problem.steps) -> dict[str, Any]:
        with on(device):
            for variable, start in initial:
                variable.assign(start)
            # train_on_batch resets the metrics first, so the mean that it returns is the loss of this step.
            losses = [model.train_on_batch(x, y) for _ in range(steps)]
            trained = [keras.ops.copy(variable) for variable in model.trainable_variables]
        outputs = problem.outputs(np.array(losses, dtype), trained, [])
        return synchronized(outputs, device)

    return run
