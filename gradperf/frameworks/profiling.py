"""What a framework's ``profiling.py`` must offer: how one looks into a step of its styles.

It is beside ``runtime.py``, and is imported only for a framework that was asked for, too. It records calls with the
profiler that the framework's own users take. What it recorded is either *spans*, from which
``gradperf/profile/attribution.py`` computes the time of each operator, or lines with their times.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal, Protocol, cast

from gradperf.frameworks.contract import Run, Style

Kind = Literal["operator", "line"]
"""What a row of a profile is."""


class NoProfile(Exception):
    """A case whose operators or lines cannot be seen here; the message is the reason, on one line."""


@dataclass(frozen=True)
class Span:
    """A part of the time of one thread, or of one stream of a GPU."""

    operator: str | None
    """The operator that ran. None for work of the framework that is no operator, such as dispatch."""
    thread: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Line:
    """A line of a source file. What it calls has lines of its own, unless that is elsewhere."""

    file: str
    """Its path below the package, or whole if it is elsewhere."""
    number: int
    function: str
    first: int
    """The line in which the function begins."""
    text: str


@dataclass(frozen=True)
class LineTime:
    """How long a line took in all, without the lines that it calls, and how often it ran."""

    line: Line
    total_s: float
    calls: int


@dataclass(frozen=True)
class Recording:
    """What the profiler saw in some calls."""

    wall_s: float
    """From the start of the calls to their end, by the clock on the wall."""
    spans: Sequence[Span] = ()
    lines: Sequence[LineTime] = ()


CHROME_FILE, CHROME = "{case}.trace.json.gz", "https://ui.perfetto.dev and chrome://tracing open it"
TENSORBOARD_FILE = "plugins/profile/{case}/host.xplane.pb"  # it looks for files in such folders
TENSORBOARD = "`tensorboard --logdir {folder}` opens it, with xprof installed"


@dataclass(frozen=True)
class ViewerFile:
    """A file that a viewer opens."""

    path: str
    """Where it is below the folder of all files; ``{case}`` stands for the case's id."""
    data: bytes
    opened_by: str
    """What opens it; ``{folder}`` stands for the folder of all files."""


@dataclass(frozen=True)
class Session:
    """A profiler that is ready for one style."""

    record: Callable[[Callable[[], Any]], Recording]
    """Calls a function once with the profiler, and returns what that saw."""
    files: Callable[[], Sequence[ViewerFile]]
    """Returns the files of what was recorded: of the last recording, or of all where they are small."""


@dataclass(frozen=True)
class Words:
    """How a profile is to be read."""

    runtime: str = ""
    """What the framework's own time is, outside of all operators; empty if there is none."""
    unseen: str = "Python, and what the profiler does not see"
    """What the rest of the time is, which is in no row."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """What else a reader must know, by the :data:`Execution` of the style that it is about."""


class Profiler(Protocol):
    """What profiles the styles of a framework: the module ``gradperf.frameworks.<framework>.profiling``."""

    TOOL: str
    """The name of the profiler."""
    KIND: Kind
    WORDS: Words

    def missing(self) -> str | None:
        """Return why the profiler cannot be used here, on one line, or None. Imports no framework."""

    def session(self, run: Run, style: Style, device: str) -> AbstractContextManager[Session]:
        """Return a context with a session for ``run``, which the style prepared; ``run`` was called before.

        Raises :class:`NoProfile`. All that it changes in the process is as before when it ends.
        """


def profiler(framework: str) -> Profiler:
    """Import the profiler of a framework that is loaded."""
    return cast("Profiler", import_module(f"{__package__}.{framework}.profiling"))
