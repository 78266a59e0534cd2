"""Chooses how many steps a timed call does: about a millisecond, or one step.

A call also pays once for what it does before its first step and after its last, such as copying the weights: up to
half a call of one millisecond in TensorFlow. So a training is timed in calls of two lengths. The difference is the
time of the steps alone, and what is left is the cost of a call.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gradperf.pairs.child.cpu import kept_on, preemptions

STEPS_S = 1e-3
"""The time of the steps in a long call, about."""

LONGEST_S = 4e-3
"""A long call may take this long, if what it pays once would hide its steps otherwise."""

LEVERAGE = 2.0
"""Where a step's relative error would be more than this many times that of a call, calls are longer."""

APART_S = 0.05
"""From this time on, a call of one step is not timed in two lengths: what it pays once is below 1 % of it."""

_MORE = 1.25
"""The steps of a long call may take this many times as long."""

_TRIED_S = 0.005
"""A length is tried for this long, or three times as long if the system took the CPU away too often."""

LADDER = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000, 200_000)
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


def choose(call: Callable[[int], Any], most: int, cpu: int | None = None) -> Lengths:
    """Choose the lengths for ``call(steps)``, with at most ``most`` steps; try them on ``cpu`` too, if given.

    Where threads hand work to each other, the times on one CPU vary least, so two runs choose the same lengths.
    """
    if most == 1:
        return Lengths(1, None)
    one_s = _fastest_s(call, 1, cpu)
    if one_s >= APART_S:
        return Lengths(1, None)
    # Few lengths are tried, as each may have to be compiled.
    steps = most if most * one_s <= 3 * STEPS_S else 2
    while True:
        step_s = max((_fastest_s(call, steps, cpu) - one_s) / (steps - 1), one_s / 1000)
        chosen = _fitting(step_s, max(one_s - step_s, 0.0), most)
        if chosen.long <= 2 * steps:
            return chosen
        steps = min(chosen.long, 5 * steps)


def _fitting(step_s: float, once_s: float, most: int) -> Lengths:
    """Return the lengths for steps that take ``step_s``, in calls that pay ``once_s``."""
    fits = [steps for steps in LADDER if steps * step_s <= STEPS_S * _MORE]
    chosen = _lengths(max(fits, default=2), most)
    for steps in LADDER:
        longer = _lengths(steps, most)
        if chosen.long < longer.long and once_s + longer.long * step_s <= LONGEST_S:
            long_s, short_s = (once_s + length * step_s for length in (chosen.long, chosen.short or 0))
            if leverage(long_s, short_s) <= LEVERAGE:
                break
            chosen = longer
    return chosen


def _lengths(steps: int, most: int) -> Lengths:
    long = max(2, min(steps, most))
    return Lengths(long, max(1, long // 10))


def leverage(long_s: float, short_s: float) -> float:
    """Return how many times as large as that of a call's time the relative error of a step's time is.

    A step's time is the difference of two times, divided by the difference of their steps.
    """
    return math.hypot(long_s, short_s) / (long_s - short_s)


def _fastest_s(call: Callable[[int], Any], steps: int, cpu: int | None) -> float:
    """Return the seconds of the fastest of a few calls. The first call, which may compile, is not one of them."""
    call(steps)
    found_s = _tried_s(call, steps)
    if cpu is None or found_s >= APART_S:
        return found_s
    with kept_on(cpu):
        return min(found_s, _tried_s(call, steps))


def _tried_s(call: Callable[[int], Any], steps: int) -> float:
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
