"""The table at the end of a run: what each style takes, once and per step, beside the baseline of its problem.

Pure functions from benchmark records, as pytest-benchmark stores them, to lines: a live run and a recorded one are
shown by the same code. The law of this page:

- A fact that was not recorded is a dash, never a guess; no record, whatever is in it, raises an error.
- Every line fits into the width, from 80 columns up. Each column has a width that its widest value cannot exceed,
  so all tables of a run are aligned with each other; a name alone is ever cut.
- A table holds whole steps. Their halves, "forward" and "backward", stand in pytest-benchmark's own table.
- A baseline is looked for in the same problem, device and dtype; where the device has none, it is that of another
  device in this run, and the title says so.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real
from textwrap import wrap
from typing import Any

from gradperf.suite.break_even import BreakEven, Cost, break_even
from gradperf.text import quantities

Record = Mapping[str, Any]
"""One entry of ``benchmarks`` in pytest-benchmark's JSON."""

BaselineOf = Callable[[str], str | None]
"""From a problem's name to ``framework.style`` of what its styles are compared with, or None if nothing is."""

NARROWEST = 80
WIDE = 110
"""From this width on there are columns that a narrower terminal has no room for."""
HARNESS = "nothing"
"""The problem whose style is empty: its time is what the harness itself takes."""
HARNESS_SHARE = 0.01
"""Above this share of the shortest case, the harness is no longer negligible."""

NONE = "–"
_ASCII: dict[str, str | int | None] = {"–": "-", "±": "+-", "×": "x", "µ": "u", "…": ".."}
SIGNS = "".join(_ASCII)
"""What the tables are written in beyond ASCII."""


@dataclass(frozen=True)
class Timed:
    """What one record says, checked: a fact that is missing, or cannot be true, is None."""

    problem: str
    label: str
    """``framework.style``."""
    device: str
    dtype: str
    part: str
    steps: int | None
    call_s: float | None
    """Median of a call."""
    quartiles_s: tuple[float, float] | None
    """Of a call."""
    iqr_s: float | None
    """Of a call."""
    first_call_s: float | None
    peak_fraction: float | None
    gradient_error: float | None
    trajectory_error: float | None
    memory_bytes: float | None
    device_memory_bytes: float | None
    cpu_per_wall: float | None
    threads: int | None

    @property
    def id(self) -> str:
        """As the case is called elsewhere."""
        return f"{self.problem}-{self.label}-{self.device}-{self.dtype}"

    @property
    def table(self) -> tuple[str, str, str]:
        """What the styles of one table have in common."""
        return self.problem, self.device, self.dtype

    @property
    def tabled(self) -> bool:
        """Whether it stands in a table."""
        return self.part == "all" and self.problem != HARNESS

    @property
    def step_s(self) -> float | None:
        """Median of a call, divided by its steps."""
        return self.call_s / self.steps or None if self.call_s and self.steps else None

    @property
    def spread(self) -> float | None:
        """Half the interquartile range as a fraction of the median."""
        return self.iqr_s / 2 / self.call_s if self.call_s and self.iqr_s is not None else None

    @property
    def cost(self) -> Cost | None:
        """For the break-even."""
        if self.call_s and self.steps and self.first_call_s:
            return Cost(self.call_s, self.steps, self.first_call_s)
        return None


def timed(record: Record) -> Timed:
    """Read a record."""
    info, stats = _mapping(record.get("extra_info")), _mapping(record.get("stats"))
    framework, style = _name(info.get("framework")), _name(info.get("style"))
    if framework == style == NONE:  # somebody else's benchmark, or one from before these were recorded
        label = _name(str(record.get("fullname") or NONE).rpartition("::")[2])
    else:
        label = f"{framework}.{style}"
    q1_s, q3_s = _positive(stats.get("q1")), _positive(stats.get("q3"))
    return Timed(
        problem=_name(info.get("problem")),
        label=label,
        device=_name(info.get("device")),
        dtype=_name(info.get("dtype")),
        part=_name(info.get("part") or "all"),
        steps=_count(info.get("steps")),
        call_s=_positive(stats.get("median")),
        quartiles_s=(q1_s, q3_s) if q1_s and q3_s else None,
        iqr_s=_size(stats.get("iqr")),
        first_call_s=_positive(info.get("first_call_s")),
        peak_fraction=_size(info.get("peak_fraction")),
        gradient_error=_size(info.get("gradient_error")),
        trajectory_error=_size(info.get("trajectory_error")),
        memory_bytes=_size(info.get("memory_peak_bytes")),
        device_memory_bytes=_size(info.get("device_memory_peak_bytes")),
        cpu_per_wall=_size(info.get("cpu_per_wall")),
        threads=_count(info.get("threads")),
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _name(value: Any) -> str:
    """Give a name of printable ASCII: a file may hold anything, and a terminal obeys what it is sent."""
    if value is None or value in ("", NONE):
        return NONE
    return "".join(character if " " <= character <= "~" else "?" for character in str(value))


def _size(value: Any) -> float | None:
    """Give a finite number from 0 up."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _positive(value: Any) -> float | None:
    return _size(value) or None


def _count(value: Any) -> int | None:
    """Give a whole number from 1 up that a float can hold."""
    return int(value) if isinstance(value, Integral) and _positive(value) else None


@dataclass(frozen=True)
class Against:
    """A record beside its baseline."""

    baseline: str | None = None
    """``framework.style``; None where the problem has no baseline, or the record is no whole step."""
    baseline_device: str | None = None
    """Where the baseline was timed; None where it was not."""
    is_baseline: bool = False
    ratio_to_baseline: float | None = None
    """Time per step as a multiple of the baseline's."""
    break_even_steps: BreakEven | None = None
    """See :mod:`gradperf.suite.break_even`; None for the baseline itself and where a one-off cost was not
    recorded."""
    near: bool = False
    """The two times per step are nearer than their spreads: another run may well turn the break-even around."""


def against_baselines(records: Sequence[Record], baseline_of: BaselineOf) -> list[Against]:
    """Set each record beside the baseline of its problem; one answer for each record, in their order."""
    return _against([timed(record) for record in records], baseline_of)


def _against(rows: Sequence[Timed], baseline_of: BaselineOf) -> list[Against]:
    tabled = [row for row in rows if row.tabled]
    baselines = {problem: baseline_of(problem) for problem in dict.fromkeys(row.problem for row in tabled)}
    by_case: dict[tuple[str, str], list[Timed]] = {}
    for row in tabled:
        if row.label == baselines[row.problem]:
            by_case.setdefault((row.problem, row.dtype), []).append(row)
    found = []
    for row in rows:
        if not row.tabled:
            found.append(Against())
            continue
        candidates = by_case.get((row.problem, row.dtype), [])
        same_device = [candidate for candidate in candidates if candidate.device == row.device]
        found.append(_beside(row, next(iter(same_device or candidates), None), baselines[row.problem]))
    return found


def _beside(row: Timed, baseline: Timed | None, label: str | None) -> Against:
    if baseline is None:
        return Against(label)
    ours_s, theirs_s = row.step_s, baseline.step_s
    ratio = ours_s / theirs_s if ours_s and theirs_s else None
    if row is baseline:
        return Against(label, baseline.device, True, ratio)
    earned = break_even(row.cost, baseline.cost) if row.cost and baseline.cost else None
    near = False
    if ours_s and theirs_s:
        near = abs(ours_s - theirs_s) <= ours_s * (row.spread or 0) + theirs_s * (baseline.spread or 0)
    return Against(label, baseline.device, False, ratio, earned, near)


@dataclass(frozen=True)
class HarnessCost:
    """What a call of an empty style takes: no time is known better than that."""

    call_s: float
    shortest: str | None
    """Id of the case in a table whose call is over first; None where there is none."""
    shortest_call_s: float | None

    @property
    def share(self) -> float | None:
        """Of the shortest call."""
        return self.call_s / self.shortest_call_s if self.shortest_call_s else None

    @property
    def too_large(self) -> bool:
        """Whether short times are partly the harness's own."""
        return self.share is not None and self.share > HARNESS_SHARE


def harness_cost(records: Sequence[Record]) -> HarnessCost | None:
    """Compare the empty style, the slowest of several, with the shortest call; None where it was not timed."""
    return _harness_cost([timed(record) for record in records])


def _harness_cost(rows: Sequence[Timed]) -> HarnessCost | None:
    empty_s = [row.call_s for row in rows if row.problem == HARNESS and row.call_s]
    if not empty_s:
        return None
    calls = [(row.call_s, row.id) for row in rows if row.tabled and row.call_s]
    if not calls:
        return HarnessCost(max(empty_s), None, None)
    call_s, id_ = min(calls, key=lambda call: call[0])
    return HarnessCost(max(empty_s), id_, call_s)


@dataclass(frozen=True)
class _Row:
    """A line of a table."""

    timed: Timed
    against: Against
    unit: quantities.Unit
    """Of the table's times per step."""


@dataclass(frozen=True)
class _Column:
    head: str
    """``{unit}`` is the unit of the table's times."""
    width: int
    """What the head and the widest value take, in ASCII too."""
    cell: Callable[[_Row], str | None]
    legend: str
    """What it is, after its head."""
    rank: int = 0
    """0: always shown; else the order in which columns get the room that is left."""
    meaning_of: str = ""
    """How the legend calls it, where that is not its head."""


def _step(row: _Row) -> str | None:
    return None if row.timed.step_s is None else quantities.number(row.timed.step_s / row.unit.size)


def _spread(row: _Row) -> str | None:
    return None if row.timed.spread is None else quantities.percent(row.timed.spread)


def _quartiles(row: _Row) -> str | None:
    if row.timed.quartiles_s is None or row.timed.steps is None:
        return None
    return "–".join(quantities.number(call_s / row.timed.steps / row.unit.size) for call_s in row.timed.quartiles_s)


def _ratio(row: _Row) -> str | None:
    if row.against.is_baseline:
        return "base"
    ratio = row.against.ratio_to_baseline
    return None if ratio is None else quantities.number(ratio)


def _even(row: _Row) -> str | None:
    steps, doubt = row.against.break_even_steps, "~" if row.against.near else ""
    if steps is None:
        return None
    return doubt + (steps if steps == "never" else quantities.count(steps, most=7 - len(doubt)))


def _cores(row: _Row) -> str | None:
    cores = row.timed.cpu_per_wall
    if cores is None:
        return None
    return f"{cores:.2f}" if cores < 99.995 else f"{cores:.0f}" if cores < 9999.5 else ">9999"


def _of(fact: str, told: Callable[[float], str]) -> Callable[[_Row], str | None]:
    """Give the cell of a number that a record states."""

    def cell(row: _Row) -> str | None:
        value: float | None = getattr(row.timed, fact)
        return None if value is None else told(value)

    return cell


_DEVICE_MEMORY = _Column("device", 7, _of("device_memory_bytes", quantities.memory), "peak on it", rank=1)
_COLUMNS = (
    _Column("{unit}/step", 7, _step, "median call, divided by its steps", meaning_of="time per step"),
    _Column("±%", 4, _spread, "half the interquartile range (other processes differ by more)"),
    _Column("middle half", 15, _quartiles, "the quartiles, in the same unit", rank=4),
    _Column("× base", 7, _ratio, "multiple of the baseline's time"),
    _Column(
        "first",
        7,
        _of("first_call_s", quantities.duration),
        "preparing and first call, fresh process, cold caches, no imports",
    ),
    _Column(
        "even at",
        7,
        _even,
        "steps from which it stays ahead of the baseline, one-off costs counted (~: times within their spreads)",
    ),
    _Column(
        "peak%",
        5,
        _of("peak_fraction", lambda fraction: quantities.percent(fraction, 2)),
        "share of this machine's best speed",
    ),
    _Column("error", 6, _of("gradient_error", quantities.magnitude), "of the first gradients"),
    _Column(
        "path", 6, _of("trajectory_error", quantities.magnitude), "error of all that the call returned", rank=2
    ),
    _Column("memory", 7, _of("memory_bytes", quantities.memory), "growth of the process"),
    _DEVICE_MEMORY,
    _Column("cores", 5, _cores, "CPU seconds per second", rank=3),
)


@dataclass(frozen=True)
class _Layout:
    """What all tables of a run have in common, so that they are aligned with each other."""

    width: int
    ascii_only: bool
    columns: tuple[_Column, ...] = ()
    name_width: int = 0
    gap: int = 1
    """Spaces between columns."""

    def plain(self, text: str) -> str:
        """Give ``text`` in the characters that may be shown."""
        return text.translate(str.maketrans(_ASCII)) if self.ascii_only else text

    def wrapped(self, text: str, indent: str = "  ") -> list[str]:
        """Give ``text`` in as many lines as it takes."""
        return wrap(self.plain(text), self.width, subsequent_indent=indent, break_on_hyphens=False)

    def line(self, name: str, cells: Iterable[str | None]) -> str:
        """Give a line of a table."""
        name, cut = self.plain(name), self.plain("…")
        if len(name) > self.name_width:
            name = name[: self.name_width - len(cut)] + cut
        padded = (
            f"{self.plain(NONE if cell is None else cell):>{self.gap + column.width}}"
            for cell, column in zip(cells, self.columns, strict=True)
        )
        return f"{name:{self.name_width}}" + "".join(padded)


def lines(
    records: Sequence[Record], *, baseline_of: BaselineOf, width: int = NARROWEST, ascii_only: bool = False
) -> list[str]:
    """Give the tables, their legend and the harness's own cost; nothing where nothing was timed.

    Lines keep to ``width`` from 80 columns up; less is taken for 80. With ``ascii_only`` they hold no other
    character.
    """
    rows = [timed(record) for record in records]
    tables: dict[tuple[str, str, str], list[tuple[Timed, Against]]] = {}
    for row, against in zip(rows, _against(rows, baseline_of), strict=True):
        if row.tabled:
            tables.setdefault(row.table, []).append((row, against))
    layout = _Layout(max(width, NARROWEST), ascii_only)
    told: list[str] = []
    if tables:
        layout = _fitted(layout, [row for row in rows if row.tabled])
        for table in tables.values():
            told += [*_table(table, layout), ""]
        meanings = (f"{column.meaning_of or column.head}: {column.legend}" for column in layout.columns)
        told += layout.wrapped("; ".join(meanings), indent="")
    if waited := _waited(rows):
        told += ["", *layout.wrapped(waited)]
    if cost := _harness_cost(rows):
        told += [*([""] if told else []), *layout.wrapped(_harness_line(cost))]
    return told


WAITED = 0.9
"""CPU seconds per second below which a case on the CPU did not have one to itself."""


def _waited(rows: Sequence[Timed]) -> str | None:
    """Tell how many cases waited for a CPU: their times hold that waiting."""
    cases = [row for row in rows if row.tabled and row.device == "cpu" and row.cpu_per_wall is not None]
    waiting = [row for row in cases if row.cpu_per_wall is not None and row.cpu_per_wall < WAITED]
    if not waiting:
        return None
    return (
        f"{len(waiting)} of {len(cases)} cases waited for a CPU, for more than a tenth of their time: "
        "other work was running (gradperf doctor)"
    )


def _fitted(layout: _Layout, rows: Sequence[Timed]) -> _Layout:
    """Choose the columns; a name is cut where those that are always shown leave it no room.

    The device's memory is shown where there is any and it fits, the other facts beside them on a wide terminal.
    """
    chosen = [column for column in _COLUMNS if not column.rank]
    longest = max(len(name) for name in ("style", *(layout.plain(row.label) for row in rows)))
    room = layout.width - longest - _taken(chosen)
    for column in sorted((column for column in _COLUMNS if column.rank), key=lambda column: column.rank):
        if column is _DEVICE_MEMORY:
            wanted = any(row.device_memory_bytes is not None for row in rows)
        else:
            wanted = layout.width >= WIDE
        if wanted and (taken := _taken([column])) <= room:
            chosen.append(column)
            room -= taken
    return replace(
        layout,
        columns=tuple(column for column in _COLUMNS if column in chosen),
        name_width=longest + min(room, 0),
        gap=2 if room >= len(chosen) else 1,  # two are easier on the eye
    )


def _taken(columns: Iterable[_Column]) -> int:
    """Give the characters of cells in a line, each with the space before it."""
    return sum(1 + column.width for column in columns)


def _table(table: Sequence[tuple[Timed, Against]], layout: _Layout) -> list[str]:
    """Give the title, the heads and the styles of one table, the fastest first, the untimed last."""
    ordered = sorted(table, key=lambda pair: pair[0].step_s or math.inf)
    steps_s = [row.step_s for row, _ in ordered if row.step_s]
    # The unit of the style in the middle: one that is far off the others does not decide for them.
    unit = quantities.unit_for(steps_s[len(steps_s) // 2] if steps_s else 0.0, quantities.TIMES)
    told = layout.wrapped(_title(ordered))
    told.append(layout.line("style", (column.head.format(unit=unit.name) for column in layout.columns)))
    for row, against in ordered:
        told.append(layout.line(row.label, (column.cell(_Row(row, against, unit)) for column in layout.columns)))
    return told


def _title(table: Sequence[tuple[Timed, Against]]) -> str:
    rows, against = [row for row, _ in table], table[0][1]
    problem, device, dtype = rows[0].table
    title = f"{problem}, {device}, {dtype}: {_counts((row.steps for row in rows), 'step')} per call"
    if any(row.threads for row in rows):
        title += f", {_counts((row.threads for row in rows), 'thread')}"
    if against.baseline is None:
        return f"{title}; no baseline"
    if against.baseline_device is None:
        return f"{title}; the baseline, {against.baseline}, was not timed"
    if against.baseline_device != device:
        return f"{title}; base: {against.baseline} on {against.baseline_device}"
    return title


def _counts(numbers: Iterable[int | None], noun: str) -> str:
    """Tell all counts that occur: one, unless records of different runs were thrown together."""
    counts = sorted({number for number in numbers if number is not None})
    told = " or ".join(quantities.count(number) for number in counts) or NONE
    return f"{told} {noun}{'' if counts == [1] else 's'}"


def _harness_line(cost: HarnessCost) -> str:
    warning = "WARNING: " if cost.too_large else ""
    told = f"harness: {warning}an empty style takes {quantities.duration(cost.call_s)} per call"
    if cost.share is None:
        return told
    return f"{told}, {quantities.percent(cost.share, 2)} % of the shortest case here ({cost.shortest})"
