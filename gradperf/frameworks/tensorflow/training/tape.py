"""Eager ``GradientTape`` over variables: every operation called from Python, forward, backward and update."""

from typing import Any

from gradperf.frameworks.contract import Arrays, Backward, Forward, Run
from gradperf.frameworks.tensorflow import by_tape, network
from gradperf.frameworks.tensorflow.calling import eager
from gradperf.frameworks.tensorflow.runtime import from_numpy, on, synchronized
from gradperf.problems.training import Training

CALLS = ("gradient",)


def prepare(problem: Training, inputs: Arrays, device: str, dtype: str) -> Run:
    return by_tape.prepare(problem, inputs, device, dtype, eager)


def phases(problem: Training, inputs: Arrays, device: str, dtype: str) -> tuple[Forward, Backward]:
    x, y = from_numpy(inputs["x"], device), from_numpy(inputs["y"], device)
    with on(device):
        parameters = network.variables(problem, inputs)
        loss_of = network.loss_of(problem, dtype)
    sources = by_tape.sources(problem, parameters, x)
    differentiated = problem.gradient_problem()

    def forward() -> Any:
        with on(device):
            state = by_tape.taped(problem, loss_of, parameters, x, y)
        return synchronized(state, device)

    def backward(state: Any) -> dict[str, Any]:
        loss, tape = state
        with on(device):
            outputs = differentiated.outputs(loss[None], [], tape.gradient(loss, sources))
        return synchronized(outputs, device)

    return forward, backward
