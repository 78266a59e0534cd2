"""Training by ``GradientTape`` over variables, shared by the styles that differ in how a step is called."""

from typing import Any

import tensorflow as tf

from gradperf.frameworks.contract import Arrays, Run
from gradperf.frameworks.tensorflow import network, optimizers
from gradperf.frameworks.tensorflow.calling import CallAs
from gradperf.frameworks.tensorflow.runtime import from_numpy, on, synchronized
from gradperf.problems.training import Training


def prepare(problem: Training, inputs: Arrays, device: str, dtype: str, call_as: CallAs) -> Run:
    """Return the training."""
    x, y = from_numpy(inputs["x"], device), from_numpy(inputs["y"], device)
    with on(device):
        parameters = network.variables(problem, inputs)
        loss_of = network.loss_of(problem, dtype)
        update, state = optimizers.build(problem.optimizer, parameters)
        initial = [(variable, variable.read_value()) for variable in (*parameters, *state)]

    def step(x: Any, y: Any) -> tuple[Any, list[Any]]:
        loss, tape = taped(problem, loss_of, parameters, x, y)
        gradients = tape.gradient(loss, sources(problem, parameters, x))
        update(gradients)
        return loss, gradients if problem.optimizer is None else []

    with on(device):
        call = call_as(step, x, y)

    def run(steps: int = problem.steps) -> dict[str, Any]:
        with on(device):
            for variable, start in initial:
                variable.assign(start, read_value=False)
            losses = []
            for _ in range(steps):
                loss, gradients = call(x, y)
                losses.append(loss)
            trained = [parameter.read_value() for parameter in parameters]
            outputs = problem.outputs(stacked(losses), trained, gradients)
        return synchronized(outputs, device)

    return run


def taped(
    problem: Training, loss_of: network.Loss, parameters: network.Tensors, x: Any, y: Any
) -> tuple[Any, tf.GradientTape]:
    """Return the loss, and a tape that can be differentiated once. The tape watches variables by itself."""
    with tf.GradientTape() as tape:
        if problem.input_gradient:
            tape.watch(x)
        return loss_of(parameters, x, y), tape


def sources(problem: Training, parameters: network.Tensors, x: Any) -> list[Any]:
    """Return the tensors by which the loss is differentiated."""
    return [*parameters, x] if problem.input_gradient else [*parameters]


def stacked(scalars: list[Any]) -> Any:
    """Stack in pieces: TensorFlow needs time n² to prepare one operation of n inputs, 16 s for 200,000."""
    pieces = range(0, len(scalars), _PIECE)
    return tf.concat([tf.stack(scalars[start : start + _PIECE]) for start in pieces], axis=0)


_PIECE = 1000
