"""Writes the comparison of two runs for a terminal, and as Markdown, JSON and CSV."""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from gradperf.comparison import words
from gradperf.comparison.changes import Change, Changes
from gradperf.records.storage import Run
from gradperf.text import quantities, table
from gradperf.text.escaping import csv_cell, markdown
from gradperf.text.printable import clean, cut_alike
from gradperf.text.table import Column, Terminal

SCHEMA = 1
"""Of the JSON."""

_ORDER = ("slower", "faster", "unknown", "nothing seen")


@dataclass(frozen=True)
class Comparison:
    """Two runs, and what differs between them."""

    then: Run
    now: Run
    changes: Changes
    notes: Sequence[str] = ()
    """In what else the runs differ, and files that could not be read."""

    @property
    def rows(self) -> list[tuple[str, Change]]:
        """Return the cases with their changes: what was seen first, the largest first."""
        return sorted(
            self.changes.cases.items(),
            key=lambda item: (_ORDER.index(item[1].verdict), -abs((item[1].ratio or 1) - 1)),
        )


def _title(run: Run) -> str:
    when = f", recorded {run.recorded_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if run.recorded_at else ""
    partial = f", partial: {run.partial}" if run.partial else ""
    return f"{run.file}{when}{partial}"


def _step(seconds: float | None) -> str | None:
    return None if seconds is None else quantities.duration(seconds)


_Row = tuple[str, Change]
_COLUMNS: tuple[Column[_Row], ...] = (
    Column("", lambda row: row[1].verdict, left=True),
    Column("now / then", lambda row: row[1].shown, "with its interval", left=True),
    Column(
        "visible",
        lambda row: None if row[1].visible is None else quantities.percent(row[1].visible),
        "the smallest slowdown that these two runs would probably have shown",
    ),
    Column("then", lambda row: _step(row[1].then.step_s), "time per step", rank=1),
    Column("now", lambda row: _step(row[1].now.step_s), rank=1),
)
_NAMES: table.Names[_Row] = table.Names(lambda row: clean(row[0]), last=True, readable=30, cut=cut_alike)


def terminal(comparison: Comparison, output: Terminal) -> str:
    """Return the lines for a terminal."""
    lines = [output.plain(clean(f"{name}: {_title(run)}")) for name, run in _both(comparison)]
    rows = comparison.rows
    if rows:
        layout = table.layout(output, _NAMES, _COLUMNS, rows, ["case"])
        lines += ["", *layout.table("case", rows), "", *layout.legend()]
    lines.append("")
    for line in (*words.summary(comparison.changes), *comparison.notes):
        lines += output.wrap(clean(line))
    return "\n".join(lines) + "\n"


def as_markdown(comparison: Comparison, output: Terminal) -> str:
    """Return a page."""
    lines = ["# What changed between two runs", ""]
    lines += [f"- {name}: {markdown(_title(run))}" for name, run in _both(comparison)]
    lines += [
        "",
        *(f"- {markdown(line)}" for line in (*words.summary(comparison.changes), *comparison.notes)),
    ]
    if comparison.rows:
        lines += ["", "| | now / then | visible | then | now | case |", "|---|---|---|---|---|---|"]
        for name, change in comparison.rows:
            cells = [*(column.cell((name, change)) or "–" for column in _COLUMNS), name]
            lines.append(f"| {' | '.join(map(markdown, cells))} |")
    return "\n".join(lines) + "\n"


def as_json(comparison: Comparison, output: Terminal) -> str:
    """Return all that is known, as JSON."""
    changes = comparison.changes
    return (
        json.dumps(
            {
                "schema": SCHEMA,
                **{name: {"file": str(run.file), "recorded_at": _date(run)} for name, run in _both(comparison)},
                "basis": changes.basis,
                "reference_ratio": changes.factor,
                "notes": [*words.summary(changes), *comparison.notes],
                "only_then": [*changes.only_then],
                "only_now": [*changes.only_now],
                "cases": [{"case": name, **_fields(change)} for name, change in comparison.rows],
            },
            indent=2,
        )
        + "\n"
    )


def as_csv(comparison: Comparison, output: Terminal) -> str:
    """Return a line for each case."""
    text = io.StringIO()
    writer = csv.writer(text)
    fields = ["case", *_FIELDS]
    writer.writerow(fields)
    for name, change in comparison.rows:
        writer.writerow([csv_cell(name), *_fields(change).values()])
    return text.getvalue()


FORMATS: Mapping[str, Callable[[Comparison, Terminal], str]] = {
    "terminal": terminal,
    "markdown": as_markdown,
    "json": as_json,
    "csv": as_csv,
}


def _both(comparison: Comparison) -> list[tuple[str, Run]]:
    return [("then", comparison.then), ("now", comparison.now)]


def _date(run: Run) -> str | None:
    return run.recorded_at.isoformat(timespec="seconds") if run.recorded_at else None


_FIELDS = ("verdict", "ratio", "low", "high", "visible", "then_step_s", "now_step_s")


def _fields(change: Change) -> dict[str, Any]:
    low, high = change.interval or (None, None)
    values = (change.verdict, change.ratio, low, high, change.visible, change.then.step_s, change.now.step_s)
    return dict(zip(_FIELDS, values, strict=True))
