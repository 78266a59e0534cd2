"""The tables at the end of a run: the time of each style beside the baseline of its problem.

A live run and a recorded one are shown by the same code. A fact that is not known is shown as a dash. A table holds
whole steps; pytest-benchmark's own tables show their halves, "forward" and "backward".
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from gradperf.suite.baseline import BaselineOf, Comparison, HarnessCost, compare, harness_cost
from gradperf.suite.record import Benchmark
from gradperf.text import quantities, table
from gradperf.text.printable import NONE
from gradperf.text.table import Column, Terminal

WIDE = 110
"""Terminals of this width show more columns."""

WAITED = 0.9
"""CPU seconds per second below which a case on the CPU had to wait for one."""


@dataclass(frozen=True)
class _Row:
    benchmark: Benchmark
    comparison: Comparison
    unit: quantities.Unit
    """Of the table's times per step."""


def _step(row: _Row) -> str | None:
    step_s = row.benchmark.step_s
    return None if step_s is None else quantities.number(step_s / row.unit.size)


def _spread(row: _Row) -> str | None:
    spread = row.benchmark.spread
    return None if spread is None else quantities.percent_number(spread)


def _quartiles(row: _Row) -> str | None:
    quartiles_s, steps = row.benchmark.quartiles_s, row.benchmark.facts.steps
    if quartiles_s is None or steps is None:
        return None
    return "–".join(quantities.number(call_s / steps / row.unit.size) for call_s in quartiles_s)


def _ratio(row: _Row) -> str | None:
    if row.comparison.is_baseline:
        return "base"
    ratio = row.comparison.ratio_to_baseline
    return None if ratio is None else quantities.number(ratio)


def _break_even(row: _Row) -> str | None:
    steps, doubt = row.comparison.break_even_steps, "~" if row.comparison.near else ""
    if steps is None:
        return None
    return doubt + (steps if steps == "never" else quantities.count(steps, most=7 - len(doubt)))


def _cores(cores: float) -> str:
    return f"{cores:.2f}" if cores < 99.995 else f"{cores:.0f}" if cores < 9999.5 else ">9999"


def _fact(name: str, text: Callable[[float], str]) -> Callable[[_Row], str | None]:
    """Return the cell of a number that is recorded."""

    def cell(row: _Row) -> str | None:
        value: float | None = getattr(row.benchmark.facts, name)
        return None if value is None else text(value)

    return cell


_QUARTILES = Column("middle half", _quartiles, "the quartiles, in the same unit", 15, rank=1)
_PATH = Column(
    "path", _fact("trajectory_error", quantities.magnitude), "error of all that the call returned", 6, rank=3
)
_DEVICE_MEMORY = Column("device", _fact("device_memory_peak_bytes", quantities.memory), "peak on it", 7, rank=4)
_CORES = Column("cores", _fact("cpu_per_wall", _cores), "CPU seconds per second", 5, rank=2)
_COLUMNS: tuple[Column[_Row], ...] = (
    Column("{unit}/step", _step, "median call, divided by its steps", 7, term="time per step"),
    Column("±%", _spread, "half the interquartile range (other processes differ by more)", 4),
    _QUARTILES,
    Column("× base", _ratio, "multiple of the baseline's time", 7),
    Column(
        "first",
        _fact("first_call_s", quantities.duration),
        "preparing and first call, fresh process, cold caches, no imports",
        7,
    ),
    Column(
        "even at",
        _break_even,
        "steps from which it stays ahead of the baseline, one-off costs counted (~: times within their spreads)",
        7,
    ),
    Column(
        "peak%",
        _fact("peak_fraction", lambda share: quantities.percent_number(share, 2)),
        "share of this machine's best speed",
        5,
    ),
    Column("error", _fact("gradient_error", quantities.magnitude), "of the first gradients", 6),
    _PATH,
    Column("memory", _fact("memory_peak_bytes", quantities.memory), "growth of the process", 7),
    _DEVICE_MEMORY,
    _CORES,
)
_NAMES: table.Names[_Row] = table.Names(lambda row: row.benchmark.label)


def lines(benchmarks: Sequence[Benchmark], *, baseline_of: BaselineOf, terminal: Terminal) -> list[str]:
    """Return the tables, their legend, and the time of the harness; no line if nothing was timed."""
    tables: dict[tuple[str | None, ...], list[tuple[Benchmark, Comparison]]] = {}
    for one, comparison in zip(benchmarks, compare(benchmarks, baseline_of), strict=True):
        if one.is_compared:
            key = (one.facts.problem, one.facts.device, one.facts.dtype)
            tables.setdefault(key, []).append((one, comparison))
    shown: list[str] = []
    if tables:
        in_rows = [_rows(pairs) for pairs in tables.values()]
        all_rows = [row for rows in in_rows for row in rows]
        layout = table.layout(terminal, _NAMES, _columns(all_rows, terminal), all_rows, ["style"], gaps=(1, 2))
        for rows in in_rows:
            shown += terminal.wrap(_title(rows))
            shown += [*layout.table("style", rows, unit=rows[0].unit.name), ""]
        shown += layout.legend()
    if waited := _waited([one for one in benchmarks if one.is_compared]):
        shown += ["", *terminal.wrap(waited)]
    if cost := harness_cost(benchmarks):
        shown += [*([""] if shown else []), *terminal.wrap(_harness_line(cost))]
    return shown


def _rows(pairs: Sequence[tuple[Benchmark, Comparison]]) -> list[_Row]:
    """Return the rows of a table, the fastest first, the untimed last."""
    ordered = sorted(pairs, key=lambda pair: pair[0].step_s or math.inf)
    steps_s = [one.step_s for one, _ in ordered if one.step_s]
    # The unit of the style in the middle: a style much slower than the others must not choose it.
    unit = quantities.unit_for(steps_s[len(steps_s) // 2] if steps_s else 0.0, quantities.TIMES)
    return [_Row(one, comparison, unit) for one, comparison in ordered]


def _columns(rows: Sequence[_Row], terminal: Terminal) -> list[Column[_Row]]:
    """Return the columns that make sense here, whether or not they fit."""
    hidden = [] if terminal.width >= WIDE else [_QUARTILES, _PATH, _CORES]
    if all(row.benchmark.facts.device_memory_peak_bytes is None for row in rows):
        hidden.append(_DEVICE_MEMORY)
    return [column for column in _COLUMNS if column not in hidden]


def _title(rows: Sequence[_Row]) -> str:
    facts, comparison = rows[0].benchmark.facts, rows[0].comparison
    steps = _counts((row.benchmark.facts.steps for row in rows), "step")
    title = f"{facts.problem or NONE}, {facts.device or NONE}, {facts.dtype or NONE}: {steps} per call"
    if any(row.benchmark.facts.threads for row in rows):
        title += f", {_counts((row.benchmark.facts.threads for row in rows), 'thread')}"
    if comparison.baseline is None:
        return f"{title}; no baseline"
    if not comparison.baseline_timed:
        return f"{title}; the baseline, {comparison.baseline}, was not timed"
    if comparison.baseline_device != facts.device:
        return f"{title}; base: {comparison.baseline} on {comparison.baseline_device}"
    return title


def _counts(numbers: Iterable[int | None], noun: str) -> str:
    """Return all counts that occur: one, unless the file mixes records of different runs."""
    counts = sorted({number for number in numbers if number is not None})
    text = " or ".join(quantities.count(number) for number in counts) or NONE
    return f"{text} {noun}{'' if counts == [1] else 's'}"


def _waited(benchmarks: Sequence[Benchmark]) -> str | None:
    """Return a sentence if cases waited for a CPU: their times include the waiting."""
    shares = [one.facts.cpu_per_wall for one in benchmarks if one.facts.device == "cpu"]
    known = [share for share in shares if share is not None]
    waiting = sum(share < WAITED for share in known)
    if not waiting:
        return None
    return (
        f"{waiting} of {len(known)} cases waited for a CPU, for more than a tenth of their time: "
        "other work was running (gradperf doctor)"
    )


def _harness_line(cost: HarnessCost) -> str:
    warning = "WARNING: " if cost.too_large else ""
    line = f"harness: {warning}an empty style takes {quantities.duration(cost.call_s)} per call"
    if cost.share is None:
        return line
    return f"{line}, {quantities.percent_number(cost.share, 2)} % of the shortest case here ({cost.shortest})"
