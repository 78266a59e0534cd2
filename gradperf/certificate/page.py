"""The page of a certificate: what whole runs of the gate showed, as Markdown.

The page is made from the store alone. Each share on it comes with the number of runs or cases it is a share of, and
with its bound or interval.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

from gradperf.certificate.runs import Run
from gradperf.stats import binomial_interval, binomial_upper_bound
from gradperf.text.printable import NONE
from gradperf.text.quantities import percent, plural


def markdown(runs: Sequence[Run]) -> str:
    """Return the certificate as Markdown."""
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


def _table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads), *lines] if lines else ["Not measured yet."]


def _by_suite(runs: Iterable[Run]) -> dict[str, list[Run]]:
    suites: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        suites[run.suite].append(run)
    return suites


def _false_alarms(runs: Sequence[Run]) -> list[str]:
    unchanged = [run for run in runs if run.kind == "unchanged"]
    rows = []
    for suite, suite_runs in [*_by_suite(unchanged).items(), ("**all**", unchanged)]:
        if not suite_runs:
            continue
        alarms = sum(run.exit_code == 10 for run in suite_runs)
        failures = Counter(run.verdict for run in suite_runs if run.exit_code not in (0, 10))
        verdicts = [verdict for run in suite_runs for verdict in run.timed.values()]
        rows.append(
            (
                suite,
                len(suite_runs),
                f"**{alarms}**",
                percent(binomial_upper_bound(alarms, len(suite_runs))),
                ", ".join(f"{count} {verdict}" for verdict, count in failures.items()) or "none",
                f"{verdicts.count('unchanged')} of {len(verdicts)}",
                sum(run.verdict == "inconclusive" for run in suite_runs),
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
    explanation = (
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
    return [explanation, "", *_table(heads, rows), "", beside]


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
        "What looks slower is measured up to four times as often as what does not; and where a group does as a "
        "whole, all of its cases are."
    )
    return [explanation, "", *_table(("benchmarks", "cases", "slower ones", "time", "beside other work"), rows)]


def _time_text(seconds: Sequence[float]) -> str:
    if not seconds:
        return NONE
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
    rows = [(name, *(_share_text(seen[name, share]) for share in shares)) for name in names]
    explanation = (
        "Several cases of a run are slowed at once, each in the group that it stands under, and one is caught if "
        "the run regressed and so did that very case. The intervals, of Clopper and Pearson, take them for "
        "independent, though those of one run share its noise."
    )
    return [explanation, "", *_table(("group", *(f"{share:.0%} slower" for share in shares)), rows)]


def _groups_caught(runs: Sequence[Run]) -> list[str]:
    slowed = [run for run in runs if run.kind == "group"]
    seen: dict[str, list[bool]] = defaultdict(list)
    for run in slowed:
        for name in (run.group, "**all**"):
            seen[name].append(run.caught_group)
    names = sorted(seen, key=lambda name: (name.startswith("*"), name))
    rows = [(name, _share_text(seen[name])) for name in names]
    shares = ", ".join(
        f"{share:.0%}" for share in sorted({share for run in slowed for share in run.planted.values()})
    )
    explanation = (
        "All cases of the group are slowed. It is caught if it regressed, or one of them did, or the mean of all."
    )
    return [explanation, "", *_table(("group", f"{shares} slower as a whole"), rows)]


def _share_text(caught: Sequence[bool]) -> str:
    if not caught:
        return NONE
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
        (groups[case], f"`{case}`", len(seen), _change_text(median(seen)), _change_text(max(seen)))
        for case, seen in sorted(changes.items(), key=lambda item: (groups[item[0]], item[0]))
    ]
    explanation = (
        "The smallest slowdown that a run would have called regressed four times out of five, by its own noise: "
        "over the runs on unchanged code, beside other work or not."
    )
    return [explanation, "", *_table(("group", "case", "runs", "median", "worst"), rows)]


def _change_text(change: float) -> str:
    return percent(change) if math.isfinite(change) else "none"
