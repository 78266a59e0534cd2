"""Problems: what is computed. Pure data and numpy; no framework is imported here.

One file per family. A family's module has

- ``PROBLEMS``: its entries, each a frozen dataclass that keeps the :class:`Problem` contract;
- ``BASELINE``, the style that the others are compared with, as ``framework.style``;
- optionally ``parse(name)``, for families whose names carry their sizes (``matmul_64x64x64``): any such name is
  a problem, entry or not.
"""

import hashlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, Protocol

import numpy as np

from gradperf.errors import UserError, unknown

Array = np.ndarray[Any, np.dtype[Any]]
Arrays = Mapping[str, Array]
"""Named arrays: a problem's inputs, or what a style hands back."""


@dataclass(frozen=True)
class Work:
    """What one step takes, counted from the formulas; ``docs/problems.md`` writes one count out by hand."""

    product_flops: int
    """Multiplications and additions in matrix products: 2·m·k·n for (m, k) by (k, n)."""
    other_flops: int
    """All other arithmetic: one for each entry and operation, a cosine or a power being one as well."""
    bytes: int
    """Every input, parameter and moment read once, every result written once: what no cache can save."""

    @property
    def flops(self) -> int:
        """All operations."""
        return self.product_flops + self.other_flops


class Problem(Protocol):
    """What a family's dataclass offers."""

    def __hash__(self) -> int:
        """Hash by value, as frozen dataclasses do."""
        ...

    @property
    def name(self) -> str:
        """As it stands in case ids."""
        ...

    @property
    def family(self) -> str:
        """The module that defines it and the folder its styles lie in."""
        ...

    @property
    def dtype(self) -> str:
        """The dtype it was published in: what ``pytest perf`` takes unless told otherwise."""
        ...

    @property
    def steps(self) -> int:
        """Steps in one timed call; 1 where there is no training."""
        ...

    def at_tier(self, tier: str) -> "Problem":
        """Give this problem at the size of ``tier``."""
        ...

    def inputs(self, seed: int, dtype: str) -> Arrays:
        """Draw the inputs; the same seed gives the same numbers for every style."""
        ...

    def reference(self, inputs: Arrays) -> Arrays:
        """Compute in float64 what every style must hand back."""
        ...

    def gradient_problem(self) -> "Problem | None":
        """Give the problem whose answer is this one's first gradients: None where there is no gradient."""
        ...

    def probe(self) -> "Problem":
        """Give the problem that shows the gradients which the timed code uses."""
        ...

    def gradients_shown(self, inputs: Arrays, outputs: Arrays) -> Arrays:
        """Read the first gradients off the outputs of :meth:`probe`."""
        ...

    def rehearsal(self) -> "Problem | None":
        """Give a problem that shows what this one's dtype would hide, or None."""
        ...

    def work(self, dtype: str) -> Work:
        """Count operations and bytes of one step."""
        ...


def frozen(arrays: Mapping[str, Array], dtype: str) -> Arrays:
    """Cast drawn arrays to ``dtype`` and make them read-only, so that no style can change another's inputs.

    Raises :class:`AbnormalNumbers`.
    """
    cast = {name: np.ascontiguousarray(array, dtype=dtype) for name, array in arrays.items()}
    check_normal(cast, dtype, "the inputs")
    for array in cast.values():
        array.flags.writeable = False
    return cast


class AbnormalNumbers(UserError, ValueError):
    """Numbers whose arithmetic is timed otherwise than that of normal ones."""


def check_normal(arrays: Mapping[str, Array], dtype: str, where: str) -> None:
    """Raise :class:`AbnormalNumbers` for an entry that is NaN, infinite or subnormal in ``dtype``.

    One float32 product of subnormals ran 140 times slower in numpy and torch, while JAX and TensorFlow flushed it
    to zero: such a benchmark measures its data.
    """
    limits = np.finfo(dtype)
    # All at once, as a training is checked at every step; written so that a NaN fails.
    sizes = np.abs(np.concatenate([array.ravel() for array in arrays.values()]) if arrays else np.empty(0))
    if ((sizes == 0) | ((sizes >= limits.tiny) & (sizes <= limits.max))).all():
        return
    for name, array in arrays.items():
        if not (np.abs(array) <= limits.max).all():
            raise AbnormalNumbers(f"{where}: {name} holds a NaN or an infinity in {dtype}")
        if ((array != 0) & (np.abs(array) < limits.tiny)).any():
            raise AbnormalNumbers(f"{where}: {name} holds a subnormal number in {dtype}")


def sha256(arrays: Arrays) -> str:
    """Hash names, dtypes, shapes and bytes, so that equal hashes mean the same numbers under the same names."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


@cache
def families() -> tuple[str, ...]:
    """Names of the families, discovered from this folder."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


@cache
def entries() -> tuple[Problem, ...]:
    """Every problem that has an entry, family by family."""
    return tuple(problem for family in families() for problem in import_module(f"{__name__}.{family}").PROBLEMS)


@cache
def baseline(family: str) -> str:
    """``framework.style`` of what the styles of ``family`` are compared with."""
    named: str = import_module(f"{__name__}.{family}").BASELINE
    return named


def baseline_of(name: str) -> str | None:
    """``framework.style`` that the styles of the problem called ``name`` are compared with; None where none is."""
    try:
        return baseline(find(name).family)
    except (UserError, ValueError):  # ValueError: a size of thousands of digits
        return None


def find(name: str) -> Problem:
    """Find the problem called ``name``; raises ``gradperf.errors.UnknownName`` with the nearest match."""
    for problem in entries():
        if problem.name == name:
            return problem
    for family in families():
        parse = getattr(import_module(f"{__name__}.{family}"), "parse", None)
        if parse and (parsed := parse(name)) is not None:
            found: Problem = parsed
            return found
    raise unknown("problem", name, [problem.name for problem in entries()])
