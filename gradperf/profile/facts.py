"""A profile: how the time of a step is divided, whatever framework and profiler it is of."""

from collections.abc import Sequence
from dataclasses import dataclass

from gradperf.frameworks.profiling import Kind, Line, ViewerFile


@dataclass(frozen=True)
class Row:
    """An operator, or a line. No time is in two rows."""

    name: str
    """The operator, or the text of the line."""
    step_s: float
    """Seconds of a step that are its own."""
    calls: float
    """Calls per step. Work that a call of the case does once counts with its part."""
    line: Line | None = None
    """Where it is; None for an operator."""


@dataclass(frozen=True)
class Profile:
    """Where the time of a step went, while a profiler looked on."""

    tool: str
    kind: Kind
    steps: int
    """Steps in all profiled calls."""
    steps_per_call: int
    plain_s: float
    """Seconds of a step without the profiler, at the same moments."""
    profiled_s: float
    """Seconds of a step with the profiler; all rows are parts of it."""
    rows: Sequence[Row]
    """Operators with the most expensive first; lines in the order of their sources."""
    runtime_s: float
    """Seconds of a step in the framework, and in no operator."""
    notes: Sequence[str] = ()
    files: Sequence[ViewerFile] = ()

    @property
    def overhead(self) -> float:
        """Return how many times as long a step took with the profiler."""
        return self.profiled_s / self.plain_s

    @property
    def unseen_s(self) -> float:
        """Return the seconds of a step that are in no row, and not in the framework either."""
        return max(0.0, self.profiled_s - self.runtime_s - sum(row.step_s for row in self.rows))

    def share(self, seconds: float) -> float:
        """Return which part of a step these seconds are."""
        return seconds / self.profiled_s
