"""What stored runs show: how far they differ, what a comparison of two says, and what another estimator does.

All of it is computed from the stored moments, by the estimator of :mod:`gradperf.timing.estimate` and the rules of
:mod:`gradperf.comparison.changes`. So a change of either changes these numbers, without new runs.

The runs may be of several machines. A time is only compared with times of the same machine. What the machines show
is then put together.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import fmean, median

from gradperf.comparison.baseline import BaselineOf, compare
from gradperf.comparison.changes import changes
from gradperf.records.facts import Benchmark, Facts
from gradperf.stability.runs import Case, Run
from gradperf.timing.estimate import Estimate, estimate, unrest

SHORT_S = 0.002
"""Cases with shorter steps are also counted apart."""

MOST = 0.9
"""The share that "most cases" means."""

TimeOf = Callable[[Case], float]
"""From the moments of a case in one run to the time of a step."""

Times = Mapping[str, Sequence[float]]
"""By machine: the times of a step of one case, one for each run."""


@dataclass(frozen=True)
class Measured:
    """A run, and what its moments show by the estimator of today."""

    run: Run
    benchmarks: tuple[Benchmark, ...]


def by_machine(runs: Iterable[Measured]) -> list[list[Measured]]:
    """Return the runs of each machine, in their order."""
    machines: dict[str, list[Measured]] = defaultdict(list)
    for one in runs:
        machines[one.run.machine].append(one)
    return list(machines.values())


def measured(run: Run) -> Measured:
    """Estimate every case of a run from its moments."""
    of_machine = unrest(moment for case in run.cases.values() for moment in case.moments)
    return Measured(run, tuple(_benchmark(id_, case, of_machine) for id_, case in run.cases.items()))


def _benchmark(id_: str, case: Case, of_machine: float) -> Benchmark:
    problem, label, device, dtype = id_.split("-")
    framework, _, style = label.partition(".")
    found = _estimate(case, of_machine)
    facts = Facts(
        problem=problem,
        framework=framework,
        style=style,
        device=device,
        dtype=dtype,
        steps=case.steps,
        short_steps=case.short_steps,
        step_s=found.step_s,
        step_interval_s=found.interval_s,
        step_error=found.error,
        own_error=found.own_error,
        unrest=of_machine,
        call_s=found.call_s,
        disturbed=found.disturbed,
        moments=tuple(vars(moment) for moment in case.moments),
    )
    return Benchmark(facts, label, median_call_s=None, iqr_s=None)


def _estimate(case: Case, of_machine: float = 0.0) -> Estimate:
    return estimate(case.moments, long=case.steps, short=case.short_steps, unrest=of_machine)


# --- from run to run ---


def step_s(case: Case) -> float:
    """Return the time of a step by the estimator of the suite."""
    return _estimate(case).step_s


def times(runs: Iterable[Run], time_of: TimeOf = step_s) -> dict[str, dict[str, list[float]]]:
    """Return the times of a step of each case, by machine."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        for id_, case in run.cases.items():
            found[id_][run.machine].append(time_of(case))
    return found


def deviations(times_s: Mapping[str, Times]) -> dict[str, float]:
    """Return for each case the standard deviation of the logarithm of its times, within a machine.

    The squares are summed over the machines, each around the mean of its own machine; so is n − 1. A machine with a
    single run adds nothing to either. A case without two runs on one machine has no deviation.
    """
    found = {}
    for id_, machines in times_s.items():
        logs = [[math.log(second) for second in seconds] for seconds in machines.values()]
        if free := sum(len(of_one) - 1 for of_one in logs):
            squares = sum((value - fmean(of_one)) ** 2 for of_one in logs for value in of_one)
            found[id_] = math.sqrt(squares / free)
    return found


def short_cases(times_s: Mapping[str, Times]) -> set[str]:
    """Return the cases with short steps, by the median run of each machine."""
    return {
        id_ for id_, machines in times_s.items() if all(median(seconds) < SHORT_S for seconds in machines.values())
    }


@dataclass(frozen=True)
class Summary:
    """Many values in three numbers."""

    count: int
    median: float
    most: float
    """90 % of them are at most this."""
    worst: float


def summary(values: Iterable[float]) -> Summary | None:
    """Return the three numbers; None without values."""
    ordered = sorted(values)
    if not ordered:
        return None
    most = ordered[math.ceil(MOST * len(ordered)) - 1]
    return Summary(len(ordered), median(ordered), most, ordered[-1])


def ratio_differences(runs: Iterable[Measured], baseline_of: BaselineOf) -> dict[str, list[float]]:
    """Return how far the log of each case's ratio to its baseline differs, for each pair of a machine's runs."""
    differences: dict[str, list[float]] = defaultdict(list)
    for of_one in by_machine(runs):
        ratios: dict[str, list[float]] = defaultdict(list)
        for one in of_one:
            for found, comparison in zip(one.benchmarks, compare(one.benchmarks, baseline_of), strict=True):
                if comparison.ratio_to_baseline and comparison.baseline is not found:
                    ratios[found.case].append(math.log(comparison.ratio_to_baseline))
        for id_, logs in ratios.items():
            differences[id_] += [abs(one - other) for one, other in combinations(logs, 2)]
    return differences


# --- what a comparison of two runs says ---


@dataclass(frozen=True)
class Alarms:
    """What was called slower or faster between unchanged runs."""

    pairs: int
    slower: int
    """Pairs in which at least one case of the later run was called slower."""
    faster: int
    cases: Mapping[str, int]
    """By case: the pairs in which it was called slower or faster."""
    disjoint: int
    """Pairs of a machine's first run with its second, its third with its fourth, and so on: they share no run."""
    disjoint_slower: int


def alarms(runs: Iterable[Measured], baseline_of: BaselineOf) -> Alarms:
    """Compare each run with every earlier one of its machine; all of them are unchanged."""
    pairs, slower, faster, disjoint, disjoint_slower = 0, 0, 0, 0, 0
    cases: dict[str, int] = defaultdict(int)
    for of_one in by_machine(runs):
        for (place, then), (next_place, now) in combinations(enumerate(of_one), 2):
            found = changes(then.benchmarks, now.benchmarks, "seconds", baseline_of)
            called = {verdict: found.with_verdict(verdict) for verdict in ("slower", "faster")}
            shares_none = place % 2 == 0 and next_place == place + 1
            pairs += 1
            slower += bool(called["slower"])
            faster += bool(called["faster"])
            disjoint += shares_none
            disjoint_slower += bool(called["slower"]) and shares_none
            for id_ in (*called["slower"], *called["faster"]):
                cases[id_] += 1
    return Alarms(pairs, slower, faster, cases, disjoint, disjoint_slower)


@dataclass(frozen=True)
class Seen:
    """One case of a planted run, compared with an unchanged run."""

    case: str
    planted: float
    """0 for a case that was left as it was."""
    ratio: float
    found: bool
    """Whether it was called slower."""


def seen(planted: Iterable[Measured], unchanged: Sequence[Measured], baseline_of: BaselineOf) -> Iterator[Seen]:
    """Compare each planted run with every unchanged one of its machine."""
    for now in planted:
        for then in (one for one in unchanged if one.run.machine == now.run.machine):
            for id_, change in changes(then.benchmarks, now.benchmarks, "seconds", baseline_of).cases.items():
                if change.ratio:
                    yield Seen(id_, now.run.planted.get(id_, 0.0), change.ratio, change.verdict == "slower")


# --- other estimators, from the same moments ---


def _of(choose: Callable[[Case], Case]) -> TimeOf:
    return lambda case: step_s(choose(case))


def _without_reference(case: Case) -> Case:
    return replace(case, moments=tuple(replace(moment, reference_s=1.0) for moment in case.moments))


def _only_main(case: Case) -> Case:
    main = tuple(moment for moment in case.moments if moment.process == "main")
    return replace(case, moments=main or case.moments)


def _each_moment(case: Case) -> list[float]:
    return [step_s(replace(case, moments=(moment,))) for moment in case.moments]


OTHERS: Mapping[str, TimeOf] = {
    "one moment only, the first": lambda case: _each_moment(case)[0],
    "the median of the moments, not the fastest": lambda case: median(_each_moment(case)),
    "the fastest moment, both lengths of call from it": lambda case: min(_each_moment(case)),
    "the long call only, what it pays once included": _of(lambda case: replace(case, short_steps=None)),
    "without the second process": _of(_only_main),
    "the reference ignored": _of(_without_reference),
    "divided by the reference": lambda case: step_s(case) / min(moment.reference_s for moment in case.moments),
}
"""What else could be taken as the time of a step."""
