"""Writes the page of a certificate: what whole runs of the gate showed, as Markdown.

The page is made from the store alone. Each share on it has its number of runs or cases, and its bound or interval.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from statistics import median

from gradperf.certificate.runs import Run
from gradperf.stats import binomial_interval, binomial_upper_bound
from gradperf.text.markdown import table
from gradperf.text.printable import NONE
from gradperf.text.quantities import percent, plural

ALL = "**all**"
"""The name of a row that sums up."""


def markdown(runs: Sequence[Run]) -> str:
    """Return the certificate as Markdown."""
    lines = [
        "# What the gate is worth, measured",
        "",
        "Whole runs of `gradperf gate` on unchanged code, and with known amounts of work added to the head. Made",
        "by `gradperf certificate`. [The gate's page](gate.md#a-certificate-for-your-machine) describes how to",
        "make one for another machine.",
        "",
        *_conditions(runs),
    ]
    for title, section in (
        ("False alarms", _false_alarms),
        ("Slowdowns of single cases that were caught", _caught),
        ("Slowdowns of a whole group that were caught", _groups_caught),
        ("What a run can see", _visible),
        ("How long they took", _times),
    ):
        lines += ["", f"## {title}", "", *section(runs)]
    return "\n".join(lines) + "\n"


def _conditions(runs: Sequence[Run]) -> list[str]:
    machines = Counter((run.cpu_model, run.cpus) for run in runs)
    hours = sorted({run.started[:13] for run in runs if run.started})
    commits = Counter(run.commit[:7] for run in runs)
    busy = sum(run.was_busy for run in runs)
    stolen = [run.steal for run in runs if run.steal is not None]
    lines = [
        f"- {plural(count, 'run')} on {model or 'a CPU of unknown model'}, {cpus or 0:g} CPUs"
        for (model, cpus), count in machines.most_common()
    ]
    lines.append("- at " + ", ".join(f"commit {name} ({plural(n, 'run')})" for name, n in commits.items()))
    if versions := sorted({run.gradperf for run in runs if run.gradperf}):
        lines.append(f"- by gradperf {', '.join(versions)}")
    if hours:
        first, last = (hour.replace("T", " ") for hour in (hours[0], hours[-1]))
        lines.append(f"- from {first} h to {last} h UTC, begun in {plural(len(hours), 'different hour')}")
    lines.append(f"- {plural(busy, 'run')} beside other work that took half a CPU or more")
    if stolen:
        lines.append(
            f"- the host took {percent(median(stolen))} of the wanted CPU time in the median run, "
            f"{percent(max(stolen))} at most (steal)"
        )
    return lines


def _false_alarms(runs: Sequence[Run]) -> list[str]:
    suites: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        if run.kind == "unchanged":
            suites[run.suite].append(run)
    if suites:
        suites[ALL] = [run for suite_runs in suites.values() for run in suite_runs]
    rows = []
    for suite, suite_runs in suites.items():
        alarms = sum(run.exit_code == 10 for run in suite_runs)
        verdicts = [verdict for run in suite_runs for verdict in run.verdicts.values()]
        failures = [f"{count} {verdict}" for verdict, count in _other_failures(suite_runs).items()]
        rows.append(
            (
                suite,
                len(suite_runs),
                f"**{alarms}**",
                percent(binomial_upper_bound(alarms, len(suite_runs))),
                ", ".join(failures) or "none",
                f"{verdicts.count('unchanged')} of {len(verdicts)}",
                sum(run.verdict == "inconclusive" for run in suite_runs),
            )
        )
    heads = ["benchmarks", "runs", "false alarms", "at most (95 %)", "other failures"]
    heads += ["cases shown to be unchanged", "runs with an inconclusive case"]
    explanation = (
        "A run with an inconclusive case passes, and fails with `--strict`. The bound is one-sided, of Clopper and "
        "Pearson."
    )
    slowed = [run for run in runs if run.kind != "unchanged"]
    verdicts = [verdict for run in slowed for verdict in run.left_alone]
    beside = (
        f"Beside planted slowdowns, {verdicts.count('regressed')} of {plural(len(verdicts), 'case')} and groups "
        f"without one were called regressed, in {plural(len(slowed), 'run')}."
    )
    for verdict, count in _other_failures(slowed).items():
        beside += f" {plural(count, 'run')} ended {verdict}, which caught nothing."
    return [explanation, "", *table(heads, rows), "", beside]


def _other_failures(runs: Iterable[Run]) -> Counter[str]:
    return Counter(run.verdict for run in runs if run.exit_code not in (0, 10))


def _caught(runs: Sequence[Run]) -> list[str]:
    caught: dict[tuple[str, float], list[bool]] = defaultdict(list)
    for run in runs:
        if run.kind == "planted":
            for case, share in run.planted.items():
                for name in (run.case_groups[case], ALL):
                    caught[name, share].append(run.caught(case))
    shares = sorted({share for _, share in caught})
    names = _all_last(name for name, _ in caught)
    rows = [(name, *(_share_text(caught[name, share]) for share in shares)) for name in names]
    explanation = (
        "In each run, several cases are slowed at once, each in the group of its row. A case is caught if it "
        "regressed and so did the run. The intervals, of Clopper and Pearson, treat the cases as independent, "
        "although cases of one run share its noise."
    )
    return [explanation, "", *table(("group", *(f"{share:.0%} slower" for share in shares)), rows)]


def _groups_caught(runs: Sequence[Run]) -> list[str]:
    slowed = [run for run in runs if run.kind == "group"]
    caught: dict[str, list[bool]] = defaultdict(list)
    for run in slowed:
        for name in (run.group, ALL):
            caught[name].append(run.caught_group)
    rows = [(name, _share_text(caught[name])) for name in _all_last(caught)]
    shares = sorted({share for run in slowed for share in run.planted.values()})
    explanation = (
        "All cases of the group are slowed. It is caught if it regressed, or one of them did, or the mean of all."
    )
    head = f"{', '.join(f'{share:.0%}' for share in shares)} slower as a whole"
    return [explanation, "", *table(("group", head), rows)]


def _all_last(names: Iterable[str]) -> list[str]:
    return sorted(set(names), key=lambda name: (name == ALL, name))


def _share_text(caught: Sequence[bool]) -> str:
    if not caught:
        return NONE
    low, high = binomial_interval(sum(caught), len(caught))
    return f"{sum(caught)} of {len(caught)} ({100 * low:.0f}–{100 * high:.0f} %)"


def _visible(runs: Sequence[Run]) -> list[str]:
    changes: dict[tuple[str, str], list[float]] = defaultdict(list)
    for run in runs:
        if run.kind == "unchanged":
            for case in run.verdicts:
                changes[run.case_groups[case], case].append(run.visible.get(case, math.inf))
    rows = [
        (group, f"`{case}`", len(seen), _change_text(median(seen)), _change_text(max(seen)))
        for (group, case), seen in sorted(changes.items())
    ]
    explanation = (
        "The smallest slowdown that a run would have called regressed four times out of five, by its own noise: "
        "over the runs on unchanged code, beside other work or not."
    )
    return [explanation, "", *table(("group", "case", "runs", "median", "worst"), rows)]


def _change_text(change: float) -> str:
    return percent(change) if math.isfinite(change) else "none"


def _times(runs: Sequence[Run]) -> list[str]:
    kinds: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: (run.suite, run.kind != "unchanged", run.kind)):
        kinds[run.suite, run.kind].append(run)
    rows = [
        (
            suite,
            round(median(len(run.cases) for run in same)),
            round(median(len(run.planted) for run in same)),
            _time_text([run.seconds for run in same if not run.was_busy]),
            _time_text([run.seconds for run in same if run.was_busy]),
        )
        for (suite, _), same in kinds.items()
    ]
    explanation = (
        "A case that looks slower is measured up to four times as often. If a whole group looks slower, all of its "
        "cases are."
    )
    return [explanation, "", *table(("benchmarks", "cases", "slower ones", "time", "beside other work"), rows)]


def _time_text(seconds: Sequence[float]) -> str:
    if not seconds:
        return NONE
    if len(seconds) == 1:
        return f"{seconds[0]:.0f} s"
    return f"{median(seconds):.0f} s in the median of {len(seconds)}, {max(seconds):.0f} s at most"
