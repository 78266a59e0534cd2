"""One step captured as a CUDA graph and replayed: the CPU launches one thing per step instead of dozens."""

from collections.abc import Callable

import torch

from gradperf.contract import Run
from gradperf.frameworks.torch import network, optimizers
from gradperf.frameworks.torch.runtime import synchronize
from gradperf.problems import Arrays
from gradperf.problems.training import Adam, Training


def supports(problem: Training, device: str, dtype: str) -> str | None:
    """CUDA alone; Adam by ``torch.optim`` with ``capturable`` keeps its step count on the device."""
    return None if device == "cuda" else "a CUDA graph needs a CUDA device"


def prepare(problem: Training, inputs: Arrays, device: str, dtype: str) -> Run:
    x, y = network.data(problem, inputs, device)
    initial = network.initial(problem, inputs, device)
    parameters = network.leaves(initial)
    differentiated = [*parameters, x] if problem.input_gradient else parameters
    loss_of = network.loss_of(problem, x, y)
    losses = torch.zeros(problem.steps, dtype=x.dtype, device=device)
    at = torch.zeros(1, dtype=torch.int64, device=device)
    update, reset = _update(problem, parameters)

    def step() -> list[torch.Tensor]:
        loss = loss_of(parameters)
        gradients = list(torch.autograd.grad(loss, differentiated))
        update(gradients)
        with torch.no_grad():
            losses.index_copy_(0, at, loss.detach().reshape(1))
            at.add_(1)
        return gradients

    @torch.no_grad()
    def restart() -> None:
        for parameter, start in zip(parameters, initial, strict=True):
            parameter.copy_(start)
        at.zero_()
        reset()

    # Capture must follow a warm-up on a side stream, so that libraries have made their handles and workspaces.
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            restart()
            step()
    torch.cuda.current_stream().wait_stream(side)
    restart()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        gradients = step()

    def run() -> dict[str, torch.Tensor]:
        restart()
        for _ in range(problem.steps):
            graph.replay()
        outputs = problem.outputs(losses, parameters, gradients)
        synchronize(device)
        return outputs

    return run


def _update(
    problem: Training, parameters: list[torch.Tensor]
) -> tuple[Callable[[list[torch.Tensor]], None], Callable[[], None]]:
    """Give the update, and what takes its state back to the beginning, both on tensors that stay in place."""
    if not isinstance(problem.optimizer, Adam):
        stateless = optimizers.start(problem.optimizer, parameters)
        return lambda gradients: stateless(parameters, gradients), lambda: None
    adam = problem.optimizer
    optimizer = torch.optim.Adam(
        parameters, lr=adam.lr, betas=(adam.beta1, adam.beta2), eps=adam.eps, capturable=True
    )

    def update(gradients: list[torch.Tensor]) -> None:
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        optimizer.step()

    def reset() -> None:
        for state in optimizer.state.values():
            for tensor in state.values():
                tensor.zero_()

    return update, reset
