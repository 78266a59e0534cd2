"""The runs of a store that can be compared with each other, and the numbers of the page, each computed once."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from gradperf import problems
from gradperf.stability import analysis
from gradperf.stability.analysis import Alarms, Measured, Seen, Times
from gradperf.stability.runs import Kind, Run

NEAR = 1.05
"""Ratios to a baseline are near each other if they differ by at most this."""


@dataclass(frozen=True)
class Study:
    """Runs of one selection and one set of versions, on any number of machines."""

    runs: tuple[Measured, ...]
    others: int
    """Runs in the store that cannot be compared with them."""

    @property
    def machines(self) -> Mapping[str, int]:
        """The number of runs of each machine, the most first."""
        return dict(Counter(one.run.machine for one in self.runs).most_common())

    @property
    def unchanged(self) -> list[Measured]:
        """Runs without planted work, quiet or busy."""
        return [one for one in self.runs if one.run.unchanged]

    def of_kind(self, kind: Kind) -> list[Run]:
        """Return the runs of a kind."""
        return [one.run for one in self.runs if one.run.kind == kind]

    @cached_property
    def times_s(self) -> Mapping[str, Times]:
        """By case: the time of a step in each unchanged run, by machine."""
        return analysis.times(one.run for one in self.unchanged)

    @cached_property
    def deviations(self) -> Mapping[str, float]:
        """By case: from unchanged run to unchanged run, within a machine."""
        return analysis.deviations(self.times_s)

    @cached_property
    def short(self) -> set[str]:
        """Cases with short steps."""
        return analysis.short_cases(self.times_s)

    @cached_property
    def ratio_differences(self) -> Mapping[str, Sequence[float]]:
        """By case: how far its ratio to the baseline differs, for each pair of unchanged runs on one machine."""
        return analysis.ratio_differences(self.unchanged, problems.baseline_of)

    @cached_property
    def alarms(self) -> Alarms:
        """What was called slower or faster between unchanged runs."""
        return analysis.alarms(self.unchanged, problems.baseline_of)

    @cached_property
    def seen(self) -> Sequence[Seen]:
        """Each case of each planted run, compared with each unchanged run on its machine."""
        planted = [one for one in self.runs if not one.run.unchanged]
        return list(analysis.seen(planted, self.unchanged, problems.baseline_of))

    def seen_of(self, planted: float) -> list[Seen]:
        """Return the comparisons of cases with this share of planted work."""
        return [one for one in self.seen if one.planted == planted]


def study(runs: Sequence[Run]) -> Study:
    """Choose the largest set of runs that can be compared, and estimate them."""
    alike: dict[tuple[object, ...], list[Run]] = defaultdict(list)
    for run in runs:
        alike[run.arguments, tuple(sorted(run.versions.items()))].append(run)
    chosen = max(alike.values(), key=len)
    return Study(tuple(map(analysis.measured, chosen)), len(runs) - len(chosen))


def only(values: Mapping[str, Sequence[float]], ids: set[str]) -> list[float]:
    """Return all values of these cases."""
    return [value for id_, found in values.items() if id_ in ids for value in found]


def near(differences: Sequence[float]) -> float | None:
    """Return the share of the differences that are near; None without any."""
    return share([difference <= math.log(NEAR) for difference in differences])


def found(seen: Sequence[Seen]) -> float | None:
    """Return the share that was found; None without any."""
    return share([one.found for one in seen])


def share(values: Sequence[bool]) -> float | None:
    """Return the share of those that hold; None without any."""
    return sum(values) / len(values) if values else None
