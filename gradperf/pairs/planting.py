"""Adds work of known size to cases, to see whether a slowdown of that size is found."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from gradperf.errors import UserError, nearest
from gradperf.pairs.child.planted_work import unit_s, work


def by_case(planted: Mapping[str, float], cases: Collection[str]) -> dict[str, float]:
    """Return the slowdown of each case that a pattern means: an id, or parts of ids with ``*`` between them."""
    slowdowns: dict[str, float] = {}
    for pattern, share in planted.items():
        parts = pattern.split("*")
        matching = [pattern] if pattern in cases else [c for c in cases if all(part in c for part in parts)]
        if not matching:
            raise UserError(f"--plant {pattern}: there is no such case.{nearest(pattern, cases)}")
        slowdowns.update(dict.fromkeys(matching, share))
    return slowdowns


def units(seconds: float) -> float:
    """Return how much work takes this long here, at the full speed of the machine."""
    return seconds / unit_s()


def with_work(call: Callable[[int], Any], units_per_step: float) -> Callable[[int], Any]:
    """Return ``call(steps)`` with this much more work for each step; it returns the same."""

    def slower(steps: int) -> Any:
        returned = call(steps)
        work(round(units_per_step * steps))
        return returned

    return slower if units_per_step else call
