"""The base class of all problems, and the checks of their arrays."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradperf.errors import UserError

Array = np.ndarray[Any, np.dtype[Any]]
Arrays = Mapping[str, Array]
"""Named arrays: the inputs of a problem, or the outputs of a style."""

_DATA = ("a", "b", "x")
"""Inputs of which each row is drawn; weights may begin with zeros."""


@dataclass(frozen=True)
class Work:
    """The work of one step, counted from the formulas. ``docs/problems.md`` counts one problem by hand."""

    product_flops: int
    """Multiplications and additions in matrix products: 2·m·k·n for (m, k) by (k, n)."""
    other_flops: int
    """All other arithmetic: one for each entry and operation. A cosine or a power counts as one."""
    bytes: int
    """Every input, parameter and moment read once, every result written once. No cache can save these."""

    @property
    def flops(self) -> int:
        """All operations."""
        return self.product_flops + self.other_flops


class Problem(ABC):
    """One problem. Each family is a frozen dataclass that inherits from this class.

    The defaults describe a problem of one fixed size with no gradient and no training.
    """

    name: str
    """As in case ids."""
    family: str
    """The module that defines the problem, and the folder of its styles."""
    dtype: str
    """The dtype it was published in. ``pytest perf`` uses it unless ``--dtype`` is given."""
    steps: int = 1
    """Steps in one timed call."""
    functions: frozenset[str] = frozenset()
    """The functions that a step takes beside sums, products, powers, comparisons and max; a style may use others of
    ``FUNCTIONS`` (``frameworks/contract.py``) in no step, and must use one of these in each."""
    most_others: float | None = None
    """A style makes at most this many times the operations outside of matrix products that are counted by hand
    (:attr:`Work.other_flops`); None where styles differ by design."""
    least_others: float = 0.0
    """A style makes at least this many times as many; 0 where one operation of a library stands for several."""

    @abstractmethod
    def inputs(self, seed: int, dtype: str) -> Arrays:
        """Return the inputs. Every style gets the same numbers from the same seed."""

    @abstractmethod
    def reference(self, inputs: Arrays) -> Arrays:
        """Compute in float64 what every style must return."""

    @abstractmethod
    def work(self, dtype: str) -> Work:
        """Count operations and bytes of one step."""

    def at_tier(self, tier: str) -> "Problem":
        """Return this problem at the size of ``tier``."""
        return self

    def gradient_problem(self) -> "Problem | None":
        """Return the problem whose outputs are the first gradients of this one, or None without a gradient."""
        return None

    def probe(self) -> "Problem":
        """Return the problem whose outputs show the gradients that the timed code uses."""
        return self

    def gradients_shown(self, inputs: Arrays, outputs: Arrays) -> Arrays:
        """Read the first gradients off the outputs of :meth:`probe`."""
        return {}

    def curve(self, inputs: Arrays, outputs: Arrays) -> Arrays:
        """Return what can be drawn over one axis: ``x``, ``y`` and what the style made of them; else nothing."""
        return {}

    def with_steps(self, steps: int) -> "Problem":
        """Return what ``run(steps)`` computes from the inputs of this problem: its first ``steps``."""
        assert steps == self.steps == 1
        return self

    def longer_step(self) -> "tuple[Problem, int] | None":
        """Return a problem, and how many operations more each step of it takes than a step of this one, at least.

        The operations depend on the data alone, so a style could do them once for all steps. None without such.
        """
        return None

    def small(self) -> "Problem":
        """Return a problem of the same kind that loops in Python compute at once."""
        return self

    def rehearsal(self) -> "Problem | None":
        """Return a problem that shows errors which the dtype of this one would hide, or None."""
        return None

    def degenerate(self, inputs: Arrays) -> str | None:
        """Return why these inputs do not exercise the problem, or None.

        Such as examples that are all alike: then one of them could stand for all.
        """
        for name, array in inputs.items():
            rows = array.reshape(-1, array.shape[-1])
            if name in _DATA and len(rows) > 1 and (rows == rows[0]).all():
                return f"the rows of {name} are all alike"
            if array.ndim > 1 and rows.shape[1] > 1 and (rows == rows[:, :1]).all():
                return f"the columns of {name} are all alike"
        return None


class AbnormalNumbers(UserError, ValueError):
    """Subnormal numbers, NaN or infinity: their arithmetic takes another time than that of normal numbers."""


def frozen(arrays: Mapping[str, Array], dtype: str) -> Arrays:
    """Cast the inputs to ``dtype`` and make them read-only, so that no style can change another style's inputs.

    Raises :class:`AbnormalNumbers`.
    """
    cast = {name: np.ascontiguousarray(array, dtype=dtype) for name, array in arrays.items()}
    check_normal(cast, dtype, "the inputs")
    for array in cast.values():
        array.flags.writeable = False
    return cast


def check_normal(arrays: Mapping[str, Array], dtype: str, where: str) -> None:
    """Raise :class:`AbnormalNumbers` for an entry that is NaN, infinite or subnormal in ``dtype``.

    A float32 product of subnormal numbers took 140 times as long in numpy and torch, while JAX and TensorFlow
    flushed them to zero. Such a benchmark measures its data.
    """
    limits = np.finfo(dtype)
    # All arrays at once, because a training is checked at every step. A NaN fails this comparison.
    sizes = np.abs(np.concatenate([array.ravel() for array in arrays.values()]) if arrays else np.empty(0))
    if ((sizes == 0) | ((sizes >= limits.tiny) & (sizes <= limits.max))).all():
        return
    for name, array in arrays.items():
        if not (np.abs(array) <= limits.max).all():
            raise AbnormalNumbers(f"{where}: {name} holds a NaN or an infinity in {dtype}")
        if ((array != 0) & (np.abs(array) < limits.tiny)).any():
            raise AbnormalNumbers(f"{where}: {name} holds a subnormal number in {dtype}")


def sha256(arrays: Arrays) -> str:
    """Hash names, dtypes, shapes and bytes: equal hashes mean the same numbers under the same names."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
