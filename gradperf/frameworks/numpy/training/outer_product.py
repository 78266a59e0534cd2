"""Backpropagation by hand, the weight gradient a sum of outer products: one (in, out) matrix per example.

That is how the chain rule is derived on paper, and how the notebook first wrote it. It builds (batch, in, out)
numbers and then sums them.
"""

from gradperf.frameworks.contract import Array, Arrays, Backward, Forward, Run
from gradperf.frameworks.numpy import backprop
from gradperf.machine.memory import memory_bytes
from gradperf.problems.training import Training

UNCOUNTED = "its weight gradient is no matrix product"
PRODUCTS = "all but weight gradients"


def weight_gradient(a: Array, delta: Array) -> Array:
    """Return the sum of the outer products of all examples."""
    return (a[:, :, None] * delta[:, None, :]).sum(axis=0)


def supports(problem: Training, device: str, dtype: str) -> str | None:
    """Return the reason if the outer products do not fit in memory."""
    widths = zip(problem.widths, problem.widths[1:], strict=False)
    needed_bytes = problem.batch * max(i * o for i, o in widths) * (8 if dtype == "float64" else 4)
    here_bytes = memory_bytes()
    if here_bytes is None or needed_bytes <= here_bytes / 2:
        return None
    return (
        f"its outer products take {needed_bytes / 2**30:.1f} GiB, "
        f"more than half of the {here_bytes / 2**30:.1f} GiB here"
    )


def prepare(problem: Training, inputs: Arrays, device: str, dtype: str) -> Run:
    return backprop.prepare(problem, inputs, weight_gradient)


def phases(problem: Training, inputs: Arrays, device: str, dtype: str) -> tuple[Forward, Backward]:
    return backprop.phases(problem, inputs, weight_gradient)
