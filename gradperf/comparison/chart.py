"""Draws the end of a run for a terminal of 80 columns: per problem, the styles on a logarithmic axis.

A mark is the time per step, the line through it its interval. The ratio to the baseline is in words. Styles that
the run cannot tell apart share a rank.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gradperf.comparison.baseline import BaselineOf, Comparison, compare
from gradperf.comparison.changes import Change, Changes
from gradperf.comparison.ranks import WIDTH, ranks
from gradperf.records.facts import Benchmark
from gradperf.text.printable import NONE, clean, cut_ends
from gradperf.text.quantities import duration, number
from gradperf.text.table import Terminal

_MARK, _LINE = "o", "-"
_NAME, _RANK, _TIME = 22, 5, 8
_LEAST_AXIS = 20


@dataclass(frozen=True)
class _Row:
    benchmark: Benchmark
    comparison: Comparison
    rank: int | None
    change: Change | None

    @property
    def bounds_s(self) -> tuple[float, float] | None:
        """The interval of its time, or the time twice; None if it was not timed."""
        step_s = self.benchmark.step_s
        if not step_s:
            return None
        return self.benchmark.facts.step_interval_s or (step_s, step_s)


def lines(
    benchmarks: Sequence[Benchmark], *, baseline_of: BaselineOf, terminal: Terminal, changes: Changes | None = None
) -> list[str]:
    """Return a chart for each problem, with ``changes`` since another run; nothing if nothing was timed."""
    tables: dict[tuple[str | None, ...], list[tuple[Benchmark, Comparison]]] = {}
    for one, comparison in zip(benchmarks, compare(benchmarks, baseline_of), strict=True):
        if one.is_compared:
            tables.setdefault(one.table, []).append((one, comparison))
    since = changes.cases if changes else {}
    shown: list[str] = []
    for pairs in tables.values():
        shown += [terminal.plain(line) for line in _chart(_rows(pairs, since), terminal)] + [""]
    if shown:
        legend = (
            f"{_MARK} time per step, {_LINE * 2} its interval, on a logarithmic axis. In front the rank: styles "
            "with the same one cannot be told apart; noisy: too disturbed to be ranked."
        )
        shown += terminal.wrap(legend)
    return shown


def _rows(pairs: Sequence[tuple[Benchmark, Comparison]], since: Mapping[str, Change]) -> list[_Row]:
    """Return the rows of a chart, the fastest first, the untimed last."""
    ordered = sorted(pairs, key=lambda pair: pair[0].step_s or math.inf)
    places = ranks([one for one, _ in ordered])
    return [
        _Row(one, comparison, rank, since.get(one.case))
        for (one, comparison), rank in zip(ordered, places, strict=True)
    ]


def _chart(rows: Sequence[_Row], terminal: Terminal) -> list[str]:
    words = [_words(row) for row in rows]
    width = terminal.line_width - _RANK - _NAME - _TIME - max(map(len, words)) - 4
    width = max(_LEAST_AXIS, min(width, 60))
    bounds = [bound for row in rows if row.bounds_s for bound in row.bounds_s]
    low, high = (min(bounds), max(bounds)) if bounds else (1.0, 1.0)

    def place(seconds: float) -> int:
        share = (math.log(seconds) - math.log(low)) / (math.log(high) - math.log(low)) if high > low else 0.5
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


def _head(rows: Sequence[_Row], low: float, high: float, width: int, terminal: Terminal) -> list[str]:
    """Return the title, and above the axis its ends."""
    facts = rows[0].benchmark.facts
    title = clean(f"{facts.problem or NONE}, {facts.device or NONE}, {facts.dtype or NONE}")
    base = next((row.comparison for row in rows), None)
    if base is not None and base.baseline is None:
        title += f" (base: the fastest{'' if base.label is None else f', as {clean(base.label)} was not timed'})"
    ends = f"{duration(low)} {duration(high):>{max(0, width - len(duration(low)) - 1)}}"
    return [*terminal.wrap(title), f"{'':{_RANK + _NAME + 2}}{ends}"]


def _strip(row: _Row, place: Callable[[float], int], width: int) -> str:
    """Return the axis of one row, with its interval and its mark."""
    axis = [" "] * width
    if row.bounds_s and row.benchmark.step_s:
        first, last = map(place, row.bounds_s)
        axis[first : last + 1] = _LINE * (last + 1 - first)
        axis[place(row.benchmark.step_s)] = _MARK
    return "".join(axis)


def _rank(row: _Row) -> str:
    return "noisy" if row.benchmark.is_disturbed else NONE if row.rank is None else str(row.rank)


def _time(row: _Row) -> str:
    return duration(row.benchmark.step_s) if row.benchmark.step_s else NONE


def _words(row: _Row) -> str:
    """Return how it compares: with the run before, or else with the baseline."""
    if row.change is not None:
        text, seen = row.change.shown or NONE, row.change.verdict in ("faster", "slower")
        return f"{text} {row.change.verdict.upper()}" if seen else text
    base, ratio = row.comparison.base, row.comparison.ratio
    if base is row.benchmark:
        return "base"
    if base is None or ratio is None:
        return NONE
    if _cannot_be_told_apart(row.benchmark, base):
        return "as fast as base"
    return f"{number(max(ratio, 1 / ratio), most=5)} times {'slower' if ratio > 1 else 'faster'}"


def _cannot_be_told_apart(one: Benchmark, base: Benchmark) -> bool:
    """Whether two times differ by no more than their errors; False if an error is not known."""
    errors = one.facts.step_error, base.facts.step_error
    if errors[0] is None or errors[1] is None or not one.step_s or not base.step_s:
        return False
    return abs(math.log(one.step_s / base.step_s)) <= WIDTH * math.hypot(errors[0], errors[1])
