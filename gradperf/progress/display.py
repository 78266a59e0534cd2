"""Where it is shown how far a command is: on a terminal in one line that changes, elsewhere in lines that stay.

Nothing is drawn while anything is timed: no thread draws, so a display changes only when it is called.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from io import StringIO
from typing import TYPE_CHECKING, Protocol, TextIO

from gradperf.text import streams
from gradperf.text.printable import SIGNS, clean, cut_ends, cut_middle, encodes, plain

if TYPE_CHECKING:  # it takes time to import
    from rich.console import Console
    from rich.text import Text

EVERY_S = 10.0
"""Where there is no terminal, a line is written this often."""

UNKNOWN_WIDTH = 80

LEAST_NAME = 15
"""A name at the end of the line is cut in its middle if this many columns are left for it."""

_BACK_AND_ERASE = "\r\x1b[J"
"""To the first column, and erase all from there on: if the terminal became narrower, the line has several rows."""

_STYLES = {
    r"^WARNING\b": "bold yellow",
    r"\bFAILED\b|\b\d+ failed\b": "bold red",
}
"""By pattern: how rich writes what it matches."""


class Display(Protocol):
    """Where it is shown how far a command is."""

    @property
    def changes(self) -> bool:
        """Whether what is shown takes the place of what was shown before."""

    def show(self, text: str) -> None:
        """Show how far it is. Never called while anything is timed."""

    def say(self, text: str) -> None:
        """Show a line that stays."""

    def clear(self) -> None:
        """Take away what does not stay, until something is shown again."""


class Lines:
    """For an output that is no terminal: a line from time to time, by ``write_line``."""

    changes = False

    def __init__(
        self,
        write_line: Callable[[str], object],
        prefix: str = "",
        *,
        colours: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write_line, self._prefix, self._colours, self._clock = write_line, prefix, colours, clock
        self._last_s = clock()

    def show(self, text: str) -> None:
        """Write a line, if the last one was some time ago."""
        if self._clock() - self._last_s >= EVERY_S:
            self._last_s = self._clock()
            self.say(text)

    def say(self, text: str) -> None:
        """Write a line."""
        line = f"{self._prefix}{clean(text)}"
        self._write_line(_in_colours(styled(line)) if self._colours else line)

    def clear(self) -> None:
        """Do nothing: all lines stay."""


class Live:
    """For a terminal: a line that changes, below those that stay.

    A terminal that is gone is no error. The cursor stays where the line begins, and is not hidden: so the line can
    be erased whatever its width is by then, and a process that is killed leaves no harm behind.
    """

    changes = True

    def __init__(self, output: TextIO, prefix: str = "", width: int | None = None) -> None:
        self._output, self._prefix, self._width = output, prefix, width
        self._shown: str | None = None
        self._is_gone = False
        self._ascii_only = not encodes(output.encoding, SIGNS)
        self._colours = has_colours(output)

    def show(self, text: str) -> None:
        """Change the line."""
        self._shown = text
        self._write(f"{_BACK_AND_ERASE}{self._rendered(text, self._room())}\r")

    def say(self, text: str) -> None:
        """Write a line above the one that changes."""
        below = self._shown
        self.clear()
        self._write(f"{self._rendered(f'{self._prefix}{text}')}\n")
        if below is not None:
            self.show(below)

    def clear(self) -> None:
        """Take away the line that changes."""
        if self._shown is not None:
            self._shown = None
            self._write(_BACK_AND_ERASE)

    def _room(self) -> int:
        """Return the width for the line: in the last column, a terminal may go on to the next row."""
        width = self._width
        if width is None:
            try:
                width = os.get_terminal_size(self._output.fileno()).columns
            except (OSError, ValueError):
                width = 0  # as where it is not known
        return max(1, (width or UNKNOWN_WIDTH) - 1)

    def _rendered(self, text: str, room: int | None = None) -> str:
        """Return the text with its styles, cut to ``room``."""
        line = plain(clean(text), self._ascii_only)
        ellipsis = plain("…", self._ascii_only)
        if room is not None and len(line) > room:
            start, space, name = line.rpartition(" ")
            if (left := room - len(start) - len(space)) >= LEAST_NAME:
                name = cut_middle(name, left, ellipsis)  # its end is kept, as it tells cases apart
            (line,) = cut_ends([start + space + name], room, ellipsis)
        shown = styled(line)
        if room is not None:
            shown.truncate(room, overflow="crop")  # by columns: some characters take two
        return _in_colours(shown) if self._colours else shown.plain

    def _write(self, text: str) -> None:
        if not self._is_gone:
            try:
                self._output.write(text)
                self._output.flush()
            except ValueError:  # it was closed
                self._is_gone = True
            except OSError:
                self._is_gone = True
                streams.silence(self._output)  # else it fails again when it is closed


def styled(line: str) -> "Text":
    """Return the line with its styles."""
    from rich.text import Text

    text = Text(line)
    for pattern, style in _STYLES.items():
        text.highlight_regex(pattern, style)
    return text


def _in_colours(text: "Text") -> str:
    """Return the text with the commands that a terminal obeys."""
    console = _console()
    with console.capture() as captured:
        console.print(text, end="", soft_wrap=True)
    return captured.get()


@cache
def _console() -> "Console":
    from rich.console import Console

    return Console(file=StringIO(), force_terminal=True, color_system="standard", no_color=False)


def is_terminal(stream: TextIO) -> bool:
    """Return whether lines can change on this stream."""
    try:
        is_tty = os.isatty(stream.fileno())
    except (OSError, ValueError):  # an object that is no file, or a closed one
        return False
    return is_tty and os.environ.get("TERM", "dumb") != "dumb" and not os.environ.get("CI")


def has_colours(stream: TextIO) -> bool:
    """Return whether to write colours: by NO_COLOR, else by FORCE_COLOR, else on a terminal."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or is_terminal(stream)


@contextmanager
def on_stderr(command: str) -> Iterator[Display]:
    """Yield the display of a command; take away the line that changes, however the command ends.

    It is on standard error: standard output has the results. Lines that stay begin with the name of the command.
    """
    prefix = f"gradperf {command}: "
    display: Display
    if is_terminal(sys.stderr):
        display = Live(sys.stderr, prefix)
    else:
        display = Lines(streams.say, prefix, colours=has_colours(sys.stderr))
    try:
        yield display
    finally:
        display.clear()
