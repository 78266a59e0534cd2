"""The CPUs of this process: which it may use, how much it used, and keeping it on one of them."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from .originals import Original

THREADS = "/proc/self/task"

SERIAL_SHARE = 0.05
"""A benchmark computes in one thread if others, child processes too, use at most this share of its CPU time."""

HANDED_OVER = (0.5, 1.1)
"""CPU seconds per second, at least and at most, of threads that take turns with each other.

One CPU is enough for them. No thread computes during a hand-over, which takes a quarter of all time in TensorFlow's
pool on two CPUs. Below the lower bound the threads may compute in parallel and wait in between."""


class Usage(NamedTuple):
    """Seconds since some moment in the past."""

    passed_s: float
    thread_s: float
    """CPU time of the calling thread."""
    process_s: float
    """CPU time of all threads, and of child processes that have ended."""


def usage() -> Usage:
    """Read the clocks."""
    children = Original.getrusage(resource.RUSAGE_CHILDREN)
    process_s = Original.process_time() + children.ru_utime + children.ru_stime
    return Usage(Original.perf_counter(), Original.thread_time(), process_s)


def difference(later: Usage, earlier: Usage) -> Usage:
    """Return the seconds between two readings."""
    return Usage(*(after - before for after, before in zip(later, earlier)))


def takes_one_cpu(slices: list[Usage], *, several_threads: bool = False) -> bool:
    """Return whether one CPU was enough in these slices of time.

    The slice with the highest use decides. Other processes that take the CPU lower the use; nothing raises it. So
    beside other work, two threads that compute in parallel look like two that take turns. With ``several_threads``,
    which were asked for, only a benchmark that computes in one thread takes one CPU.
    """
    of_thread = sum(used.thread_s for used in slices)
    of_all = sum(used.process_s for used in slices)
    if of_all - of_thread <= SERIAL_SHARE * of_all:
        return True
    if several_threads:
        return False
    least, most = HANDED_OVER
    return least <= max(used.process_s / used.passed_s for used in slices) <= most


def preemptions() -> int:
    """Return the number of times that the system took the CPU away from this process."""
    return Original.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def usable_cpus() -> list[int]:
    """Return the CPUs on which this process can be kept; none if the system cannot keep a process on a CPU."""
    try:
        # A /proc of another namespace numbers threads differently.
        is_here = str(Original.getpid()) in Original.listdir(THREADS)
        return sorted(Original.sched_getaffinity(0)) if is_here else []
    except OSError:
        return []


class Affinity:
    """Keeps all threads of this process on one CPU for a while."""

    def __init__(self) -> None:
        self._before: dict[int, set[int]] = {}

    def keep(self, cpu: int) -> None:
        """Keep every thread on ``cpu``."""
        is_first = not self._before
        for thread in map(int, Original.listdir(THREADS)):
            with suppress(OSError):  # The thread has ended meanwhile.
                if is_first:
                    self._before[thread] = Original.sched_getaffinity(thread)
                Original.sched_setaffinity(thread, {cpu})

    def release(self) -> None:
        """Restore the CPUs of every thread; a thread that was started meanwhile gets those of the main thread."""
        of_main_thread = self._before.get(Original.getpid())
        if of_main_thread is None:  # Nothing was kept, or a benchmark forked this process.
            return
        for thread in map(int, Original.listdir(THREADS)):
            with suppress(OSError):
                Original.sched_setaffinity(thread, self._before.get(thread, of_main_thread))
        self._before.clear()


@contextmanager
def kept_on(cpu: int) -> Iterator[None]:
    """Keep all threads of this process on ``cpu``."""
    affinity = Affinity()
    affinity.keep(cpu)
    try:
        yield
    finally:
        affinity.release()
