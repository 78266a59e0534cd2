"""Writes how far stored runs can be compared, as a page in Markdown. It is made from the store alone."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median

from gradperf.stability import analysis
from gradperf.stability.analysis import MOST, SHORT_S, Seen
from gradperf.stability.runs import Kind, Run
from gradperf.stability.study import Study, found, near, only, study
from gradperf.stats import binomial_upper_bound
from gradperf.text.markdown import table
from gradperf.text.printable import NONE
from gradperf.text.quantities import duration, percent, plural, short_time

ALL = "**all**"
"""The name of a row that sums up."""

WORST = 8
"""Cases in the table of the worst ones."""

_ALONE: tuple[Kind, ...] = ("quiet", "busy")

_SHORT = f"steps below {short_time(SHORT_S)}"


def markdown(runs: Sequence[Run]) -> str:
    """Return the page as Markdown; there must be a run."""
    chosen = study(runs)
    lines = [
        "# How far stored runs can be compared, measured",
        "",
        "Whole runs of `pytest perf` on unchanged code, and with known work added to some cases. Made by",
        "`gradperf stability`, which computes every number here from the moments in the store, by the estimator of",
        "`pytest perf` and the rules of its comparison. Runs are compared within a machine, which the",
        "model of its CPU tells. What the machines show is then put together.",
        "",
        *_conditions(chosen),
    ]
    for title, section in (
        ("Aims", _aims),
        ("From run to run", _deviations),
        ("`× base` from run to run", _ratios),
        ("Two runs of the same code, compared", _alarms),
        ("Planted work that was found", _planted),
        ("The cases that differ most", _worst),
        ("Other estimators, from the same moments", _others),
    ):
        lines += ["", f"## {title}", "", *section(chosen)]
    return "\n".join(lines) + "\n"


def _conditions(chosen: Study) -> list[str]:
    runs = [one.run for one in chosen.runs]
    kinds = Counter(run.kind for run in runs)
    hours, cases = _hours(runs), median(len(run.cases) for run in runs)
    took_s, versions = median(run.seconds for run in runs), runs[0].versions.items()
    machines = ", ".join(f"{name} ({plural(count, 'run')})" for name, count in chosen.machines.items())
    commits = Counter(f"commit {run.commit[:7]}{' with changes' if run.dirty else ''}" for run in runs)
    by_kind = (
        f"{kinds['quiet']} quiet, {kinds['busy']} beside two busy processes, {kinds['planted']} with planted work"
    )
    lines = [
        f"{plural(len(runs), 'run')} of {plural(cases, 'case')}: {by_kind}",
        f"`pytest {' '.join(runs[0].arguments)}`, {took_s:.0f} s in the median",
        f"begun in {plural(len(hours), 'different hour')}: {', '.join(hours)} h UTC",
        f"on {plural(len(chosen.machines), 'machine')}: {machines}",
        f"with {', '.join(f'{name} {version}' for name, version in versions)}",
        f"at {', '.join(f'{name} ({count})' for name, count in commits.items())}",
    ]
    if stolen := [run.steal for run in runs if run.steal is not None]:
        worst = f"{percent(max(stolen))} at most"
        lines.append(f"the host took {percent(median(stolen))} of the wanted CPU time in the median run, {worst}")
    if failed := sum(run.failed for run in runs):
        lines.append(f"without a time, as they failed: {plural(failed, 'benchmark')}")
    if chosen.others:
        lines.append(f"left out, of another selection or set of versions: {plural(chosen.others, 'run')}")
    return [f"- {line}" for line in lines]


def _hours(runs: Iterable[Run]) -> list[str]:
    return sorted({run.started[:13].replace("T", " ") for run in runs})


def _aims(chosen: Study) -> list[str]:
    """Return the table of what should be reached, and what was."""
    unchanged = [one.run for one in chosen.unchanged]
    busy, hours = len(chosen.of_kind("busy")), len(_hours(unchanged))
    cases = min((len(run.cases) for run in unchanged), default=0)
    frameworks = len({_framework(id_) for id_ in chosen.times_s})
    runs = f"{plural(len(unchanged), 'run')} of {plural(cases, 'case')} in {plural(frameworks, 'framework')}"
    enough = len(unchanged) >= 20 and cases >= 40 and frameworks >= 4 and hours >= 6 and 2 * busy >= len(unchanged)
    all_cases = analysis.summary(chosen.deviations.values())
    short = analysis.summary(value for id_, value in chosen.deviations.items() if id_ in chosen.short)
    alarms = chosen.alarms
    rows = [
        (
            "at least 20 runs of 40 cases in 4 frameworks, begun in 6 hours, half of them busy",
            f"{runs}, {plural(hours, 'hour')}, {busy} busy",
            _met(enough),
        ),
        _aim("deviation: at most 2 % in the median case", all_cases.median if all_cases else None, _at_most(0.02)),
        _aim(
            f"deviation: at most 5 % in 90 % of those with {_SHORT}", short.most if short else None, _at_most(0.05)
        ),
        _aim(
            "`× base`: 90 % of those within 5 % between any two runs of a machine",
            near(only(chosen.ratio_differences, chosen.short)),
            _at_least(MOST),
        ),
        _aim(
            "pairs of unchanged runs that call any case slower: at most 1 %",
            alarms.slower / alarms.pairs if alarms.pairs else None,
            _at_most(0.01),
        ),
        _aim("10 % of planted work: found in at least 95 %", found(chosen.seen_of(0.10)), _at_least(0.95)),
        _aim("5 % of planted work: found in at least 80 %", found(chosen.seen_of(0.05)), _at_least(0.80)),
    ]
    return table(["aim", "measured", ""], rows)


def _aim(text: str, value: float | None, reached: Callable[[float], bool]) -> tuple[str, str, str]:
    return (text, NONE, "not measured") if value is None else (text, percent(value), _met(reached(value)))


def _at_most(bound: float) -> Callable[[float], bool]:
    return lambda value: value <= bound


def _at_least(bound: float) -> Callable[[float], bool]:
    return lambda value: value >= bound


def _met(reached: bool) -> str:
    return "met" if reached else "**missed**"


def _deviations(chosen: Study) -> list[str]:
    """Return the table of the deviations by framework, of short steps, and by kind of run."""
    explanation = (
        "The standard deviation, over the unchanged runs, of the logarithm of the time of a step; so 0.02 is 2 %. "
        "It is taken within the machines: the squares around the mean of each machine are added, and divided by "
        "the number of runs less one for each machine. "
        "90 % of the cases deviate by what is in that column, or less."
    )
    rows = [_row(name, deviations) for name, deviations in _by_framework(chosen.deviations).items()]
    rows.append(_row(_SHORT, [value for id_, value in chosen.deviations.items() if id_ in chosen.short]))
    for kind in _ALONE:
        rows.append(_row(f"{kind} runs alone", analysis.deviations(analysis.times(chosen.of_kind(kind))).values()))
    return [explanation, "", *table(["", "cases", "median case", "90 %", "worst"], rows)]


def _framework(id_: str) -> str:
    return id_.split("-")[1].partition(".")[0]


def _by_framework(values: Mapping[str, float]) -> dict[str, list[float]]:
    groups: dict[str, list[float]] = defaultdict(list)
    for id_, value in sorted(values.items(), key=lambda one: _framework(one[0])):
        groups[_framework(id_)].append(value)
    return groups | {ALL: list(values.values())}


def _row(name: str, values: Iterable[float]) -> tuple[str, ...]:
    summed = analysis.summary(values)
    if summed is None:
        return name, "0", NONE, NONE, NONE
    return name, str(summed.count), percent(summed.median), percent(summed.most), percent(summed.worst)


def _ratios(chosen: Study) -> list[str]:
    explanation = (
        "How far a case's ratio to the baseline of its problem, both of one run, differs between any two unchanged "
        "runs of one machine. Each case counts once for each pair of runs."
    )
    rows = []
    for name, ids in ((ALL, set(chosen.ratio_differences)), (_SHORT, chosen.short & set(chosen.ratio_differences))):
        differences = only(chosen.ratio_differences, ids)
        if summed := analysis.summary(differences):
            within = percent(near(differences) or 0.0)
            rows.append(
                (name, len(ids), within, percent(summed.median), percent(summed.most), percent(summed.worst))
            )
    heads = ["", "cases", "within 5 %", "median difference", "90 % differ by at most", "worst"]
    return [explanation, "", *table(heads, rows)]


def _alarms(chosen: Study) -> list[str]:
    alarms = chosen.alarms
    if not alarms.pairs:
        return ["Not measured yet."]
    bound = binomial_upper_bound(alarms.disjoint_slower, alarms.disjoint)
    all_pairs = (
        f"Every unchanged run is compared with every earlier one of its machine: {plural(alarms.pairs, 'pair')}. "
        f"{alarms.slower} of them call some case slower ({percent(alarms.slower / alarms.pairs)}), "
        f"{alarms.faster} call some case faster ({percent(alarms.faster / alarms.pairs)}). All of these are false."
    )
    disjoint = (
        "Pairs share runs, so an interval over all of them would be too narrow. "
        f"{plural(alarms.disjoint, 'pair')} share none: the first run of a machine with its second, the third with "
        f"the fourth, and so on. {alarms.disjoint_slower} of these call some case slower: at most {percent(bound)} "
        "of such pairs do, with a confidence of 95 % (Clopper and Pearson)."
    )
    most = sorted(alarms.cases.items(), key=lambda one: -one[1])[:WORST]
    rows = [(f"`{id_}`", count) for id_, count in most]
    return [all_pairs, "", disjoint, *(["", *table(["called slower or faster", "pairs"], rows)] if rows else [])]


def _planted(chosen: Study) -> list[str]:
    explanation = (
        "Every run with planted work is compared with every unchanged run of its machine. A case counts as found "
        "if it is called slower. Pairs share runs, so they are not independent. What was measured is the median of "
        "the ratios."
    )
    rows = []
    for planted in sorted({one.planted for one in chosen.seen if one.planted}, reverse=True):
        groups: dict[str, list[Seen]] = defaultdict(list)
        for one in sorted(chosen.seen_of(planted), key=lambda one: _framework(one.case)):
            groups[_framework(one.case)].append(one)
        groups[ALL] = chosen.seen_of(planted)
        rows += [
            (percent(planted), name, len(seen), percent(found(seen) or 0.0), f"{_ratio(seen):.3f}×")
            for name, seen in groups.items()
        ]
    lines = [explanation, "", *table(["planted", "", "comparisons", "found", "measured"], rows)]
    if left := chosen.seen_of(0.0):
        wrong = sum(one.found for one in left)
        beside = (
            f"Beside them, {wrong} of {len(left)} cases that were left as they were are called slower "
            f"({percent(wrong / len(left))}). Measured: {_ratio(left):.3f}×."
        )
        lines += ["", beside]
    return lines


def _ratio(seen: Sequence[Seen]) -> float:
    return median(one.ratio for one in seen)


def _worst(chosen: Study) -> list[str]:
    alone = [analysis.deviations(analysis.times(chosen.of_kind(kind))) for kind in _ALONE]
    rows = []
    for id_, deviation in sorted(chosen.deviations.items(), key=lambda one: -one[1])[:WORST]:
        machines = sorted(chosen.times_s[id_].values(), key=len)
        step_s = median(machines[-1])
        shares = [second / median(times_s) for times_s in machines for second in times_s]
        span = f"{min(shares):.2f}–{max(shares):.2f}×"
        kinds = (percent(of_kind[id_]) if id_ in of_kind else NONE for of_kind in alone)
        rows.append((f"`{id_}`", duration(step_s), percent(deviation), *kinds, span))
    explanation = (
        "The time of a step is the median of the machine with the most runs. The least and the most are shares of "
        "the median of their own machine."
    )
    heads = ["case", "step", "deviation", *(f"{kind} runs" for kind in _ALONE), "least and most, of the median"]
    return [explanation, "", *table(heads, rows)]


def _others(chosen: Study) -> list[str]:
    explanation = (
        "The deviation from run to run if the time of a step were taken otherwise. What disturbed rounds would do "
        "cannot be computed again: they were left out when the moments were taken."
    )
    runs = [one.run for one in chosen.unchanged]
    rows = [_row("**as it is**", chosen.deviations.values())]
    for name, time_of in analysis.OTHERS.items():
        rows.append(_row(name, analysis.deviations(analysis.times(runs, time_of)).values()))
    return [explanation, "", *table(["time of a step", "cases", "median case", "90 %", "worst"], rows)]
