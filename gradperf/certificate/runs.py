"""What whole runs of the gate showed: the store that a certificate is made of, and its page.

The law: **the page is made from the store alone**, and each share on it comes with the number of runs or cases that
it is a share of, and with its bound or interval.
"""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Literal

from gradperf.doctor.examination import percent, plural
from gradperf.errors import UserError
from gradperf.stats import binomial_interval, binomial_upper_bound

Kind = Literal["unchanged", "planted", "group"]

BUSY = 0.5
"""A machine on which other processes use so many CPUs has something else to do."""

_NOT_TIMED = ("identical", "new", "removed", "failed")


@dataclass(frozen=True)
class Run:
    """One whole run of the gate, as the store keeps it."""

    kind: Kind
    arguments: tuple[str, ...]
    """Of pytest: the suite."""
    planted: Mapping[str, float]
    """By case: the slowdown of its head."""
    group: str
    """The one that was slowed down as a whole; empty where none was."""
    cases: Mapping[str, str]
    """By case: the verdict."""
    case_groups: Mapping[str, str]
    groups: Mapping[str, str]
    """By group: the verdict."""
    visible: Mapping[str, float]
    """By case: the smallest visible change."""
    verdict: str
    exit_code: int
    seed: int
    commit: str
    """What was measured on both sides."""
    started: str
    seconds: float
    others: float | None
    """CPUs that other processes of the system used meanwhile, on average."""
    steal: float | None
    """Share of the wanted CPU time that the host gave to others."""
    cpu_model: str | None
    cpus: float | None
    gradperf: str = ""
    """The version of the gate; the first runs of the project's own certificate did not note it."""
    controls: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """By control: its result, ratio, p and number of pairs; nor these."""

    @property
    def suite(self) -> str:
        """How the suite is called on the page."""
        return f"`{' '.join(self.arguments)}`" if self.arguments else "the default ones"

    @property
    def was_busy(self) -> bool:
        """Whether the machine had something else to do."""
        return self.others is not None and self.others >= BUSY

    @property
    def timed(self) -> dict[str, str]:
        """The cases that were timed, with their verdicts."""
        return {id_: verdict for id_, verdict in self.cases.items() if verdict not in _NOT_TIMED}

    @property
    def left_alone(self) -> list[str]:
        """The verdicts of timed cases without a planted slowdown, and of groups that have no slower case."""
        slowed = {self.case_groups[case] for case in self.planted}
        cases = [verdict for id_, verdict in self.timed.items() if id_ not in self.planted]
        # A slower case is part of its group, and of that of all cases.
        untouched = self.groups.keys() & set(self.case_groups.values()) - slowed if slowed else self.groups
        return cases + [self.groups[name] for name in untouched]

    def caught(self, case: str) -> bool:
        """Tell whether the run failed for this case's slowdown; one whose control failed says nothing."""
        return self.verdict == "regressed" and self.cases.get(case) == "regressed"

    @property
    def caught_group(self) -> bool:
        """Whether the run failed for the slowdown of its group, seen in the group, in all cases, or in a member."""
        names = (
            self.groups.get(self.group),
            self.groups.get("all"),
            *(self.cases.get(case) for case in self.planted),
        )
        return self.verdict == "regressed" and "regressed" in names


def read(store: Path) -> list[Run]:
    """Read the store; one that does not exist is empty."""
    if not store.exists():
        return []
    runs = []
    for number, line in enumerate(store.read_text(encoding="utf-8").splitlines(), 1):
        try:
            fields = json.loads(line)
            runs.append(Run(**{**fields, "arguments": tuple(fields["arguments"])}))
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(f"{store}, line {number}: no run of the gate: {error}") from None
    return runs


def page(runs: Sequence[Run]) -> str:
    """Give the certificate as Markdown."""
    lines = [
        "# What the gate is worth, measured",
        "",
        "Whole runs of `gradperf gate` on unchanged code, and with known amounts of work added to the head. Made",
        "by `gradperf certificate`; [the gate's page](gate.md#a-certificate-for-your-machine) says how to make one",
        "for another machine.",
        "",
        *_conditions(runs),
        "",
        "## False alarms",
        "",
        *_false_alarms(runs),
        "",
        "## Slowdowns of single cases that were caught",
        "",
        *_caught(runs),
        "",
        "## Slowdowns of a whole group that were caught",
        "",
        *_groups_caught(runs),
        "",
        "## What a run can see",
        "",
        *_visible(runs),
        "",
        "## How long they took",
        "",
        *_times(runs),
    ]
    return "\n".join(lines) + "\n"


def _conditions(runs: Sequence[Run]) -> list[str]:
    machines = Counter((run.cpu_model, run.cpus) for run in runs)
    hours = sorted({run.started[:13] for run in runs if run.started})
    commits = Counter(run.commit[:7] for run in runs)
    busy = sum(run.was_busy for run in runs)
    stolen = [run.steal for run in runs if run.steal is not None]
    told = [
        f"- {plural(count, 'run')} on {model or 'a CPU of unknown model'}, {cpus or 0:g} CPUs"
        for (model, cpus), count in machines.most_common()
    ]
    told.append("- at " + ", ".join(f"commit {name} ({plural(n, 'run')})" for name, n in commits.items()))
    if versions := sorted({run.gradperf for run in runs if run.gradperf}):
        told.append(f"- by gradperf {', '.join(versions)}")
    if hours:
        first, last = (hour.replace("T", " ") for hour in (hours[0], hours[-1]))
        told.append(f"- from {first} h to {last} h UTC, begun in {plural(len(hours), 'different hour')}")
    told.append(f"- {plural(busy, 'run')} beside other work that took half a CPU or more")
    if stolen:
        told.append(
            f"- the host took {percent(median(stolen))} of the wanted CPU time in the median run, "
            f"{percent(max(stolen))} at most (steal)"
        )
    return told


def _table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    told = ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads), *told] if told else ["Not measured yet."]


def _by_suite(runs: Iterable[Run]) -> dict[str, list[Run]]:
    suites: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        suites[run.suite].append(run)
    return suites


def _false_alarms(runs: Sequence[Run]) -> list[str]:
    unchanged = [run for run in runs if run.kind == "unchanged"]
    rows = []
    for suite, its in [*_by_suite(unchanged).items(), ("**all**", unchanged)]:
        if not its:
            continue
        alarms = sum(run.exit_code == 10 for run in its)
        failures = Counter(run.verdict for run in its if run.exit_code not in (0, 10))
        verdicts = [verdict for run in its for verdict in run.timed.values()]
        rows.append(
            (
                suite,
                len(its),
                f"**{alarms}**",
                percent(binomial_upper_bound(alarms, len(its))),
                ", ".join(f"{count} {verdict}" for verdict, count in failures.items()) or "none",
                f"{verdicts.count('unchanged')} of {len(verdicts)}",
                sum(run.verdict == "inconclusive" for run in its),
            )
        )
    heads = (
        "benchmarks",
        "runs",
        "false alarms",
        "at most (95 %)",
        "other failures",
        "cases shown to be unchanged",
        "runs with an inconclusive case",
    )
    told = (
        "A run with an inconclusive case passes, and fails with `--strict`. The bound is one-sided, of Clopper and "
        "Pearson."
    )
    slowed = [run for run in runs if run.kind != "unchanged"]
    verdicts = [verdict for run in slowed for verdict in run.left_alone]
    lost = Counter(run.verdict for run in slowed if run.exit_code not in (0, 10))
    beside = (
        f"Beside planted slowdowns, {verdicts.count('regressed')} of {plural(len(verdicts), 'case')} and groups "
        f"without one were called regressed, in {plural(len(slowed), 'run')}. "
        + "".join(
            f"{plural(count, 'run')} ended {verdict}, which caught nothing. " for verdict, count in lost.items()
        )
    ).strip()
    return [told, "", *_table(heads, rows), "", beside]


def _times(runs: Sequence[Run]) -> list[str]:
    kinds: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: (run.suite, run.kind != "unchanged", run.kind)):
        kinds[run.suite, run.kind].append(run)
    rows = [
        (
            suite,
            round(median(len(run.cases) for run in its)),
            round(median(len(run.planted) for run in its)),
            _time_told([run.seconds for run in its if not run.was_busy]),
            _time_told([run.seconds for run in its if run.was_busy]),
        )
        for (suite, _), its in kinds.items()
    ]
    told = (
        "What looks slower is measured up to four times as often as what does not; and where a group does as a "
        "whole, all of its cases are."
    )
    return [told, "", *_table(("benchmarks", "cases", "slower ones", "time", "beside other work"), rows)]


def _time_told(seconds: Sequence[float]) -> str:
    if not seconds:
        return "–"
    if len(seconds) == 1:
        return f"{seconds[0]:.0f} s"
    return f"{median(seconds):.0f} s in the median of {len(seconds)}, {max(seconds):.0f} s at most"


def _caught(runs: Sequence[Run]) -> list[str]:
    seen: dict[tuple[str, float], list[bool]] = defaultdict(list)
    for run in runs:
        if run.kind == "planted":
            for case, share in run.planted.items():
                for name in (run.case_groups[case], "**all**"):
                    seen[name, share].append(run.caught(case))
    names = sorted({name for name, _ in seen}, key=lambda name: (name.startswith("*"), name))
    shares = sorted({share for _, share in seen})
    rows = [(name, *(_share_told(seen[name, share]) for share in shares)) for name in names]
    told = (
        "Several cases of a run are slowed at once, each in the group that it stands under, and one is caught if "
        "the run regressed and so did that very case. The intervals, of Clopper and Pearson, take them for "
        "independent, though those of one run share its noise."
    )
    return [told, "", *_table(("group", *(f"{share:.0%} slower" for share in shares)), rows)]


def _groups_caught(runs: Sequence[Run]) -> list[str]:
    slowed = [run for run in runs if run.kind == "group"]
    seen: dict[str, list[bool]] = defaultdict(list)
    for run in slowed:
        for name in (run.group, "**all**"):
            seen[name].append(run.caught_group)
    names = sorted(seen, key=lambda name: (name.startswith("*"), name))
    rows = [(name, _share_told(seen[name])) for name in names]
    shares = ", ".join(
        f"{share:.0%}" for share in sorted({share for run in slowed for share in run.planted.values()})
    )
    told = (
        "All cases of the group are slowed. It is caught if it regressed, or one of them did, or the mean of all."
    )
    return [told, "", *_table(("group", f"{shares} slower as a whole"), rows)]


def _share_told(caught: Sequence[bool]) -> str:
    if not caught:
        return "–"
    low, high = binomial_interval(sum(caught), len(caught))
    return f"{sum(caught)} of {len(caught)} ({100 * low:.0f}–{100 * high:.0f} %)"


def _visible(runs: Sequence[Run]) -> list[str]:
    changes: dict[str, list[float]] = defaultdict(list)
    groups: dict[str, str] = {}
    for run in runs:
        if run.kind == "unchanged":
            for case in run.timed:
                changes[case].append(run.visible.get(case, math.inf))
                groups[case] = run.case_groups[case]
    rows = [
        (groups[case], f"`{case}`", len(found), _change_told(median(found)), _change_told(max(found)))
        for case, found in sorted(changes.items(), key=lambda item: (groups[item[0]], item[0]))
    ]
    told = (
        "The smallest slowdown that a run would have called regressed four times out of five, by its own noise: "
        "over the runs on unchanged code, beside other work or not."
    )
    return [told, "", *_table(("group", "case", "runs", "median", "worst"), rows)]


def _change_told(change: float) -> str:
    return percent(change) if math.isfinite(change) else "none"
