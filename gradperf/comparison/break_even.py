"""Computes the break-even of a style: the number of steps from which it stays ahead of its baseline.

A training of n steps takes O + n·s seconds:

- s is the time of a step in the steady state;
- O, the one-off cost, is the time of preparing and the first call in a fresh process, less that of the steps in
  it: O = first_call_s − steps·s. It is at least 0: less was luck.

A style is ahead of its baseline at n steps if its total is smaller. Its break-even is the smallest whole n ≥ 1 from
which on it stays ahead. Both totals are straight lines, so with Δs = s(baseline) − s(style) and
ΔO = O(style) − O(baseline) it is ahead if n·Δs > ΔO:

- Δs > 0, faster at each step: from floor(ΔO / Δs) + 1 on, and from the first step if it costs less at once;
- Δs = 0: from the first step if ΔO < 0, else never;
- Δs < 0, slower at each step: never. It may lead for a while, if it costs less at once, but it is overtaken.
"""

from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import Literal

BreakEven = int | Literal["never"]


@dataclass(frozen=True)
class Cost:
    """The measured times of a style. All are above 0."""

    step_s: float
    """Time of a step in the steady state."""
    steps: int
    """Steps in the first call."""
    first_call_s: float
    """Preparing and the first call, in a fresh process with nothing compiled yet."""

    @property
    def once_s(self) -> Fraction:
        """Seconds that are paid once."""
        return max(Fraction(0), Fraction(self.first_call_s) - self.steps * Fraction(self.step_s))


def break_even(style: Cost, baseline: Cost) -> BreakEven:
    """Return the smallest number of steps from which on ``style`` stays ahead.

    In fractions: with floats the answer would be off by one if the totals nearly touch.
    """
    faster_s = Fraction(baseline.step_s) - Fraction(style.step_s)
    dearer_s = style.once_s - baseline.once_s
    if faster_s < 0 or (faster_s == 0 and dearer_s >= 0):
        return "never"
    if dearer_s < 0:
        return 1
    return floor(dearer_s / faster_s) + 1
