"""Each benchmark compared with the baseline of its problem, and the harness with the shortest case.

A baseline is looked for in the same problem, device and dtype. If the device has none, the one of another device in
the run is taken.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gradperf.suite.break_even import BreakEven, break_even
from gradperf.suite.record import HARNESS, Benchmark

BaselineOf = Callable[[str], str | None]
"""From a problem's name to the label, ``framework.style``, of its baseline; None if it has none."""

HARNESS_SHARE = 0.01
"""Above this share of the shortest case, the time of the harness is too large."""


@dataclass(frozen=True)
class Comparison:
    """A benchmark compared with its baseline."""

    baseline: str | None = None
    """``framework.style``; None if the problem has no baseline, or the benchmark is no whole step."""
    baseline_timed: bool = False
    baseline_device: str | None = None
    """Device on which the baseline was timed."""
    is_baseline: bool = False
    ratio_to_baseline: float | None = None
    """Time per step as a multiple of the baseline's."""
    break_even_steps: BreakEven | None = None
    """See :mod:`gradperf.suite.break_even`; None for the baseline itself, and if a one-off cost is not known."""
    near: bool = False
    """Whether the times per step differ by less than their spreads: another run may turn the break-even around."""


def compare(benchmarks: Sequence[Benchmark], baseline_of: BaselineOf) -> list[Comparison]:
    """Return a comparison for each benchmark, in their order."""
    problems = {one.facts.problem for one in benchmarks if one.is_compared}
    labels = {problem: baseline_of(problem) if problem else None for problem in problems}
    baselines: dict[tuple[str | None, str | None], list[Benchmark]] = {}
    for one in benchmarks:
        if one.is_compared and one.label == labels[one.facts.problem]:
            baselines.setdefault((one.facts.problem, one.facts.dtype), []).append(one)
    comparisons = []
    for one in benchmarks:
        if not one.is_compared:
            comparisons.append(Comparison())
            continue
        candidates = baselines.get((one.facts.problem, one.facts.dtype), [])
        same_device = [candidate for candidate in candidates if candidate.facts.device == one.facts.device]
        baseline = next(iter(same_device or candidates), None)
        comparisons.append(_compare(one, baseline, labels[one.facts.problem]))
    return comparisons


def _compare(style: Benchmark, baseline: Benchmark | None, label: str | None) -> Comparison:
    if baseline is None:
        return Comparison(label)
    ratio, near = None, False
    if style.step_s and baseline.step_s:
        ratio = style.step_s / baseline.step_s
        spread_s = style.step_s * (style.spread or 0) + baseline.step_s * (baseline.spread or 0)
        near = abs(style.step_s - baseline.step_s) <= spread_s
    if style is baseline:
        return Comparison(label, True, baseline.facts.device, is_baseline=True, ratio_to_baseline=ratio)
    steps = break_even(style.cost, baseline.cost) if style.cost and baseline.cost else None
    return Comparison(label, True, baseline.facts.device, False, ratio, steps, near)


@dataclass(frozen=True)
class HarnessCost:
    """The time of a call of an empty style: no time is known better than that."""

    call_s: float
    shortest: str | None
    """Id of the case with the shortest call; None if there is none."""
    shortest_call_s: float | None

    @property
    def share(self) -> float | None:
        """Share of the shortest call."""
        return self.call_s / self.shortest_call_s if self.shortest_call_s else None

    @property
    def too_large(self) -> bool:
        """Whether a part of the shortest times is the harness's own."""
        return self.share is not None and self.share > HARNESS_SHARE


def harness_cost(benchmarks: Sequence[Benchmark]) -> HarnessCost | None:
    """Compare the slowest empty style with the shortest call; return None if no empty style was timed."""
    empty_s = [one.call_s for one in benchmarks if one.facts.problem == HARNESS and one.call_s]
    if not empty_s:
        return None
    calls = [(one.call_s, one.case) for one in benchmarks if one.is_compared and one.call_s]
    if not calls:
        return HarnessCost(max(empty_s), None, None)
    call_s, case = min(calls, key=lambda call: call[0])
    return HarnessCost(max(empty_s), case, call_s)
