"""Times the calls of a case at one moment: calls of both lengths in turns, and the fastest of each.

Half of the time all threads of the process are kept on one CPU, if the case computes in one thread at a time.
Threads that hand work to each other, such as TensorFlow's, take a quarter longer on two CPUs, and in some minutes
half as long again. The other half they run where the system puts them, as the CPU that was chosen may be the busy
one.
"""

import gc
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from gradperf.pairs.child.cpu import kept_on, preemptions
from gradperf.timing.lengths import Lengths
from gradperf.timing.reference import reference_s

SECONDS = 0.03
"""A moment ends when its undisturbed calls took this long together."""

PATIENCE = 5
"""It takes at most this many times as long by the clock, however busy the machine is."""

LEAST_ROUNDS = 3

LONG_S = 0.05
"""A round that takes this long counts even if it is the first.

Other work has emptied the caches. To fill them takes a part of a millisecond, which is nothing here.
"""

Process = Literal["main", "second"]
"""The process of the run, or another one that prepared the same cases."""


@dataclass(frozen=True)
class Moment:
    """The times of a case at one moment."""

    at: str
    """ISO date and time."""
    process: Process
    long_s: float
    """Fastest call of the long length."""
    short_s: float | None
    rounds: int
    """Calls of each length, the disturbed ones too."""
    disturbed: int
    """Rounds in which the system took the CPU away. They are left out, unless all were disturbed.

    All of those on one CPU are not counted: the threads of the case took it from each other.
    """
    cpu_per_wall: float
    """CPU seconds per second."""
    reference_s: float
    """Time of the reference computation, the faster of those before and after."""


def take(call: Callable[[int], Any], lengths: Lengths, process: Process, cpu: int | None) -> Moment:
    """Time ``call(steps)``, which was called before in all lengths; half of the time on ``cpu``, if given."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    before_s = reference_s()
    with _no_collection():
        start_s, cpu_start_s = time.perf_counter(), time.process_time()
        if cpu is None:
            parts = [_rounds(call, lengths, SECONDS, LEAST_ROUNDS)]
        else:
            parts = [_rounds(call, lengths, SECONDS / 2, LEAST_ROUNDS - 1)]
            with kept_on(cpu):
                parts.append(_rounds(call, lengths, SECONDS / 2, 1))
        wall_s, cpu_s = time.perf_counter() - start_s, time.process_time() - cpu_start_s
    used = [times_s for part in parts for times_s in part.used]
    fastest_s = [min(times_s) for times_s in zip(*used, strict=True)]
    return Moment(
        at=at,
        process=process,
        long_s=fastest_s[-1],
        short_s=None if lengths.short is None else fastest_s[0],
        rounds=sum(part.rounds for part in parts),
        disturbed=len(parts[0].disturbed) + sum(len(part.disturbed) for part in parts[1:] if part.kept),
        cpu_per_wall=cpu_s / wall_s,
        reference_s=min(before_s, reference_s()),
    )


@dataclass
class _Part:
    """Rounds, each with the seconds of a call of each length."""

    kept: list[tuple[float, ...]] = field(default_factory=list)
    disturbed: list[tuple[float, ...]] = field(default_factory=list)
    kept_s: float = 0.0
    """All of the kept ones together."""
    fastest_s: float = math.inf
    """Of all rounds."""

    def time(self, call: Callable[[int], Any], lengths: Lengths) -> None:
        """Time another round."""
        taken_away = preemptions()
        times_s = tuple(_time_s(call, steps) for steps in lengths.each)
        if preemptions() == taken_away:
            self.kept.append(times_s)
            self.kept_s += sum(times_s)
        else:
            self.disturbed.append(times_s)
        self.fastest_s = min(self.fastest_s, sum(times_s))

    @property
    def rounds(self) -> int:
        """Return the number of rounds."""
        return len(self.kept) + len(self.disturbed)

    @property
    def used(self) -> list[tuple[float, ...]]:
        """Those that were not disturbed; all, if each was."""
        return self.kept or self.disturbed


def _rounds(call: Callable[[int], Any], lengths: Lengths, seconds: float, least: int) -> _Part:
    """Time calls until the undisturbed ones took ``seconds`` together, or that long seems hopeless."""
    part = _Part()
    part.time(call, lengths)
    if part.fastest_s < LONG_S:
        part = _Part()  # the caches were cold
    start_s = time.perf_counter()
    while part.rounds < least or (
        part.kept_s < seconds
        and part.rounds * part.fastest_s < 2 * seconds
        and time.perf_counter() - start_s < PATIENCE * seconds
    ):
        part.time(call, lengths)
    return part


def _time_s(call: Callable[[int], Any], steps: int) -> float:
    start_s = time.perf_counter()
    call(steps)
    return time.perf_counter() - start_s


@contextmanager
def _no_collection() -> Iterator[None]:
    """Collect no garbage in the timed calls."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
