"""Problems: what is computed. Pure data and numpy; no framework is imported here.

Each file but ``problem.py`` is a family. It has

- ``PROBLEMS``: its entries, each a frozen dataclass that inherits from :class:`Problem`;
- ``BASELINE``: the style that the others are compared with, as ``framework.style``;
- optionally ``parse(name)``, for a family whose names state sizes (``matmul_64x64x64``): returns the problem with
  that name, entry or not, or None.
"""

import pkgutil
from functools import cache
from importlib import import_module

from gradperf.errors import UserError, unknown
from gradperf.problems.problem import Array, Arrays, Problem, frozen, sha256

__all__ = ["Array", "Arrays", "Problem", "baseline_of", "entries", "families", "find", "frozen", "sha256"]


@cache
def families() -> tuple[str, ...]:
    """Return the names of the families: the other modules in this folder."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "problem"))


@cache
def entries() -> tuple[Problem, ...]:
    """Return every problem that has an entry, family by family."""
    return tuple(problem for family in families() for problem in import_module(f"{__name__}.{family}").PROBLEMS)


def baseline_of(name: str) -> str | None:
    """Return the baseline of the problem with this name as ``framework.style``, or None for an unknown name."""
    try:
        baseline: str = import_module(f"{__name__}.{find(name).family}").BASELINE
    except (UserError, ValueError):  # ValueError: a size of thousands of digits
        return None
    return baseline


def find(name: str) -> Problem:
    """Return the problem with this name; raises ``gradperf.errors.UnknownName`` with the nearest match."""
    for problem in entries():
        if problem.name == name:
            return problem
    for family in families():
        parse = getattr(import_module(f"{__name__}.{family}"), "parse", None)
        if parse and (parsed := parse(name)) is not None:
            found: Problem = parsed
            return found
    raise unknown("problem", name, [problem.name for problem in entries()])
