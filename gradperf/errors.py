"""Errors of the user. For a misspelt name: what is wrong, what exists, and what was probably meant."""

from collections.abc import Iterable
from difflib import get_close_matches

_SAME = {"gpu": "cuda", "tf": "tensorflow", "single": "float32", "double": "float64"}
"""Words that users have for what has another name here, and that looks unlike it."""


class UserError(Exception):
    """A user's mistake. The message describes it, and is shown without a traceback."""


class UnknownName(UserError):
    """A name that does not exist."""


def unknown(kind: str, name: str, existing: Iterable[str], listed_by: str = "") -> UnknownName:
    """Build the error for ``name``, which is none of the ``existing`` values of ``kind``.

    It lists them all, or names the three nearest ones and the command that lists the many.
    """
    names = list(dict.fromkeys(existing))
    guess = nearest(name, names, most=3 if listed_by else 1)
    there_are = f"`{listed_by}` lists all." if listed_by else f"There are: {', '.join(names)}."
    return UnknownName(f"unknown {kind} {name!r}.{guess} {there_are}")


def nearest(name: str, existing: Iterable[str], most: int = 1) -> str:
    """Return a question that names the nearest of the ``existing`` names, or no text if none is near.

    Upper case does not matter, and another word for the same thing is nearest.
    """
    by_lower = {one.lower(): one for one in existing}
    same = _SAME.get(name.lower(), "")
    lower = [same] if same in by_lower else get_close_matches(name.lower(), list(by_lower), n=most, cutoff=0.4)
    near = [by_lower[one] for one in lower]
    return f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
