"""Says how far a command is in one line: ``pair 3 of 16, 12 s, about 52 s left; tiny_3x2x1``."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import fmean

from gradperf.progress.display import Display


def span(seconds: float) -> str:
    """Return a time as people read it: ``48 s``, ``1:15 min``, ``2:05 h``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60}:{whole % 60:02} min" if whole < 3600 else f"{whole // 3600}:{whole // 60 % 60:02} h"


def left(seconds: float | None, words: str = "about {}") -> str:
    """Return what is left, in ``words``; empty if that is not known."""
    if seconds is None:
        return ""
    return f"{words.format(span(seconds))} left" if seconds >= 0.5 else "soon done"


def line(*parts: str, now: str = "") -> str:
    """Join the parts that are not empty, and what is done now."""
    return "; ".join(filter(None, (", ".join(filter(None, parts)), now)))


@dataclass
class Steps:
    """How far a command is that takes a known number of steps. They take about the same time."""

    display: Display
    noun: str
    of: int
    clock: Callable[[], float] = time.monotonic
    taken: int = 0
    _start_s: float = field(init=False)
    _last_s: float = field(init=False)
    """When the last step ended."""

    def __post_init__(self) -> None:
        self._start_s = self._last_s = self.clock()

    def show(self, now: str) -> None:
        """Show what is done now, in the step that was begun last."""
        elapsed_s = self.clock() - self._start_s
        count = f"{self.noun} {min(self.taken + 1, self.of)} of {self.of}"
        self.display.show(line(count, span(elapsed_s), left(self.left_s), now=now))

    def end_of_step(self) -> None:
        """Note that a step has ended."""
        self.taken += 1
        self._last_s = self.clock()

    @property
    def left_s(self) -> float | None:
        """Seconds that are left, by the steps so far; None before the first has ended."""
        if not self.taken:
            return None
        step_s = (self._last_s - self._start_s) / self.taken
        return max(0.0, step_s * (self.of - self.taken) - (self.clock() - self._last_s))


@dataclass
class Span:
    """How far a command is that takes about this many seconds."""

    display: Display
    seconds: float
    clock: Callable[[], float] = time.monotonic
    _start_s: float = field(init=False)

    def __post_init__(self) -> None:
        self._start_s = self.clock()

    def show(self, now: str) -> None:
        """Show what is done now."""
        elapsed_s = self.clock() - self._start_s
        self.display.show(line(span(elapsed_s), left(max(0.0, self.seconds - elapsed_s)), now=now))


@dataclass
class Series:
    """How far a series of long runs is.

    Nothing is drawn while one goes on: it measures. So the line has times of day, which stay true.
    """

    display: Display
    of: int
    usual_s: Sequence[float] = ()
    """Seconds of earlier runs of this kind."""
    clock: Callable[[], datetime] = datetime.now
    _started: list[datetime] = field(default_factory=list)

    def begin(self, what: str) -> None:
        """Show that a run begins, and when all will have ended."""
        now = self.clock()
        self._started.append(now)
        number = len(self._started)
        took_s = [(later - one).total_seconds() for one, later in pairwise(self._started)]
        known_s = took_s or self.usual_s
        ends = ""
        if known_s:
            end = now + timedelta(seconds=fmean(known_s) * (self.of - number + 1))
            ends = f"all end about {end:{'%H:%M' if end.date() == now.date() else '%a %H:%M'}}"
        text = line(f"run {number} of {self.of}", f"since {now:%H:%M}", ends, now=what)
        if self.display.changes:
            self.display.show(text)
        else:  # a run takes minutes: a line for each is not too much
            self.display.say(text)
