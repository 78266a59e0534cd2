"""Standard output and error that nobody may read, as after ``| head``.

The law: **who reads decides no exit code.** What Python could not write it tries to write once more when it ends,
and ends with an exit code of its own then: 120. So what cannot be written is let go.
"""

import os
import sys
from contextlib import suppress
from typing import TextIO


def say(text: str, *, end: str = "\n") -> None:
    """Print on standard error, at once, for whoever still reads it; there is no other place to complain."""
    with suppress(OSError):
        print(text, end=end, file=sys.stderr, flush=True)


def silence(stream: TextIO) -> None:
    """Let ``stream`` lead nowhere from now on, with all that it still holds."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def settle() -> None:
    """Write what is still held, or let it go."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            silence(stream)
