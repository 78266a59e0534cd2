"""Ranks the styles of a table. Styles that the run cannot tell apart share a rank."""

import math
from collections.abc import Sequence

from gradperf.records.facts import Benchmark

WIDTH = 2.0
"""One style is faster than another if their logarithms differ by more than this many standard errors."""


def ranks(styles: Sequence[Benchmark]) -> list[int | None]:
    """Return the rank of each style: 1 plus the number of styles that are faster for sure.

    None for a style whose time or error is not known, or that was disturbed too much.
    """
    ranked = [style for style in styles if _has_rank(style)]
    return [1 + sum(_is_faster(other, style) for other in ranked) if _has_rank(style) else None for style in styles]


def tells_apart(one: Benchmark, other: Benchmark) -> bool | None:
    """Return whether one of two styles is faster for sure; None if a time or an error is not known."""
    if None in (one.step_s, other.step_s, one.facts.step_error, other.facts.step_error):
        return None
    return _is_faster(one, other) or _is_faster(other, one)


def _has_rank(style: Benchmark) -> bool:
    return style.step_s is not None and style.facts.step_error is not None and not style.is_disturbed


def _is_faster(one: Benchmark, other: Benchmark) -> bool:
    error = math.hypot(one.facts.step_error or 0, other.facts.step_error or 0)
    return math.log(other.step_s or 1) - math.log(one.step_s or 1) > WIDTH * error
