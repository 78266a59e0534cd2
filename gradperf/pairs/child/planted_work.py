"""Adds work on purpose, to see whether a slowdown of known size is detected."""

from __future__ import annotations

from itertools import repeat

from .originals import Original

_TRIES = 7
_UNITS = 5000


def work(units: int) -> int:
    """Compute ``units`` steps of a linear congruential generator, which cannot be shortened."""
    state = 1
    for _ in repeat(None, units):
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
    return state


def unit_s() -> float:
    """Return the seconds of one unit of :func:`work`, the least of several tries."""
    least_s = float("inf")
    for _ in range(_TRIES):
        start_s = Original.perf_counter()
        work(_UNITS)
        least_s = min(least_s, Original.perf_counter() - start_s)
    return least_s / _UNITS
