"""Makes text that any terminal can show. Names and reasons come from files and processes, and may hold anything."""

from collections import Counter
from collections.abc import Sequence
from itertools import takewhile

NONE = "–"
"""Stands for a fact that is not known."""

_IN_ASCII: dict[str, str | int | None] = {"–": "-", "±": "+-", "×": "x", "µ": "u", "…": ".."}
SIGNS = "".join(_IN_ASCII)
"""The characters beyond ASCII that tables and reports use, apart from names and reasons."""


def encodes(encoding: str | None, text: str) -> bool:
    """Return whether a stream with this encoding can hold ``text``."""
    try:
        text.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def clean(text: str, longest: int | None = None) -> str:
    """Return ``text`` in one line, with ``?`` for control characters, which a terminal would obey."""
    line = clean_lines(" ".join(text.split()))
    return line if longest is None else cut_middle(line, longest)


def clean_lines(text: str) -> str:
    """Return ``text`` with its lines and indents, and with ``?`` for all other control characters."""
    return "".join(char if char.isprintable() or char == "\n" else "?" for char in text.expandtabs())


def plain(text: str, ascii_only: bool) -> str:
    """Return ``text`` in ASCII if ``ascii_only``: our own signs spelled out, other characters escaped.

    Escaped names stay distinct.
    """
    if not ascii_only:
        return text
    return text.translate(str.maketrans(_IN_ASCII)).encode("ascii", "backslashreplace").decode()


def cut_middle(text: str, width: int, ellipsis: str = "…") -> str:
    """Return ``text`` without a part of its middle; more is kept of the end, which holds a case's parameters."""
    if len(text) <= width:
        return text
    kept = max(width - len(ellipsis), 0)
    head = kept // 3
    return (text[:head] + ellipsis + text[len(text) - (kept - head) :])[:width]


def cut_ends(names: Sequence[str], width: int, ellipsis: str = "…") -> list[str]:
    """Return each name without the end that exceeds ``width``."""
    return [name if len(name) <= width else name[: width - len(ellipsis)] + ellipsis for name in names]


def cut_alike(names: Sequence[str], width: int, ellipsis: str = "…") -> list[str]:
    """Return the names cut to ``width``: first what all have in common, so that they stay distinct if possible.

    Names that still look alike are cut by what only those have in common.
    """
    shortened = _cut_common(names, width, ellipsis)
    for text, count in Counter(shortened).items():
        if 1 < count < len(names):
            places = [place for place, other in enumerate(shortened) if other == text]
            again = cut_alike([names[place] for place in places], width, ellipsis)
            for place, name in zip(places, again, strict=True):
                shortened[place] = name
    return shortened


def _cut_common(names: Sequence[str], width: int, ellipsis: str) -> list[str]:
    """Return the names cut to ``width``, first by what all of them begin and end with."""
    if len(names) < 2:
        return [cut_middle(name, width, ellipsis) for name in names]
    before = _common_start(names)
    after = _common_start([name[before:][::-1] for name in names])
    shortened = []
    for name in names:
        if (excess := len(name) - width) > 0 and before > len(ellipsis):
            name = ellipsis + name[min(excess + len(ellipsis), before) :]
        if (excess := len(name) - width) > 0 and after > len(ellipsis):
            name = name[: len(name) - min(excess + len(ellipsis), after)] + ellipsis
        shortened.append(cut_middle(name, width, ellipsis))
    return shortened


def _common_start(names: Sequence[str]) -> int:
    """Return the number of characters with which all names begin."""
    return sum(1 for _ in takewhile(lambda chars: len(set(chars)) == 1, zip(*names, strict=False)))
