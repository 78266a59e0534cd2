"""The numbers of a run, a line for each whole step that was timed: as Markdown, JSON and CSV.

They are in seconds, bytes and shares, not rounded, and named as in the record.
"""

import csv
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gradperf.comparison.rows import Row
from gradperf.text.escaping import csv_cell, markdown
from gradperf.text.printable import NONE, clean

Value = str | float | int | None

COLUMNS: Mapping[str, Callable[[Row], Value]] = {
    "step_s": lambda row: row.benchmark.step_s,
    "spread": lambda row: row.benchmark.spread,
    "rank": lambda row: row.rank,
    "ratio": lambda row: row.comparison.ratio,
    "steps": lambda row: row.facts.steps,
    "call_s": lambda row: row.facts.call_s,
    "first_call_s": lambda row: row.facts.first_call_s,
    "break_even_steps": lambda row: row.comparison.break_even_steps,
    "peak_fraction": lambda row: row.facts.peak_fraction,
    "gradient_error": lambda row: row.facts.gradient_error,
    "trajectory_error": lambda row: row.facts.trajectory_error,
    "memory_peak_bytes": lambda row: row.facts.memory_peak_bytes,
    "device_memory_peak_bytes": lambda row: row.facts.device_memory_peak_bytes,
    "cpu_per_wall": lambda row: row.facts.cpu_per_wall,
}
"""By name: returns the value of a row; None if it is not known."""

_NAMES: Mapping[str, Callable[[Row], str | None]] = {
    "problem": lambda row: row.facts.problem,
    "style": lambda row: row.benchmark.label,
    "device": lambda row: row.facts.device,
    "dtype": lambda row: row.facts.dtype,
}


def ordered(rows: Sequence[Row], column: str) -> list[Row]:
    """Return the rows by the values of a column, the smallest first, and those without a value last."""
    value = COLUMNS[column]

    def key(row: Row) -> tuple[int, float]:
        found = value(row)
        if found is None:
            return 2, 0.0
        return (1, math.inf) if isinstance(found, str) else (0, found)  # "never" is later than any step

    return sorted(rows, key=key)


def records(tables: Sequence[Sequence[Row]], columns: Sequence[str]) -> list[dict[str, Value]]:
    """Return a line for each row: its names, and the values of the columns."""
    return [
        {
            **{name: clean(value(row) or NONE) for name, value in _NAMES.items()},
            **{name: COLUMNS[name](row) for name in columns},
        }
        for rows in tables
        for row in rows
    ]


def as_markdown(tables: Sequence[Sequence[Row]], columns: Sequence[str]) -> str:
    """Return a table."""
    heads = [*_NAMES, *columns]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for line in records(tables, columns):
        lines.append(f"| {' | '.join(map(_cell, line.values()))} |")
    return "\n".join(lines) + "\n"


def _cell(value: Value) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else markdown(str(value))


def as_json(tables: Sequence[Sequence[Row]], columns: Sequence[str]) -> str:
    """Return a list of objects."""
    return json.dumps(records(tables, columns), indent=2) + "\n"


def as_csv(tables: Sequence[Sequence[Row]], columns: Sequence[str]) -> str:
    """Return a line of names, and a line for each row."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([*_NAMES, *columns])
    for line in records(tables, columns):
        writer.writerow(_in_csv(value) for value in line.values())
    return text.getvalue()


def _in_csv(value: Value) -> Any:
    return csv_cell(value) if isinstance(value, str) else value


FORMATS: Mapping[str, Callable[[Sequence[Sequence[Row]], Sequence[str]], str]] = {
    "markdown": as_markdown,
    "json": as_json,
    "csv": as_csv,
}
"""By name: writes the rows of several tables, with these columns beside their names."""
