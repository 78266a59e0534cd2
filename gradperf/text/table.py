"""Formats tables for a terminal: columns that fit, names that are cut, and prose wrapped to the same width.

No line is wider than the terminal if that has at least 80 columns. All tables of one layout are aligned.
"""

import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from textwrap import wrap
from typing import Generic, Self, TypeVar

from gradperf.text.printable import NONE, SIGNS, cut_ends, encodes, plain

NARROWEST = 80
NO_BREAK = "\N{NO-BREAK SPACE}"

Row = TypeVar("Row")


@dataclass(frozen=True)
class Terminal:
    """What lines are written for."""

    width: int
    """Columns; fewer than 80 are taken for 80."""
    ascii_only: bool = False

    @classmethod
    def of_output(cls) -> Self:
        """Return the terminal of standard output; an output that is none has 80 columns."""
        width = shutil.get_terminal_size((NARROWEST, 24)).columns
        return cls(width, not encodes(sys.stdout.encoding, SIGNS))

    @property
    def line_width(self) -> int:
        """Most characters of a line."""
        return max(self.width, NARROWEST)

    def plain(self, text: str) -> str:
        """Return ``text`` in the characters that the terminal can show."""
        return plain(text, self.ascii_only)

    def wrap(self, text: str, indent: str = "  ", start: str = "") -> list[str]:
        """Return ``text`` in lines that fit: ``start`` before the first, ``indent`` before the others.

        A number is never parted from its ``%``.
        """
        joined = self.plain(text).replace(" %", f"{NO_BREAK}%")
        lines = wrap(
            joined, self.line_width, initial_indent=start, subsequent_indent=indent, break_on_hyphens=False
        )
        return [line.replace(NO_BREAK, " ") for line in lines]


@dataclass(frozen=True)
class Column(Generic[Row]):
    """One column beside the names."""

    head: str
    """May hold ``{words}`` that differ from table to table."""
    cell: Callable[[Row], str | None]
    """Returns the text for a row; None is shown as a dash."""
    legend: str = ""
    """What the column means; empty if its head says enough."""
    width: int | None = None
    """Characters of the head and of the widest cell, in ASCII too; None fits the column to its cells."""
    left: bool = False
    """Whether cells are aligned on the left."""
    rank: int = 0
    """0: always shown. Of the others, those with the lowest rank are left out first when names need room."""
    brief: Callable[[Row], str | None] | None = None
    """Shorter cells, used before any column is left out."""
    term: str = ""
    """What the legend calls the column, if not by its head."""


@dataclass(frozen=True)
class Names(Generic[Row]):
    """The column of names, the only one whose cells may be cut."""

    name: Callable[[Row], str]
    last: bool = False
    """Whether names stand after the other columns."""
    readable: int | None = None
    """Columns are left out until names have this many characters; None: until they are whole."""
    cut: Callable[[Sequence[str], int, str], list[str]] = cut_ends
    """Cuts names to a width, with an ellipsis."""


@dataclass(frozen=True)
class Layout(Generic[Row]):
    """Columns that were chosen and sized for a terminal."""

    terminal: Terminal
    names: Names[Row]
    columns: tuple[Column[Row], ...]
    widths: tuple[int, ...]
    longest: int
    """Characters of the longest name or name head."""
    gap: int
    """Spaces between columns."""

    @property
    def room(self) -> int:
        """Characters that are left for a name."""
        return self.terminal.line_width - sum(self.gap + width for width in self.widths)

    def table(self, head: str, rows: Sequence[Row], **words: str) -> list[str]:
        """Return a line of heads, ``head`` above the names, and a line for each row."""
        names = [self.terminal.plain(self.names.name(row)) for row in rows]
        names = self.names.cut(names, self.room, self.terminal.plain("…"))
        lines = [self._line(head, (column.head.format(**words) for column in self.columns))]
        for name, row in zip(names, rows, strict=True):
            lines.append(self._line(name, (column.cell(row) for column in self.columns)))
        return lines

    def _line(self, name: str, cells: Iterable[str | None]) -> str:
        space, padded = " " * self.gap, []
        for column, width, cell in zip(self.columns, self.widths, cells, strict=True):
            text = self.terminal.plain(NONE if cell is None else cell)
            padded.append(text.ljust(width) if column.left else text.rjust(width))
        if self.names.last:
            return space.join([*padded, name])
        return space.join([name.ljust(min(self.longest, self.room)), *padded])

    def legend(self, **words: str) -> list[str]:
        """Return what the columns mean, wrapped."""
        meanings = [f"{column.term or column.head}: {column.legend}" for column in self.columns if column.legend]
        return self.terminal.wrap("; ".join(meanings).format(**words), indent="")


def layout(
    terminal: Terminal,
    names: Names[Row],
    columns: Sequence[Column[Row]],
    rows: Sequence[Row],
    heads: Sequence[str],
    gaps: tuple[int, int] = (2, 2),
) -> Layout[Row]:
    """Choose the columns for ``rows`` under any of ``heads``, the heads above the names.

    ``gaps`` are the least and the most spaces between columns; the most are used if all names stay whole.
    """
    longest = max(map(len, [*heads, *(terminal.plain(names.name(row)) for row in rows)]))
    needed = longest if names.readable is None else min(longest, names.readable)
    least, most = gaps
    for choice in _choices(columns):
        widths = tuple(_width(column, rows, terminal) for column in choice)
        chosen = Layout(terminal, names, tuple(choice), widths, longest, least)
        if chosen.room >= needed:
            break
    wide = replace(chosen, gap=most)
    return wide if wide.room >= longest else chosen


def _choices(columns: Sequence[Column[Row]]) -> Iterable[list[Column[Row]]]:
    """Yield the columns to try: all, then all in brief, then without those that are left out first."""
    yield list(columns)
    brief = [replace(column, cell=column.brief or column.cell) for column in columns]
    yield brief
    for rank in sorted(column.rank for column in columns if column.rank):
        yield [column for column in brief if not 0 < column.rank <= rank]


def _width(column: Column[Row], rows: Sequence[Row], terminal: Terminal) -> int:
    if column.width is not None:
        return column.width
    cells = (column.cell(row) for row in rows)
    return max(map(len, [column.head, *(terminal.plain(NONE if cell is None else cell) for cell in cells)]))
