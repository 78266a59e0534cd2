"""One step captured as a CUDA graph and replayed: the CPU launches one graph per step, not dozens of kernels."""

from collections.abc import Iterator
from typing import Any

import torch

from gradperf.frameworks.contract import Arrays, Run
from gradperf.frameworks.torch import functional, network
from gradperf.frameworks.torch.runtime import synchronized
from gradperf.problems.training import Training

EXECUTION = "unknown"
CALLS = ("grad",)
UNCOUNTED = "what a graph replays cannot be traced from outside"


def supports(problem: Training, device: str, dtype: str) -> str | None:
    return None if device == "cuda" else "a CUDA graph needs a CUDA device"


def tensors(state: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors of an optimizer's state, always in the same order."""
    if isinstance(state, torch.Tensor):
        yield state
    else:
        for part in state:
            yield from tensors(part)


def prepare(problem: Training, inputs: Arrays, device: str, dtype: str) -> Run:
    initial, x, y = network.on_device(problem, inputs, device)
    # A graph reads and writes fixed memory, so every step writes into these tensors.
    parameters = network.leaves(initial)
    state = functional.start(problem.optimizer, parameters)
    losses = torch.zeros(problem.steps, dtype=x.dtype, device=device)
    at = torch.zeros(1, dtype=torch.int64, device=device)
    differentiated = [*parameters, x] if problem.input_gradient else parameters
    loss_of = network.loss_of(problem, x, y)

    def step() -> list[torch.Tensor]:
        loss = loss_of(parameters)
        gradients = list(torch.autograd.grad(loss, differentiated))
        with torch.no_grad():
            losses.index_copy_(0, at, loss.detach().reshape(1))
            at.add_(1)
            if problem.optimizer is not None:
                new, new_state = functional.update(problem.optimizer, parameters, gradients, state)
                for old, value in zip((*parameters, *tensors(state)), (*new, *tensors(new_state)), strict=True):
                    old.copy_(value)
        return gradients

    @torch.no_grad()
    def restart() -> None:
        for parameter, start in zip(parameters, initial, strict=True):
            parameter.copy_(start)
        for tensor in (at, *tensors(state)):
            tensor.zero_()

    # A capture needs a warm-up on a side stream first, in which libraries create their handles and workspaces.
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            restart()
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        gradients = step()

    def run(steps: int = problem.steps) -> dict[str, torch.Tensor]:
        restart()
        for _ in range(steps):
            graph.replay()
        return synchronized(problem.outputs(losses[:steps], parameters, gradients), device)

    return run
