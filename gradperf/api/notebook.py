"""Shows results in a notebook as a table, and as text elsewhere."""

import html
from abc import ABC, abstractmethod
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
        """Return the rows as a table, for a notebook."""
        records = self.records()
        head = "".join(f"<th>{html.escape(name)}</th>" for name in (records[0] if records else ()))
        rows = ("".join(f"<td>{html.escape(_text(value))}</td>" for value in record.values()) for record in records)
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        caption = html.escape(clean(self.title))
        return f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def to_pandas(self) -> Any:
        """Return the rows as a ``pandas.DataFrame``; raises UserError without pandas."""
        try:
            pandas = import_module("pandas")
        except ModuleNotFoundError:
            raise UserError("pandas is not installed: pip install pandas") from None
        return pandas.DataFrame(self.records())


def _text(value: Any) -> str:
    if value is None:
        return NONE
    return f"{value:.4g}" if isinstance(value, float) else clean(str(value))
