"""Gathers what the page shows: runs, machines, the cases of the newest runs, and the history of every case.

There may be hundreds of runs, and each takes megabytes while it is read. So they are read one after the other, the
newest first, and only a few numbers of each are kept. All numbers of a case are kept of the newest runs alone.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gradperf import frameworks
from gradperf.comparison.baseline import BaselineOf
from gradperf.comparison.changes import basis, changes
from gradperf.comparison.rows import Row, tables
from gradperf.errors import UserError
from gradperf.records.facts import Benchmark
from gradperf.records.history import Unreadable
from gradperf.records.storage import Run
from gradperf.report import curves
from gradperf.report.untimed import Untimed
from gradperf.text.printable import clean

DETAILED = 8
"""So many of the newest runs are shown with all their numbers; of the others, the times."""

_HARDWARE = ("cpu_model", "logical_cpus", "affinity_cpus", "effective_cpus", "gpus", "system", "machine")
_LONGEST = 200
"""Characters of a text of a record that are shown."""


@dataclass
class Report:
    """What the page shows, as JSON holds it."""

    runs: list[dict[str, Any]] = field(default_factory=list)
    """The newest first."""
    machines: list[dict[str, Any]] = field(default_factory=list)
    details: dict[int, dict[str, Any]] = field(default_factory=dict)
    """All numbers of a run, by its place in ``runs``."""
    history: dict[str, list[list[Any]]] = field(default_factory=dict)
    """By the id of a case: place of the run, seconds of a step, relative error, and how it changed since the run
    before on the same machine: 1 slower, −1 faster, 0 nothing seen or not known."""
    curves: list[dict[str, Any]] = field(default_factory=list)
    """What single cases computed, as ``gradperf run --json`` writes it."""
    left_out: list[str] = field(default_factory=list)
    """Why files hold no run."""
    styles: dict[str, dict[str, str]] = field(default_factory=dict)
    """Docstring and source, by family and label."""
    families: dict[str, str] = field(default_factory=dict)
    """By problem."""


def gather(found: Iterable[Run | Unreadable], baseline_of: BaselineOf, family_of: Callable[[str], str]) -> Report:
    """Return what the page shows of these runs, the newest first. ``family_of`` knows the family of a problem."""
    report, later = Report(), dict[int, tuple[int, Run]]()
    for one in found:
        if isinstance(one, Unreadable):
            _add_curve(report, one)
            continue
        if not any(benchmark.is_compared and benchmark.facts.problem for benchmark in one.benchmarks):
            report.left_out.append(clean(f"{one.file}: no case of gradperf is in it", _LONGEST))
            continue
        place, machine = len(report.runs), _machine(one, report.machines)
        report.runs.append(_run(one, machine))
        for benchmark in _compared(one):
            if benchmark.step_s:
                entry = [place, _short(benchmark.step_s), _short(benchmark.facts.step_error), 0]
                report.history.setdefault(_text(benchmark.case), []).append(entry)
        if place < DETAILED:
            report.details[place] = _details(one, baseline_of, family_of)
        if machine in later and one.partial is None:
            newer_place, newer = later[machine]
            _mark(report, newer_place, one, newer, baseline_of)
        if one.partial is None:
            later[machine] = place, one
    report.curves.sort(key=lambda curve: (curve["case"], curve["file"]))
    _describe(report, family_of)
    return report


def _add_curve(report: Report, one: Unreadable) -> None:
    """Add the run of a single case, if that is in a file that holds no recorded run; or why it is left out."""
    reason = one.reason
    try:
        if (curve := curves.read(one.file)) is not None:
            if len(report.curves) < curves.MOST:
                report.curves.append(curve)
                return
            reason = f"{one.file}: {curves.MOST} single runs are drawn already"
    except UserError as error:
        reason = str(error)
    report.left_out.append(clean(reason, _LONGEST))


def _text(value: Any) -> str:
    return clean(str(value), _LONGEST)


def _short(value: float | None) -> float | None:
    """Round to five digits: the page need not be larger than its numbers are sure."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.5g}")


def _compared(run: Run) -> list[Benchmark]:
    return [one for one in run.benchmarks if one.is_compared and one.facts.problem]


def _machine(run: Run, machines: list[dict[str, Any]]) -> int:
    """Return the place of the machine of a run in ``machines``, after adding it if it is new."""
    facts = {name: _plain(run.machine.get(name)) for name in _HARDWARE if run.machine.get(name) is not None}
    if facts not in machines:
        machines.append(facts)
    return machines.index(facts)


def _plain(value: Any) -> Any:
    """Return a fact of a file as numbers and short texts."""
    if isinstance(value, bool | int | float):
        return value if not isinstance(value, float) or math.isfinite(value) else _text(value)
    if isinstance(value, Mapping):
        return {_text(key): _plain(inner) for key, inner in list(value.items())[:20]}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value[:20]]
    return _text(value)


def _run(run: Run, machine: int) -> dict[str, Any]:
    facts, commit = run.facts, run.commit.get("id")
    unrest = [one.facts.unrest for one in run.benchmarks if one.facts.unrest is not None]
    return {
        "file": _text(run.file.name),
        "at": run.recorded_at.isoformat(timespec="seconds") if run.recorded_at else None,
        "machine": machine,
        "cpu": _text(run.cpu or ""),
        "commit": _text(commit)[:10] + ("+" if run.commit.get("dirty") else "") if commit else None,
        "versions": {_text(name): _text(version) for name, version in run.versions.items()},
        "python": _text(run.machine.get("python_version") or ""),
        "partial": _text(run.partial) if run.partial else None,
        "tier": _text(facts.tier or ""),
        "threads": facts.threads,
        "seed": facts.seed,
        "command": " ".join(map(_text, facts.command)),
        "unrest": _short(math.expm1(min(max(unrest), 10.0))) if unrest else None,
        "steal": _short(facts.steal),
        "cases": len(_compared(run)),
        "noisy": sum(one.is_disturbed for one in _compared(run)),
        "blas": _plain(run.machine.get("blas")),
    }


def _details(run: Run, baseline_of: BaselineOf, family_of: Callable[[str], str]) -> dict[str, Any]:
    named = [one for one in run.benchmarks if one.facts.problem]
    groups: list[dict[str, Any]] = [
        {
            "problem": _text(rows[0].facts.problem),
            "device": _text(rows[0].facts.device or ""),
            "dtype": _text(rows[0].facts.dtype or ""),
            "baseline": rows[0].comparison.label,
            "rows": [_row(row) for row in rows],
        }
        for rows in tables(named, baseline_of)
    ]
    untimed = Untimed(run)
    return {
        "groups": groups,
        "reasons": _add_reasons(groups, untimed, family_of),
        "untimed": [[_text(reason), [*map(_text, ids)]] for reason, ids in untimed.lists()],
        "ceilings": [_plain(one) for one in run.facts.ceilings],
    }


def _add_reasons(groups: list[dict[str, Any]], untimed: Untimed, family_of: Callable[[str], str]) -> list[str]:
    """Add to each table the places of the reasons why other styles have no time in it; return the reasons."""
    labels = dict.fromkeys(row["label"] for group in groups for row in group["rows"])
    places: dict[str, int] = {}
    for group in groups:
        problem, timed = group["problem"], {row["label"] for row in group["rows"] if row["step"] is not None}
        family = family_of(problem)
        group["untimed"] = {
            label: places.setdefault(
                _text(untimed.reason(problem, family, label, group["device"], group["dtype"])), len(places)
            )
            for label in labels
            if label not in timed
        }
    return [*places]


def _row(row: Row) -> dict[str, Any]:
    one, facts = row.benchmark, row.facts
    return {
        "label": _text(one.label),
        "framework": _text(facts.framework or ""),
        "rank": row.rank,
        "noisy": one.is_disturbed,
        "step": _short(one.step_s),
        "interval": [*map(_short, facts.step_interval_s)] if facts.step_interval_s else None,
        "error": _short(facts.step_error),
        "call": _short(facts.call_s),
        "first": _short(facts.first_call_s),
        "first_steps": facts.first_call_steps or facts.steps,
        "memory": _short(facts.memory_peak_bytes),
        "device_memory": _short(facts.device_memory_peak_bytes),
        "gradient_error": _short(facts.gradient_error),
        "output_error": _short(facts.trajectory_error),
        "peak": _short(facts.peak_fraction),
        "flops": _short(facts.flops_per_step),
        "bytes": _short(facts.bytes_per_step),
        "products": _short(facts.product_flops_counted),
        "uncounted": _text(facts.uncounted) if facts.uncounted else None,
        "loss": _short(facts.final_loss),
    }


def _mark(report: Report, place: int, then: Run, now: Run, baseline_of: BaselineOf) -> None:
    """Mark in the history of each case whether the run at ``place`` was slower or faster than the one before."""
    if basis(then, now.machine) != "seconds":
        return
    for name, change in changes(then.benchmarks, now.benchmarks, "seconds", baseline_of).cases.items():
        if change.verdict in ("slower", "faster"):
            for entry in report.history.get(_text(name), ()):
                if entry[0] == place:
                    entry[3] = 1 if change.verdict == "slower" else -1


def _describe(report: Report, family_of: Callable[[str], str]) -> None:
    """Add docstring and source of the styles whose numbers are shown, as they are installed here."""
    for details in report.details.values():
        for group in details["groups"]:
            family = report.families.setdefault(group["problem"], family_of(group["problem"]))
            for row in group["rows"]:
                key = f"{family}/{row['label']}"
                if key not in report.styles and (described := _described(family, row["label"])) is not None:
                    report.styles[key] = described


def _described(family: str, label: str) -> dict[str, str] | None:
    """Read the file of a style, without importing its framework; None if there is no such style here."""
    framework, _, style = label.partition(".")
    if framework not in frameworks.names() or style not in frameworks.styles(framework, family):
        return None
    source = frameworks.source(framework, family, style)
    return {"doc": source.doc, "source": source.code}
