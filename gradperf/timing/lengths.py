"""Chooses how many steps a timed call does: about a millisecond, or one step.

A call also pays once for what it does before its first step and after its last, such as copying the weights: up to
half a call of one millisecond in TensorFlow. So a training is timed in calls of two lengths. The difference is the
time of the steps alone, and what is left is the cost of a call.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gradperf.pairs.child.cpu import preemptions

CALL_S = 1e-3
"""The time of the steps in a long call, about."""

APART_S = 0.05
"""From this time on, a call of one step is not timed in two lengths: what it pays once is below 1 % of it."""

_MORE = 1.25
"""The steps of a long call may take this many times as long."""

_TRIED_S = 0.01
"""A length is tried for this long, or three times as long if the system took the CPU away too often."""

LADDER = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000, 200_000)
"""The numbers of steps of a long call. Few of them, so that two runs choose the same one."""


@dataclass(frozen=True)
class Lengths:
    """The steps of a long call and of a short one."""

    long: int
    short: int | None
    """None if calls of one length are timed: then a step's time includes its part of what a call pays once."""

    @property
    def each(self) -> tuple[int, ...]:
        """Return the lengths to time."""
        return (self.long,) if self.short is None else (self.short, self.long)


def choose(call: Callable[[int], Any], most: int) -> Lengths:
    """Choose the lengths for ``call(steps)``, with at most ``most`` steps."""
    one_s = _fastest_s(call, 1)
    if one_s >= APART_S or most == 1:
        return Lengths(1, None)
    # Few lengths are tried, as each may have to be compiled.
    steps = most if most * one_s <= 3 * CALL_S else 2
    while True:
        step_s = max((_fastest_s(call, steps) - one_s) / (steps - 1), one_s / 1000)
        # Without what a call pays once: where that is large, the steps must still be most of a long call.
        fits = [n for n in LADDER if n * step_s <= CALL_S * _MORE]
        long = max(2, min(max(fits, default=2), most))
        if long <= 2 * steps:
            return Lengths(long, max(1, long // 10))
        steps = min(long, 5 * steps)


def _fastest_s(call: Callable[[int], Any], steps: int) -> float:
    """Return the seconds of the fastest of a few calls. The first call, which may compile, is not one of them."""
    call(steps)
    undisturbed: list[float] = []
    every: list[float] = []
    spent_s = 0.0
    while spent_s < (_TRIED_S if len(undisturbed) >= 3 else 3 * _TRIED_S):
        taken_away, start_s = preemptions(), time.perf_counter()
        call(steps)
        call_s = time.perf_counter() - start_s
        every.append(call_s)
        spent_s += call_s
        if preemptions() == taken_away:
            undisturbed.append(call_s)
    return min(undisturbed or every)
