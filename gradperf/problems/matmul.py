"""Matrix products: each ``a`` (m, k) times ``b`` (k, n). ``matmul_<m>x<k>x<n>`` is a problem at any size.

A small product is too short for a clock, so one call computes several. Each has its own ``a``, so that none can be
skipped or copied from another.
"""

import math
import re
from dataclasses import dataclass, replace

import numpy as np

from gradperf.errors import UserError
from gradperf.machine.memory import memory_bytes
from gradperf.problems.problem import Arrays, Problem, Work, frozen

BASELINE = "numpy.operator"

_SMALL_FLOPS = 1_000_000
"""Below this many operations a product takes microseconds, and the 0.1 µs of the harness would show."""

_MOST_CALLS = 100_000


@dataclass(frozen=True)
class Matmul(Problem):
    """The product of two matrices of standard normal numbers."""

    m: int
    k: int
    n: int
    dtype: str = "float32"
    first: int | None = None
    """Only this many of its products; None for all."""

    family = "matmul"
    most_others = 0.0

    @property
    def name(self) -> str:  # type: ignore[override]  # made from the sizes, so it cannot be set
        """As in case ids."""
        return f"matmul_{self.m}x{self.k}x{self.n}"

    @property
    def steps(self) -> int:  # type: ignore[override]  # the same
        """Products in one call."""
        return self.first or (4 if self.work(self.dtype).flops < _SMALL_FLOPS else 1)

    def with_steps(self, steps: int) -> "Matmul":
        """Return the first ``steps`` products."""
        return replace(self, first=steps)

    def small(self) -> "Matmul":
        """Return a product of three rows and five columns at most."""
        return replace(self, m=min(self.m, 3), k=min(self.k, 4), n=min(self.n, 5), first=1)

    def inputs(self, seed: int, dtype: str) -> Arrays:
        """Draw ``a`` (steps, m, k) and ``b`` (k, n)."""
        generator = np.random.default_rng(seed)
        a = generator.standard_normal((self.steps, self.m, self.k))
        return frozen({"a": a, "b": generator.standard_normal((self.k, self.n))}, dtype)

    def reference(self, inputs: Arrays) -> Arrays:
        """Return the product in float64: ``product`` (steps, m, n)."""
        return {"product": inputs["a"][: self.steps].astype(np.float64) @ inputs["b"].astype(np.float64)}

    def work(self, dtype: str) -> Work:
        """Count 2·m·k·n operations; both matrices are read, their product is written."""
        m, k, n = self.m, self.k, self.n
        return Work(2 * m * k * n, 0, np.dtype(dtype).itemsize * (m * k + k * n + m * n))


def too_many_calls(count: int) -> str | None:
    """Return why a style with ``count`` Python calls in one product is not timed, or None."""
    reason = f"{count:,} Python calls in one product; at most {_MOST_CALLS:,} are timed"
    return reason if count > _MOST_CALLS else None


def parse(name: str) -> Matmul | None:
    """Return the problem ``matmul_<m>x<k>x<n>``, or None for any other name."""
    if (match := re.fullmatch(r"matmul_([1-9]\d*)x([1-9]\d*)x([1-9]\d*)", name)) is None:
        return None
    m, k, n = map(int, match.groups())
    problem = Matmul(m, k, n)
    needed = problem.work("float64").bytes
    if needed > (memory_bytes() or math.inf) / 2:
        size = f"{needed / 2**30:,.0f} GiB"
        raise UserError(f"{name}: its matrices take {size} in float64, more than half the memory here")
    return problem


PROBLEMS: tuple[Problem, ...] = (
    Matmul(5, 784, 10),  # five images through one layer: small enough for Python loops
    Matmul(64, 64, 64),
    Matmul(512, 512, 512),
)
