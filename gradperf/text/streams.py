"""Writes to standard output and error, which may be closed, as after ``| head``.

A closed pipe must not change the exit code. At exit Python writes again what it could not write before, and ends
with exit code 120 if that fails. So what cannot be written is discarded.
"""

import os
import sys
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO


def say(text: str, *, end: str = "\n") -> None:
    """Print on standard error at once; do nothing if it is closed."""
    with suppress(OSError):
        print(text, end=end, file=sys.stderr, flush=True)


def open_closed() -> None:
    """Let what is written to a closed standard output or error go nowhere, as after ``2>&-``.

    Python has None there. `print` then writes on standard output what is for standard error.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - until the end


def escape() -> None:
    """Let standard output escape the characters that its encoding lacks, as standard error does."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def silence(stream: TextIO) -> None:
    """Discard what ``stream`` still holds, and all that is written to it from now on."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def flush() -> None:
    """Write what standard output and error still hold; discard it if that is not possible."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            silence(stream)
