"""Problems: what is computed. Pure data and numpy; no framework is imported here.

One file per family. A family's module has

- ``PROBLEMS``: its entries, each a frozen dataclass that keeps the :class:`Problem` contract;
- optionally ``parse(name)``, for families whose names carry their sizes (``matmul_64x64x64``): any such name is
  a problem, entry or not.
"""

import hashlib
import os
import pkgutil
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any, Protocol

import numpy as np

from gradperf.names import unknown

Array = np.ndarray[Any, np.dtype[Any]]
Arrays = Mapping[str, Array]
"""Named arrays: a problem's inputs, or what a style hands back."""


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


def frozen(arrays: Mapping[str, Array], dtype: str) -> Arrays:
    """Cast drawn arrays to ``dtype`` and make them read-only, so that no style can change another's inputs.

    Raises ValueError for a subnormal, infinite or NaN entry: one float32 product of subnormals ran 140 times
    slower in numpy and torch, while JAX and TensorFlow flushed it to zero.
    """
    cast = {name: np.ascontiguousarray(array, dtype=dtype) for name, array in arrays.items()}
    for name, array in cast.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds a NaN or an infinity in {dtype}")
        if ((array != 0) & (np.abs(array) < np.finfo(array.dtype).tiny)).any():
            raise ValueError(f"{name} holds a subnormal number in {dtype}")
        array.flags.writeable = False
    return cast


def memory_bytes() -> int:
    """Physical memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


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


def find(name: str) -> Problem:
    """Find the problem called ``name``; raises ``gradperf.names.UnknownName`` with the nearest match."""
    for problem in entries():
        if problem.name == name:
            return problem
    for family in families():
        parse = getattr(import_module(f"{__name__}.{family}"), "parse", None)
        if parse and (parsed := parse(name)) is not None:
            found: Problem = parsed
            return found
    raise unknown("problem", name, [problem.name for problem in entries()])
