"""Compares each benchmark with the baseline of its problem, and the harness with the shortest case."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gradperf.comparison.break_even import BreakEven, Cost, break_even
from gradperf.records.facts import HARNESS, Benchmark

BaselineOf = Callable[[str], str | None]
"""From a problem's name to the label, ``framework.style``, of its baseline; None if it has none."""


@dataclass(frozen=True)
class Comparison:
    """A benchmark compared with its baseline."""

    label: str | None = None
    """The baseline's; None if the problem has no baseline, or the benchmark is no whole step."""
    baseline: Benchmark | None = None
    """None if it was not timed."""
    base: Benchmark | None = None
    """What the time is a multiple of: the baseline or, if that was not timed, the fastest of the same table."""
    ratio: float | None = None
    """Time per step as a multiple of the base's."""
    break_even_steps: BreakEven | None = None
    """None for the baseline itself, and if a one-off cost is not known (:mod:`gradperf.comparison.break_even`)."""
    near: bool = False
    """Whether the times per step differ by less than their spreads: another run may turn the break-even around."""

    @property
    def ratio_to_baseline(self) -> float | None:
        """Time per step as a multiple of the baseline's; None if that was not timed."""
        return None if self.baseline is None else self.ratio


def compare(benchmarks: Sequence[Benchmark], baseline_of: BaselineOf) -> list[Comparison]:
    """Return a comparison for each benchmark, in their order."""
    compared = [one for one in benchmarks if one.is_compared]
    problems = {one.facts.problem for one in compared}
    labels = {problem: baseline_of(problem) if problem else None for problem in problems}
    baselines = [one for one in compared if one.label == labels[one.facts.problem]]
    fastest: dict[tuple[str | None, ...], Benchmark] = {}
    for one in sorted((one for one in compared if one.step_s), key=lambda one: one.step_s or 0):
        fastest.setdefault(one.table, one)
    return [
        _compare(one, labels, baselines, fastest.get(one.table)) if one.is_compared else Comparison()
        for one in benchmarks
    ]


def _compare(
    style: Benchmark,
    labels: Mapping[str | None, str | None],
    baselines: Sequence[Benchmark],
    fastest: Benchmark | None,
) -> Comparison:
    facts, label = style.facts, labels[style.facts.problem]
    alike = [one for one in baselines if (one.facts.problem, one.facts.dtype) == (facts.problem, facts.dtype)]
    # The one on the same device; if that device has none, the one on another.
    baseline = min(alike, key=lambda one: one.facts.device != facts.device, default=None)
    if baseline is None:
        return Comparison(label, None, fastest, _ratio(style, fastest))
    near, steps = False, None
    if style.step_s and baseline.step_s:
        spread_s = style.step_s * (style.spread or 0) + baseline.step_s * (baseline.spread or 0)
        near = abs(style.step_s - baseline.step_s) <= spread_s
    costs = _cost(style), _cost(baseline)
    if style is not baseline and costs[0] and costs[1]:
        steps = break_even(costs[0], costs[1])
    return Comparison(label, baseline, baseline, _ratio(style, baseline), steps, near and style is not baseline)


def _cost(style: Benchmark) -> Cost | None:
    """Return what the break-even of a style depends on; None if a part of it is not known."""
    step_s, first_call_s = style.step_s, style.facts.first_call_s
    steps = style.facts.first_call_steps or style.facts.steps
    return Cost(step_s, steps, first_call_s) if step_s and steps and first_call_s else None


def _ratio(style: Benchmark, base: Benchmark | None) -> float | None:
    return style.step_s / base.step_s if style.step_s and base is not None and base.step_s else None


@dataclass(frozen=True)
class HarnessCost:
    """The time of a call of an empty style: no time is known better than that."""

    call_s: float
    shortest: Benchmark | None
    """The case with the shortest call; None if there is none."""

    @property
    def share(self) -> float | None:
        """Share of the shortest call."""
        return self.call_s / self.shortest.median_call_s if self.shortest and self.shortest.median_call_s else None


def harness_cost(benchmarks: Sequence[Benchmark]) -> HarnessCost | None:
    """Compare the slowest empty style with the shortest call; return None if no empty style was timed."""
    empty_s = [one.median_call_s for one in benchmarks if one.facts.problem == HARNESS and one.median_call_s]
    timed = [one for one in benchmarks if one.is_compared and one.median_call_s]
    shortest = min(timed, key=lambda one: one.median_call_s or 0, default=None)
    return HarnessCost(max(empty_s), shortest) if empty_s else None
