"""Compares two runs, case by case: faster, slower, or nothing seen.

The interval of a ratio holds the errors of both times, which are known from their moments. It is so wide that all
intervals of a comparison are right at once with a probability of 99 %: a run with forty cases must not call one of
them slower by chance. So the smallest change that a comparison can show grows with the number of its cases.

Seconds are compared if both runs are from one machine. Other machines are compared by their ratios: to the
reference computation, or, if its numpy or BLAS differs, to the baseline of the problem.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist, median
from typing import Literal

from gradperf.suite.baseline import BaselineOf, compare
from gradperf.suite.facts import Benchmark

CONFIDENCE = 0.99
"""Of all intervals of a comparison together."""

POWER = 0.8
"""With this probability the smallest visible change is found."""

LENGTHS_ERROR = 0.02
"""Standard error, of the logarithm, if calls of different lengths were timed."""

SLOWER_MACHINE = 1.03
"""From this ratio of the references on, a run met a slower machine, and its times are divided by the reference."""

Verdict = Literal["faster", "slower", "nothing seen", "unknown"]
Basis = Literal["seconds", "reference", "baseline"]


@dataclass(frozen=True)
class Change:
    """How one case differs between two runs."""

    then: Benchmark
    now: Benchmark
    ratio: float | None
    """Time per step now, as a multiple of the time then; None if one of them is not known."""
    interval: tuple[float, float] | None
    """None if an error is not known, as in records before schema 2."""
    visible: float | None
    """The smallest slowdown, as a share, that these two runs would probably have shown."""

    @property
    def verdict(self) -> Verdict:
        """What the interval says."""
        if self.interval is None:
            return "unknown"
        low, high = self.interval
        return "slower" if low > 1 else "faster" if high < 1 else "nothing seen"


@dataclass(frozen=True)
class Changes:
    """All that differs between two runs."""

    basis: Basis
    """What is compared."""
    factor: float
    """How much longer the reference took now; 1 if that is not known."""
    cases: Mapping[str, Change]
    """By the id of the case."""
    only_then: tuple[str, ...]
    only_now: tuple[str, ...]

    def with_verdict(self, verdict: Verdict) -> list[str]:
        """Return the ids of the cases with this verdict."""
        return [name for name, change in self.cases.items() if change.verdict == verdict]


def changes(then: Sequence[Benchmark], now: Sequence[Benchmark], basis: Basis, baseline_of: BaselineOf) -> Changes:
    """Compare the whole steps of two runs."""
    old, new = ({one.case: one for one in run if one.is_compared} for run in (then, now))
    shared = [name for name in new if name in old]
    factor = _factor([(old[name], new[name]) for name in shared])
    scales = {run: _scales(by_case, basis, baseline_of) for run, by_case in (("then", old), ("now", new))}
    slower_machine = basis == "seconds" and max(factor, 1 / factor) >= SLOWER_MACHINE
    divisor = factor if slower_machine else 1.0
    return Changes(
        basis,
        factor,
        {
            name: _change(old[name], new[name], scales["then"][name], scales["now"][name], divisor, len(shared))
            for name in shared
        },
        tuple(name for name in old if name not in new),
        tuple(name for name in new if name not in old),
    )


def width(cases: int) -> float:
    """Return how many standard errors an interval extends to each side if this many cases are compared."""
    return NormalDist().inv_cdf(1 - (1 - CONFIDENCE) / 2 / max(1, cases))


def visible(error: float, cases: int) -> float:
    """Return the smallest slowdown, as a share, that a comparison of this many cases would probably show.

    ``error`` is the standard error of the logarithm of the ratio.
    """
    return math.expm1((width(cases) + NormalDist().inv_cdf(POWER)) * error)


def _factor(pairs: Sequence[tuple[Benchmark, Benchmark]]) -> float:
    """Return the ratio of the references of two runs, the median over the cases."""
    ratios = [
        one.reference_s / other.reference_s
        for other, one in pairs
        if one.reference_s is not None and other.reference_s is not None
    ]
    return median(ratios) if ratios else 1.0


def _scales(cases: Mapping[str, Benchmark], basis: Basis, baseline_of: BaselineOf) -> dict[str, float | None]:
    """Return what the time of each case is divided by."""
    match basis:
        case "seconds":
            return dict.fromkeys(cases, 1.0)
        case "reference":
            return {name: one.reference_s for name, one in cases.items()}
        case "baseline":
            found = compare([*cases.values()], baseline_of)
            return {
                name: comparison.baseline.step_s if comparison.baseline else None
                for name, comparison in zip(cases, found, strict=True)
            }


def _change(
    then: Benchmark, now: Benchmark, old_scale: float | None, new_scale: float | None, divisor: float, cases: int
) -> Change:
    if not (then.step_s and now.step_s and old_scale and new_scale):
        return Change(then, now, None, None, None)
    ratio = now.step_s / new_scale / (then.step_s / old_scale) / divisor
    if then.facts.step_error is None or now.facts.step_error is None:
        return Change(then, now, ratio, None, None)
    same_calls = (then.facts.steps, then.facts.short_steps) == (now.facts.steps, now.facts.short_steps)
    error = math.hypot(then.facts.step_error, now.facts.step_error, 0.0 if same_calls else LENGTHS_ERROR)
    factor = math.exp(width(cases) * error)
    return Change(then, now, ratio, (ratio / factor, ratio * factor), visible(error, cases))
