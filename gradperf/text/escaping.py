"""Escapes text for Markdown and for spreadsheets. Names and reasons come from files, and may hold anything."""

import html
import re

from gradperf.text.printable import clean

_MARKUP = str.maketrans({sign: f"&#{ord(sign)};" for sign in "|`*[\\~$"} | {"@": "@<!-- -->"})
"""The comment after @ keeps GitHub from notifying a person whose name is in a traceback."""
_LOOSE_UNDERSCORE = re.compile(r"(?<![^\W_])_|_(?![^\W_])")
"""An underscore inside a word means nothing to Markdown."""
_ADDRESS = re.compile(r"(?<=:)(?=//)|(?<=www)(?=\.)", re.IGNORECASE)
"""Where GitHub recognises an address, which it would make a link; a comment there keeps it text."""

_FORMULA = "=+-@＝＋－＠"


def markdown(text: str, longest: int | None = None) -> str:
    """Return ``text`` in one line, escaped so that Markdown and HTML show it as it is, in a table's cell too."""
    line = html.escape(clean(text, longest), quote=False).translate(_MARKUP)
    return _ADDRESS.sub("<!-- -->", _LOOSE_UNDERSCORE.sub("&#95;", line))


def csv_cell(text: str) -> str:
    """Return ``text`` in one line that no spreadsheet takes for a formula. The csv module quotes what it must.

    Numbers that are ours need no escaping.
    """
    line = clean(text)
    return f"'{line}" if line.startswith(tuple(_FORMULA)) else line
