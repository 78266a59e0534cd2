"""Compares two runs, case by case: faster, slower, or nothing seen.

The interval of a ratio holds the errors of both times, which are known from their moments, and of what they are
divided by. It is so wide that at most one in a hundred comparisons of equal code calls any of its cases slower, and
as few call one faster. So the smallest change that a comparison can show grows with the number of its cases.

Seconds are compared if both runs are from one machine. Other machines are compared by their ratios: to the
reference computation, or, if its numpy or BLAS differs, to the baseline of the problem.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR
from statistics import NormalDist, median
from typing import Any, Literal

from gradperf.comparison.baseline import BaselineOf, compare
from gradperf.records.facts import Benchmark
from gradperf.records.storage import Run
from gradperf.text.quantities import factor

FALSE_ALARMS = 0.01
"""Share of the comparisons of equal code that call any case slower; as many call one faster."""

POWER = 0.8
"""With this probability the smallest visible change is found."""

LENGTHS_ERROR = 0.006
"""Standard error, of the logarithm, if calls of different lengths were timed; by experiment."""

REFERENCE_ERROR = 0.01
"""Standard error, of the logarithm, of the time of the reference in a run: 0.014 to 0.02 at a moment, of which the
fastest of four counts."""

SLOWER_MACHINE = 1.03
"""From this ratio of the references on, a case met a slower machine, and its times are divided by the reference."""

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
    def shown(self) -> str | None:
        """Return the ratio and its interval as text.

        The interval is rounded outwards: it holds 1.00 and values on both sides of it only if nothing was seen.
        """
        if self.ratio is None or self.interval is None:
            return None if self.ratio is None else f"{factor(self.ratio)} ±?"
        low, high = self.interval
        return f"{factor(self.ratio)} ({factor(low, ROUND_FLOOR)}–{factor(high, ROUND_CEILING)})"

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
    """How much longer the reference took now, in the median of the cases; 1 if that is not known."""
    cases: Mapping[str, Change]
    """By the id of the case."""
    only_then: tuple[str, ...]
    only_now: tuple[str, ...]

    def with_verdict(self, verdict: Verdict) -> list[str]:
        """Return the ids of the cases with this verdict."""
        return [name for name, change in self.cases.items() if change.verdict == verdict]


_HARDWARE = ("cpu_model", "logical_cpus", "affinity_cpus", "effective_cpus", "governor", "gpus")


def basis(then: Run, now: Mapping[str, Any]) -> Basis:
    """Return how the times of ``then`` compare with those of a run with the machine info ``now``.

    By seconds on the same hardware, whatever the versions. Otherwise by the ratio to the reference computation,
    which is numpy's; or, with another numpy or BLAS, to the baseline of each problem.
    """

    def same(*names: str) -> bool:
        return all(then.machine.get(name) == now.get(name) for name in names)

    if same(*_HARDWARE):
        return "seconds"
    numpys = [(machine.get("versions") or {}).get("numpy") for machine in (then.machine, now)]
    return "reference" if same("blas") and numpys[0] == numpys[1] else "baseline"


def changes(then: Sequence[Benchmark], now: Sequence[Benchmark], basis: Basis, baseline_of: BaselineOf) -> Changes:
    """Compare the whole steps of two runs."""
    old, new = ({one.case: one for one in run if one.is_compared} for run in (then, now))
    shared = [name for name in new if name in old]
    then_scales, now_scales = (_scales(run, basis, baseline_of) for run in (old, new))
    if basis == "seconds":
        for name in shared:
            if (factor := _factor(old[name], new[name])) is not None and differ(factor):
                then_scales[name], now_scales[name] = _Scale(1.0, REFERENCE_ERROR), _Scale(factor, REFERENCE_ERROR)
    factors = [factor for name in shared if (factor := _factor(old[name], new[name])) is not None]
    return Changes(
        basis,
        _exp(median(map(math.log, factors))) if factors else 1.0,
        {name: _change(old[name], new[name], then_scales[name], now_scales[name], len(shared)) for name in shared},
        tuple(name for name in old if name not in new),
        tuple(name for name in new if name not in old),
    )


def width(cases: int) -> float:
    """Return how many standard errors an interval extends to each side if this many cases are compared."""
    return NormalDist().inv_cdf(1 - FALSE_ALARMS / max(1, cases))


def visible(error: float, cases: int) -> float:
    """Return the smallest slowdown, as a share, that a comparison of this many cases would probably show.

    ``error`` is the standard error of the logarithm of the ratio.
    """
    return _exp((width(cases) + NormalDist().inv_cdf(POWER)) * error) - 1


def differ(factor: float) -> bool:
    """Return whether the machine had another speed, by this ratio of the references."""
    return max(factor, 1 / factor) >= SLOWER_MACHINE


def _factor(then: Benchmark, now: Benchmark) -> float | None:
    """Return how much longer the reference took now, at the best moment of a case; None if that is not known."""
    if not (then.reference_s and now.reference_s):
        return None
    return _exp(math.log(now.reference_s) - math.log(then.reference_s))


@dataclass(frozen=True)
class _Scale:
    """What a time is divided by."""

    seconds: float
    error: float | None
    """Standard error of its logarithm; None if it is not known."""


def _scales(cases: Mapping[str, Benchmark], basis: Basis, baseline_of: BaselineOf) -> dict[str, _Scale | None]:
    """Return what the time of each case is divided by; None if it is not known."""
    match basis:
        case "seconds":
            return dict.fromkeys(cases, _Scale(1.0, 0.0))
        case "reference":
            return {
                name: _Scale(one.reference_s, REFERENCE_ERROR) if one.reference_s else None
                for name, one in cases.items()
            }
        case "baseline":
            found = compare([*cases.values()], baseline_of)
            return {
                name: _Scale(one.step_s, one.facts.step_error) if one is not None and one.step_s else None
                for name, one in zip(cases, (comparison.baseline for comparison in found), strict=True)
            }


def _change(
    then: Benchmark, now: Benchmark, then_scale: _Scale | None, now_scale: _Scale | None, cases: int
) -> Change:
    if not (then.step_s and now.step_s and then_scale and now_scale):
        return Change(then, now, None, None, None)
    # In logarithms, as a file may hold any number.
    log_ratio = math.log(now.step_s) - math.log(now_scale.seconds)
    log_ratio -= math.log(then.step_s) - math.log(then_scale.seconds)
    ratio = _exp(log_ratio)
    errors = [then.facts.step_error, now.facts.step_error, then_scale.error, now_scale.error]
    known = [error for error in errors if error is not None]
    if len(known) < len(errors):
        return Change(then, now, ratio, None, None)
    same_calls = (then.facts.steps, then.facts.short_steps) == (now.facts.steps, now.facts.short_steps)
    error = math.hypot(*known, 0.0 if same_calls else LENGTHS_ERROR)
    return Change(
        then,
        now,
        ratio,
        (_exp(log_ratio - width(cases) * error), _exp(log_ratio + width(cases) * error)),
        visible(error, cases),
    )


def _exp(logarithm: float) -> float:
    """Return the exponential; the largest or smallest number if a file held nonsense."""
    return math.exp(max(-700.0, min(logarithm, 700.0)))
