"""Formats the tables at the end of a run, and of a recorded run: each style compared with its baseline.

A fact that is not known is shown as a dash. Names come from files and may hold anything: they are made printable
here. pytest-benchmark's own tables show the halves of steps too.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from gradperf.comparison import values
from gradperf.comparison.baseline import BaselineOf, HarnessCost, harness_cost
from gradperf.comparison.changes import Changes
from gradperf.comparison.rows import Row, tables
from gradperf.records.facts import Benchmark, Facts
from gradperf.text import quantities, table
from gradperf.text.printable import NONE, clean
from gradperf.text.quantities import duration, magnitude, memory, number, percent, percent_number
from gradperf.text.table import Column, Terminal

WIDE = 110
"""Terminals of this width show more columns."""

WAITED = 0.9
"""CPU seconds per second below which a case on the CPU had to wait for one."""

HARNESS_SHARE = 0.01
"""Above this share of the shortest case, the time of the harness is too large."""


@dataclass(frozen=True)
class _Row(Row):
    unit: quantities.Unit
    """Of the table's times per step."""

    def in_unit(self, seconds: float) -> str:
        return number(seconds / self.unit.size)


def _shown(text: Callable[[float], str], value: float | None) -> str | None:
    return None if value is None else text(value)


def _ratio(row: _Row) -> str | None:
    if row.comparison.base is row.benchmark:
        return "base" if row.comparison.baseline is not None else "1"
    return None if row.comparison.ratio is None else number(row.comparison.ratio, most=6)


def _rank(row: _Row) -> str | None:
    return "noisy" if row.benchmark.is_disturbed else _shown(str, row.rank)


def _change(row: _Row) -> str | None:
    if row.change is None:
        return "new"
    text, seen = row.change.shown, row.change.verdict in ("faster", "slower")
    return f"{text} {row.change.verdict.upper()}" if seen else text


def _visible(row: _Row) -> str | None:
    return _shown(percent_number, row.change.visible if row.change else None)


def _steps(row: _Row) -> str | None:
    lengths = [quantities.count(one, most=6) for one in (row.facts.steps, row.facts.short_steps) if one is not None]
    return "/".join(lengths) or None


def _break_even(row: _Row) -> str | None:
    steps, doubt = row.comparison.break_even_steps, "~" if row.comparison.near else ""
    if steps is None:
        return None
    return doubt + (steps if steps == "never" else quantities.count(steps, most=7 - len(doubt)))


def _share(share: float) -> str:
    return percent_number(share, decimals=2)


def _cores(cores: float) -> str:
    return f"{cores:.2f}" if cores < 99.995 else f"{cores:.0f}" if cores < 9999.5 else ">9999"


_VISIBLE = "slowdown in % likely to be seen"
_FIRST = "preparing and first call, fresh process, no imports"
_ERROR = "of the first gradients"
_PATH = "error of all results"
_MEMORY = "growth of the process"
_PEAK = "share of this machine's best speed"
_COLUMNS: Mapping[str, Column[_Row]] = {
    "step_s": Column(
        "{unit}/step", lambda row: _shown(row.in_unit, row.benchmark.step_s), width=7, term="time per step"
    ),
    "spread": Column("±%", lambda row: _shown(percent_number, row.benchmark.spread), width=4),
    "rank": Column("rank", _rank, width=5),
    "ratio": Column("× base", _ratio, width=6),
    "change": Column("now / then", _change, left=True),
    "visible": Column("visible", _visible, _VISIBLE, 7, rank=9),
    "steps": Column("steps", _steps, "of a long/a short call", rank=4),
    "call_s": Column("call", lambda row: _shown(duration, row.facts.call_s), "what a call pays once", 7, rank=4),
    "first_call_s": Column("first", lambda row: _shown(duration, row.facts.first_call_s), _FIRST, 7, rank=8),
    "break_even_steps": Column("even at", _break_even, width=7, rank=7),
    "peak_fraction": Column("peak%", lambda row: _shown(_share, row.facts.peak_fraction), _PEAK, 5, rank=6),
    "gradient_error": Column("error", lambda row: _shown(magnitude, row.facts.gradient_error), _ERROR, 6, rank=3),
    "trajectory_error": Column("path", lambda row: _shown(magnitude, row.facts.trajectory_error), _PATH, 6, rank=3),
    "memory_peak_bytes": Column(
        "memory", lambda row: _shown(memory, row.facts.memory_peak_bytes), _MEMORY, 7, rank=5
    ),
    "device_memory_peak_bytes": Column(
        "device", lambda row: _shown(memory, row.facts.device_memory_peak_bytes), "peak on it", 7, rank=5
    ),
    "cpu_per_wall": Column(
        "cores", lambda row: _shown(_cores, row.facts.cpu_per_wall), "CPU seconds per second", 5, rank=2
    ),
}
"""By name: those of :data:`gradperf.comparison.values.COLUMNS`, and what changed since another run."""

_ONLY_WIDE = ("steps", "call_s", "gradient_error", "trajectory_error", "cpu_per_wall")
_ONLY_COMPARED = ("change", "visible")
_NAMES: table.Names[_Row] = table.Names(lambda row: clean(row.benchmark.label))


def lines(
    benchmarks: Sequence[Benchmark],
    *,
    baseline_of: BaselineOf,
    terminal: Terminal,
    changes: Changes | None = None,
    columns: Sequence[str] = (),
    sort: str = "step_s",
    words: Sequence[str] = (),
) -> list[str]:
    """Return the tables, their legend, and the time of the harness; no line if nothing was timed.

    ``changes`` since another run add two columns. ``columns`` are those to show, by name, instead of those that
    fit. ``sort`` is the column that orders the rows of a table. Only cases whose ids hold all ``words`` are shown.
    """
    shown: list[str] = []
    if found := tables(benchmarks, baseline_of, changes, partial(has_words, words)):
        in_rows = [_in_unit(one, sort) for one in found]
        all_rows = [row for rows in in_rows for row in rows]
        layout = table.layout(
            terminal,
            _NAMES,
            _columns(all_rows, terminal, chosen=columns, compared=changes is not None),
            all_rows,
            ["style"],
            gaps=(1, 2),
        )
        for rows in in_rows:
            shown += terminal.wrap(clean(_title(rows)))
            shown += [*layout.table("style", rows, unit=rows[0].unit.name), ""]
        shown += layout.legend()
    told = notes([one for one in benchmarks if has_words(words, one)], terminal)
    return shown + (told if shown else told[1:])


def has_words(words: Sequence[str], benchmark: Benchmark) -> bool:
    """Return whether the id of a case holds all words."""
    return all(word in benchmark.case for word in words)


def notes(benchmarks: Sequence[Benchmark], terminal: Terminal) -> list[str]:
    """Return what must be known beside the times, each after an empty line."""
    cost = harness_cost(benchmarks)
    told = [_first_call_dates(benchmarks), _restless(benchmarks), _waited(benchmarks)]
    told.append(clean(_harness_line(cost)) if cost else None)
    return [line for text in told if text for line in ("", *terminal.wrap(text))]


def _in_unit(found: Sequence[Row], sort: str) -> list[_Row]:
    """Return the rows of a table with its unit, ordered by a column."""
    steps_s = [row.benchmark.step_s for row in found if row.benchmark.step_s]
    # The unit of the style in the middle: a style much slower than the others must not choose it.
    unit = quantities.unit_for(steps_s[len(steps_s) // 2] if steps_s else 0.0, quantities.TIMES)
    arranged = found if sort == "step_s" else values.ordered(found, sort)
    return [_Row(row.benchmark, row.comparison, row.rank, row.change, unit) for row in arranged]


def _columns(
    rows: Sequence[_Row], terminal: Terminal, *, chosen: Sequence[str], compared: bool
) -> list[Column[_Row]]:
    """Return the chosen columns; or else those for these rows and this width, of which some may not fit.

    One that would hold dashes alone is left out, if a table can do without it and nobody chose it.
    """
    legends = _legends(rows)
    columns = {
        name: replace(column, legend=legends.get(column.head, column.legend)) for name, column in _COLUMNS.items()
    }
    if chosen:
        return [replace(columns[name], rank=0) for name in chosen]
    hidden = set() if terminal.width >= WIDE else {*_ONLY_WIDE}
    if not compared:
        hidden |= {*_ONLY_COMPARED}
    hidden |= {name for name, one in columns.items() if one.rank and all(one.cell(row) is None for row in rows)}
    return [column for name, column in columns.items() if name not in hidden]


def explained() -> dict[str, str]:
    """Return what each column holds, by its head."""
    legends = _texts(without_moments=False, with_baseline={True, False}, noisy=True, unknown=True, near=True)
    texts = {column.head: legends.get(column.head, column.legend) or column.term for column in _COLUMNS.values()}
    return {head.replace("{unit}", "time"): text for head, text in texts.items()}


def _legends(rows: Sequence[_Row]) -> dict[str, str]:
    """Return the legends that depend on what the rows hold, by the heads of their columns."""
    return _texts(
        without_moments=all(row.facts.step_s is None for row in rows),  # as before schema 2
        with_baseline={row.comparison.baseline is not None for row in rows},
        noisy=any(row.benchmark.is_disturbed for row in rows),
        unknown=any(row.change is not None and row.change.verdict == "unknown" for row in rows),
        near=any(row.comparison.near for row in rows),
    )


def _texts(
    *, without_moments: bool, with_baseline: set[bool], noisy: bool, unknown: bool, near: bool
) -> dict[str, str]:
    times = {True: "the baseline's time", False: "the fastest's time"}
    return {
        "{unit}/step": "median call / its steps"
        if without_moments
        else "fastest of several moments, less the cost of a call",
        "±%": "half the interquartile range" if without_moments else "half its interval",
        "rank": f"1 + the styles faster for sure{' (noisy: too disturbed)' if noisy else ''}",
        "× base": f"multiple of {' or '.join(times[known] for known in sorted(with_baseline, reverse=True))}",
        "now / then": f"ratio, interval (no word: nothing seen{'; ±?: error unknown' if unknown else ''})",
        "even at": f"steps from which it beats the baseline, all costs counted{' (~: unsure)' if near else ''}",
    }


def _title(rows: Sequence[_Row]) -> str:
    facts, comparison = rows[0].facts, rows[0].comparison
    title = f"{facts.problem or NONE}, {facts.device or NONE}, {facts.dtype or NONE}"
    if any(row.facts.threads for row in rows):
        title += f", {_counts((row.facts.threads for row in rows), 'thread')}"
    if comparison.label is None:
        return f"{title}; no baseline, so the fastest is 1"
    if comparison.baseline is None:
        return f"{title}; the baseline, {comparison.label}, was not timed, so the fastest is 1"
    if (device := comparison.baseline.facts.device) != facts.device:
        return f"{title}; base: {comparison.label} on {device}"
    return title


def _counts(numbers: Iterable[int | None], noun: str) -> str:
    """Return all counts that occur: one, unless the file mixes records of different runs."""
    counts = sorted({whole for whole in numbers if whole is not None})
    text = " or ".join(map(quantities.count, counts)) or NONE
    return f"{text} {noun}{'' if counts == [1] else 's'}"


def _first_call_dates(benchmarks: Sequence[Benchmark]) -> str | None:
    """Return a sentence with the days, in UTC, on which first calls were measured: some may be remembered."""
    shown = [one.facts for one in benchmarks if one.is_compared and one.facts.first_call_s]
    days = sorted({facts.first_call_at[:10] for facts in shown if facts.first_call_at})
    if not days:
        return None
    when = f"on {days[0]}" if len(days) == 1 else f"from {days[0]} to {days[-1]}"
    return f"first calls and memory were measured {when}"


RESTLESS = 0.05
"""From this unrest on, the tables say that the machine was restless."""


def _restless(benchmarks: Sequence[Benchmark]) -> str | None:
    """Return a sentence if the speed of the machine changed much during the run."""
    unrest = max((one.facts.unrest or 0.0 for one in benchmarks), default=0.0)
    if unrest < RESTLESS:
        return None
    return (
        f"the speed of this machine changed during the run: by the reference computation it was slower by "
        f"{percent(math.expm1(min(unrest, 10.0)))} on average than at its best, and all times are less sure for it"
    )


def _waited(benchmarks: Sequence[Benchmark]) -> str | None:
    """Return a sentence if cases waited for a CPU: their times include the waiting."""
    on_cpu = [one.facts for one in benchmarks if one.is_compared and one.facts.device == "cpu"]
    known = [facts for facts in on_cpu if facts.cpu_per_wall is not None]
    waiting = sum(map(has_waited, known))
    if not waiting:
        return None
    several = max(facts.threads or 1 for facts in known) > 1
    return (
        f"{waiting} of {len(known)} cases waited for a CPU for more than a tenth of their time, "
        f"because other work was running{_NOT_HAD if several else ''}; see gradperf doctor"
    )


_NOT_HAD = ": they did not have the threads that were asked for, and a style may take much longer than with one"


def has_waited(facts: Facts) -> bool:
    """Return whether a case waited for more than a tenth of its time, on average over its threads."""
    threads = facts.threads or 1
    if threads > 1 and facts.wait_per_wall is not None:
        return facts.wait_per_wall > (1 - WAITED) * threads
    return facts.cpu_per_wall is not None and facts.cpu_per_wall < WAITED


def _harness_line(cost: HarnessCost) -> str:
    empty = f"an empty style takes {duration(cost.call_s)} per call"
    if cost.shortest is None or cost.share is None:
        return f"harness: {empty}"
    warning = "WARNING: " if cost.share > HARNESS_SHARE else ""
    return f"harness: {warning}{empty}, {_share(cost.share)} % of the shortest case here ({cost.shortest.case})"
