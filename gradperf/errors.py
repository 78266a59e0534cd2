"""Errors of the user. For a misspelt name: what is wrong, what exists, and what was probably meant."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """A user's mistake. The message describes it, and is shown without a traceback."""


class UnknownName(UserError):
    """A name that does not exist."""


def unknown(kind: str, name: str, existing: Iterable[str]) -> UnknownName:
    """Build the error for ``name``, which is none of the ``existing`` values of ``kind``."""
    names = list(dict.fromkeys(existing))
    near = get_close_matches(name, names, n=1, cutoff=0.4)
    guess = f" Did you mean {near[0]!r}?" if near else ""
    return UnknownName(f"unknown {kind} {name!r}.{guess} There are: {', '.join(names)}.")
