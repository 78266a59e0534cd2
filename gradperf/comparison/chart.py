"""Draws the end of a run for a terminal of 80 columns: per problem, the styles on a logarithmic axis.

A mark is the time per step, the line through it its interval. The ratio to the baseline is in words. Styles that
the run cannot tell apart share a rank.
"""

import math
from collections.abc import Callable, Sequence

from gradperf.comparison.baseline import BaselineOf
from gradperf.comparison.changes import Changes
from gradperf.comparison.ranks import tells_apart
from gradperf.comparison.rows import Row, tables
from gradperf.records.facts import Benchmark
from gradperf.text.printable import NONE, clean, cut_ends
from gradperf.text.quantities import duration, number
from gradperf.text.table import Terminal

_MARK, _LINE = "o", "-"
_NAME, _RANK, _TIME = 22, 5, 8
_LEAST_AXIS = 20


def lines(
    benchmarks: Sequence[Benchmark], *, baseline_of: BaselineOf, terminal: Terminal, changes: Changes | None = None
) -> list[str]:
    """Return a chart for each problem, with ``changes`` since another run; nothing if nothing was timed."""
    shown: list[str] = []
    for rows in tables(benchmarks, baseline_of, changes):
        shown += [terminal.plain(line) for line in _chart(rows, terminal)] + [""]
    if shown:
        legend = (
            f"{_MARK} time per step, {_LINE * 2} its interval, on a logarithmic axis. In front the rank: styles "
            "with the same one cannot be told apart; noisy: too disturbed to be ranked."
        )
        shown += terminal.wrap(legend)
    return shown


def _bounds_s(row: Row) -> tuple[float, float] | None:
    """Return the interval of its time, or the time twice; None if it was not timed."""
    step_s = row.benchmark.step_s
    return (row.facts.step_interval_s or (step_s, step_s)) if step_s else None


def _chart(rows: Sequence[Row], terminal: Terminal) -> list[str]:
    words = [_words(row) for row in rows]
    width = terminal.line_width - _RANK - _NAME - _TIME - max(map(len, words)) - 4
    width = max(_LEAST_AXIS, min(width, 60))
    bounds = [bound for row in rows for bound in _bounds_s(row) or ()]
    low, high = (min(bounds), max(bounds)) if bounds else (1.0, 1.0)

    def place(seconds: float) -> int:
        span = math.log(high) - math.log(low)  # 0 for times that differ by their last digit alone
        share = (math.log(seconds) - math.log(low)) / span if span > 0 else 0.5
        return round(share * (width - 1))

    labels = [terminal.plain(clean(row.benchmark.label)) for row in rows]
    names = cut_ends(labels, _NAME, terminal.plain("…"))
    return [
        *_head(rows, low, high, width, terminal),
        *(
            f"{_rank(row):>{_RANK}} {name:<{_NAME}} {_strip(row, place, width)}{_time(row):>{_TIME}}  {text}"
            for row, name, text in zip(rows, names, words, strict=True)
        ),
    ]


def _head(rows: Sequence[Row], low: float, high: float, width: int, terminal: Terminal) -> list[str]:
    """Return the title, and above the axis its ends."""
    facts = rows[0].benchmark.facts
    title = clean(f"{facts.problem or NONE}, {facts.device or NONE}, {facts.dtype or NONE}")
    base = next((row.comparison for row in rows), None)
    if base is not None and base.baseline is None:
        title += f" (base: the fastest{'' if base.label is None else f', as {clean(base.label)} was not timed'})"
    ends = f"{duration(low)} {duration(high):>{max(0, width - len(duration(low)) - 1)}}"
    return [*terminal.wrap(title), f"{'':{_RANK + _NAME + 2}}{ends}"]


def _strip(row: Row, place: Callable[[float], int], width: int) -> str:
    """Return the axis of one row, with its interval and its mark."""
    axis = [" "] * width
    if (bounds_s := _bounds_s(row)) and row.benchmark.step_s:
        first, last = map(place, bounds_s)
        axis[first : last + 1] = _LINE * (last + 1 - first)
        axis[place(row.benchmark.step_s)] = _MARK
    return "".join(axis)


def _rank(row: Row) -> str:
    return "noisy" if row.benchmark.is_disturbed else NONE if row.rank is None else str(row.rank)


def _time(row: Row) -> str:
    return duration(row.benchmark.step_s) if row.benchmark.step_s else NONE


def _words(row: Row) -> str:
    """Return how it compares: with the run before, or else with the baseline."""
    if row.change is not None:
        text, seen = row.change.shown or NONE, row.change.verdict in ("faster", "slower")
        return f"{text} {row.change.verdict.upper()}" if seen else text
    base, ratio = row.comparison.base, row.comparison.ratio
    if base is row.benchmark:
        return "base"
    if base is None or ratio is None:
        return NONE
    if tells_apart(row.benchmark, base) is False:
        return "as fast as base"
    return f"{number(max(ratio, 1 / ratio), most=5)} times {'slower' if ratio > 1 else 'faster'}"
