"""Notes what this process does that may lead to other code than that of its side, without importing it.

It watches the first process of a side alone, by an audit hook of Python.
"""

from __future__ import annotations

import os
import sys
from typing import Any

_MOST = 1000
"""Files and commands that are kept."""

_IGNORING = ("I", "E")
"""Options of Python that make it ignore PYTHONPATH."""


class Watch:
    """Notes which files of ``foreign``, the checkout, are opened, and which commands lack the side's path."""

    def __init__(self, own: str, foreign: str) -> None:
        """Begin, for the side with the top folder ``own``."""
        self._own, self._foreign = own, foreign.rstrip(os.sep) + os.sep
        self._prefixes = (sys.prefix + os.sep, own + os.sep)
        self.opened: set[str] = set()
        """Paths from the top folder of the checkout."""
        self.apart: set[str] = set()
        """Commands that do not search the side's folders for modules."""
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: Any) -> None:
        if event == "open":
            path = arguments[0]
            if isinstance(path, str) and path.startswith(self._foreign) and not path.startswith(self._prefixes):
                _add(self.opened, path[len(self._foreign) :])
        elif event == "subprocess.Popen":
            _, command, _, environment = arguments
            words = _words(command)
            if words and (_lacks(environment, self._own) or _ignores(words)):
                _add(self.apart, " ".join(words)[:1000])


def _add(noted: set[str], text: str) -> None:
    if len(noted) < _MOST:
        noted.add(text)


def _words(command: Any) -> list[str]:
    """Return the words of a command, which may be of any type that ``subprocess`` takes."""
    try:
        return [os.fsdecode(word) for word in ([command] if isinstance(command, (str, bytes)) else command)]
    except (TypeError, ValueError):
        return []


def _lacks(environment: Any, own: str) -> bool:
    """Return whether a process gets an environment in which the side's folders are not searched."""
    try:
        return environment is not None and own not in str(environment.get("PYTHONPATH", ""))
    except Exception:  # no mapping from texts
        return False


def _ignores(words: list[str]) -> bool:
    """Return whether a command is Python with an option to ignore the variables of the environment."""
    if not os.path.basename(words[0]).startswith(("python", "pypy")):
        return False
    options = []
    for word in words[1:]:
        if not word.startswith("-") or word in ("-m", "-c", "-"):
            break
        options.append(word)
    return any(letter in word for word in options if not word.startswith("--") for letter in _IGNORING)
