"""``torch.compile`` of the whole step, loss, gradients and update, as one graph of functions without side effects.

Compiling the loss alone, with ``backward()`` and the update outside, took two to five times as long per step at the
small sizes: every change between compiled and eager code takes time.
"""

import shutil
from collections.abc import Callable
from types import FunctionType
from typing import Any

import torch

from gradperf.frameworks.contract import Arrays, Run
from gradperf.frameworks.torch import network
from gradperf.frameworks.torch.functional import State, start, update
from gradperf.frameworks.torch.network import Tensors
from gradperf.frameworks.torch.runtime import synchronized
from gradperf.problems.training import Training

EXECUTION = "inductor"
CALLS = ("grad_and_value",)


def supports(problem: Training, device: str, dtype: str) -> str | None:
    """Return the reason if there is no C++ compiler, which torch.compile needs on the CPU."""
    if device == "cpu" and not any(map(shutil.which, ("g++", "clang++", "c++"))):
        return "torch.compile needs a C++ compiler, and none is installed (Debian: apt install g++)"
    return None


def install() -> None:
    """Let torch probe the C++ compiler and precompile its header. A machine does this once; it takes 15 s."""
    compiled(lambda x: x + 1)(torch.zeros(1))


def compiled(step: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a copy of ``step`` with a code object of its own.

    torch.compile keeps its results by code object. Networks that share one would check each other's guards at every
    call, and torch would stop compiling after eight.
    """
    own = FunctionType(step.__code__.replace(), step.__globals__, step.__name__, None, step.__closure__)
    return torch.compile(own, fullgraph=True, dynamic=False)


def prepare(problem: Training, inputs: Arrays, device: str, dtype: str) -> Run:
    initial, x, y = network.on_device(problem, inputs, device)
    count = len(initial)
    if problem.input_gradient:
        initial = [*initial, x.detach()]

    def loss(tensors: Tensors) -> torch.Tensor:
        # x is differentiated only if it is among the tensors.
        seen = tensors[count] if problem.input_gradient else x
        return network.loss_of(problem, seen, y)(tensors[:count])

    differentiate = torch.func.grad_and_value(loss)

    @compiled
    def step(tensors: Tensors, state: State) -> Any:
        gradients, value = differentiate(tensors)
        tensors, state = update(problem.optimizer, tensors, gradients, state)
        return tensors, state, value, gradients if problem.optimizer is None else None

    @torch.no_grad()
    def run(steps: int = problem.steps) -> dict[str, torch.Tensor]:
        tensors, state, losses = initial, start(problem.optimizer, initial), []
        for _ in range(steps):
            tensors, state, value, gradients = step(tensors, state)
            losses.append(value)
        return synchronized(problem.outputs(torch.stack(losses), tensors[:count], gradients or []), device)

    return run
