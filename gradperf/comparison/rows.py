"""Arranges what a run timed as tables: one for each problem, device and dtype, the fastest style first."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gradperf.comparison.baseline import BaselineOf, Comparison, compare
from gradperf.comparison.changes import Change, Changes
from gradperf.comparison.ranks import ranks
from gradperf.records.facts import Benchmark, Facts


@dataclass(frozen=True)
class Row:
    """One style of a table."""

    benchmark: Benchmark
    comparison: Comparison
    rank: int | None
    change: Change | None
    """Since the run compared with."""

    @property
    def facts(self) -> Facts:
        """What was recorded of it."""
        return self.benchmark.facts


def _every(benchmark: Benchmark) -> bool:
    return True


def tables(
    benchmarks: Sequence[Benchmark],
    baseline_of: BaselineOf,
    changes: Changes | None = None,
    keep: Callable[[Benchmark], bool] = _every,
) -> list[list[Row]]:
    """Return the rows of each table, the untimed last. ``changes`` are those since another run.

    Those that ``keep`` does not want are left out; the others are compared and ranked with them.
    """
    found: dict[tuple[str | None, ...], list[tuple[Benchmark, Comparison]]] = {}
    for one, comparison in zip(benchmarks, compare(benchmarks, baseline_of), strict=True):
        if one.is_compared:
            found.setdefault(one.table, []).append((one, comparison))
    since = changes.cases if changes else {}
    all_rows = (_rows(pairs, since) for pairs in found.values())
    kept = ([row for row in rows if keep(row.benchmark)] for rows in all_rows)
    return [rows for rows in kept if rows]


def _rows(pairs: Sequence[tuple[Benchmark, Comparison]], since: Mapping[str, Change]) -> list[Row]:
    ordered = sorted(pairs, key=lambda pair: pair[0].step_s or math.inf)
    places = ranks([one for one, _ in ordered])
    return [
        Row(one, comparison, rank, since.get(one.case))
        for (one, comparison), rank in zip(ordered, places, strict=True)
    ]
