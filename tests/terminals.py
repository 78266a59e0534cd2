"""Runs commands on a terminal, and tells what it shows in the end."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
from dataclasses import dataclass

from gradperf.progress.display import Lines

PARTS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\r\n]|[^\x1b\r\n]+")


class Screen:
    """What a terminal shows. If its width changes, it folds long lines anew, as most terminals do."""

    def __init__(self, columns=80):
        self.columns = columns
        self.lines = [""]
        self.at = 0

    def write(self, text):
        """Obey the text; fail for a command that no line of ours needs, such as one that hides the cursor."""
        for part in PARTS.findall(text):
            line = self.lines[-1]
            if part == "\r":
                self.at -= self.at % self.columns  # to the beginning of the row, which may not be that of the line
            elif part == "\n":
                self.lines.append("")
                self.at = 0
            elif part == "\x1b[J":
                self.lines[-1] = line[: self.at]
            elif part.startswith("\x1b"):
                assert part.endswith("m"), repr(part)
            else:
                self.lines[-1] = line[: self.at].ljust(self.at) + part + line[self.at + len(part) :]
                self.at += len(part)
        return self


class Shown(Lines):
    """Keeps all that is shown, however fast it comes."""

    def __init__(self):
        self.texts = []
        super().__init__(self.texts.append)

    show = Lines.say

    @property
    def last(self):
        """What was shown last."""
        return self.texts[-1]


@dataclass(frozen=True)
class Done:
    """A command that has ended on a terminal."""

    code: int
    written: str
    """All that it wrote, without colours."""
    screen: list[str]
    """The lines that are left."""


def open_terminal(columns=80):
    """Return the descriptors of both ends of a terminal; what is read from the first was written to the second."""
    ours, theirs = pty.openpty()
    resize(theirs, columns)
    return ours, theirs


def resize(terminal, columns):
    """Make a terminal as wide as this."""
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))


def on_a_terminal(command, *, cwd, columns=80, interrupt_at=None, stdout=None, env=None, **more):
    """Run a command on a terminal, but its standard output elsewhere if ``stdout`` is given.

    It is interrupted once it has written what the pattern ``interrupt_at`` matches.
    """
    ours, theirs = open_terminal(columns)
    output = {"stdout": theirs if stdout is None else stdout, "stderr": theirs, "stdin": theirs}
    # Nothing in the environment says whether lines may change.
    unset = {"CI", "NO_COLOR", "FORCE_COLOR", "COLUMNS"}
    kept = {name: value for name, value in (os.environ if env is None else env).items() if name not in unset}
    written = b""
    with subprocess.Popen(
        command, cwd=cwd, env={**kept, "TERM": "xterm", **more}, start_new_session=True, **output
    ) as process:
        os.close(theirs)
        while True:
            try:
                written += os.read(ours, 65536)
            except OSError:  # the other end was closed
                break
            if interrupt_at and re.search(interrupt_at, written.decode(errors="replace")):
                interrupt_at = None
                os.killpg(process.pid, signal.SIGINT)
    os.close(ours)
    text = written.decode()
    screen = Screen(columns).write(text).lines
    return Done(process.returncode, re.sub(r"\x1b\[[0-9;]*m", "", text), screen)
