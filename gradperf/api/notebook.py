"""Shows results in a notebook as a table and a picture, and as text elsewhere."""

import html
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from gradperf.errors import UserError
from gradperf.text.printable import NONE, clean


class Table(ABC):
    """A result that has a title and rows."""

    @property
    @abstractmethod
    def title(self) -> str:
        """One line on what the rows are."""

    @abstractmethod
    def records(self) -> list[dict[str, Any]]:
        """Return the rows, each by the names of the columns; None where a value is not known."""

    def __str__(self) -> str:
        """Return the title, and the rows in columns."""
        cells = [{name: _text(value) for name, value in record.items()} for record in self.records()]
        heads = [*cells[0]] if cells else []
        widths = {head: max(len(head), *(len(row[head]) for row in cells)) for head in heads}
        lines = [dict(zip(heads, heads, strict=True)), *cells] if heads else []
        rows = ["  ".join(f"{row[head]:{widths[head]}}" for head in heads).rstrip() for row in lines]
        return "\n".join([clean(self.title), *rows])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Return the rows as a table, for a notebook; below it a picture of ratios that have intervals."""
        records = self.records()
        head = "".join(f"<th>{html.escape(name)}</th>" for name in (records[0] if records else ()))
        rows = ("".join(f"<td>{html.escape(_text(value))}</td>" for value in record.values()) for record in records)
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        caption = html.escape(clean(self.title))
        table = f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        return table + _picture(records)

    def to_pandas(self) -> Any:
        """Return the rows as a ``pandas.DataFrame``; raises UserError without pandas."""
        try:
            pandas = import_module("pandas")
        except ModuleNotFoundError:
            raise UserError("pandas is not installed: pip install pandas") from None
        return pandas.DataFrame(self.records())


_WIDTH, _LEFT, _RIGHT, _ROW = 640, 220, 560, 24
_MOST = 60
"""So many rows have a picture."""


def _picture(records: Sequence[Mapping[str, Any]]) -> str:
    """Return two ratios or more with their intervals as SVG, on a logarithmic axis; else nothing."""
    shown = [(_text(next(iter(one.values()))), *bounds) for one in records if (bounds := _bounds(one))]
    if not 2 <= len(shown) <= _MOST:
        return ""
    ends = [math.log(end) for _, _, low, high in shown for end in (low, high)]
    scale = (_RIGHT - _LEFT) / max(max(ends) - min(ends), 0.01)

    def x(ratio: float) -> float:
        return round(_LEFT + scale * (math.log(ratio) - min(ends)), 1)

    rows = []
    for place, (name, ratio, low, high) in enumerate(shown):
        y = _ROW * place + _ROW / 2
        rows.append(
            f'<text x="{_LEFT - 12}" y="{y + 4}" text-anchor="end">{html.escape(name)}</text>'
            f'<line x1="{x(low)}" x2="{x(high)}" y1="{y}" y2="{y}" stroke="currentColor" stroke-width="2"/>'
            f'<circle cx="{x(ratio)}" cy="{y}" r="4.5" fill="currentColor"/>'
            f'<text x="{_WIDTH}" y="{y + 4}" text-anchor="end">{ratio:.3g} ×</text>'
        )
    height = _ROW * len(shown)
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" font-size="12" '
        f'fill="currentColor" role="img" aria-label="Ratios with their intervals">{"".join(rows)}</svg>'
    )


def _bounds(record: Mapping[str, Any]) -> tuple[float, float, float] | None:
    """Return a ratio and its interval, which is a point for what the others are compared with; None without."""
    ratio = record.get("ratio")
    if "low" not in record or not isinstance(ratio, int | float):
        return None
    low, high = record["low"] or ratio, record["high"] or ratio
    return (float(ratio), float(low), float(high)) if 0 < low <= ratio <= high < math.inf else None


def _text(value: Any) -> str:
    if value is None:
        return NONE
    return f"{value:.4g}" if isinstance(value, float) else clean(str(value))
