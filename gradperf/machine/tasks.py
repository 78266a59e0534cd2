"""Reads facts about the threads of this process; those that only Linux lists are None on other systems."""

import os
import resource
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import FrameType

from gradperf.machine.files import ROOT, read


def waiting_s(root: Path = ROOT) -> float | None:
    """Return the seconds that threads of this process were ready but had no CPU, added over all threads.

    Threads that have ended are missing, so it may go back.
    """
    # CPU nanoseconds, nanoseconds ready without a CPU, number of times on a CPU
    times = [read(task / "schedstat").split() for task in _tasks(root)]
    waited_ns = [int(words[1]) for words in times if len(words) == 3 and words[1].isdecimal()]
    return sum(waited_ns) / 1e9 if waited_ns else None


def waited(before_s: float | None, passed_s: float, root: Path = ROOT) -> float | None:
    """Return the seconds of waiting per second since :func:`waiting_s` was ``before_s``, ``passed_s`` ago."""
    now_s = waiting_s(root)
    return None if before_s is None or now_s is None else max(0.0, now_s - before_s) / passed_s


def pauses() -> int:
    """Return how often threads of this process gave up their CPU, to wait for something."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw


def of_python() -> frozenset[threading.Thread | int]:
    """Return the threads of Python; those that the module ``threading`` does not know, by their number.

    Numbers are used again as soon as a thread has ended.
    """
    known = threading.enumerate()
    # The underscore stands for special purposes; the function is documented.
    return frozenset(known) | (sys._current_frames().keys() - {thread.ident for thread in known})


def work_of(thread: threading.Thread | int) -> str | None:
    """Return the package whose function a thread of Python is executing; None for a thread of a pool without work.

    That is the function it was started with. One that is not written in Python counts to "threading".
    """
    number = thread if isinstance(thread, int) else thread.ident
    frame, package = sys._current_frames().get(number or 0), "threading"
    if frame is None or (frame.f_code.co_name == "_worker" and _package(frame) == "concurrent"):
        return None
    while frame is not None:
        package = _package(frame) if _package(frame) not in ("threading", "concurrent") else package
        frame = frame.f_back
    return package


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def named(start: str, root: Path = ROOT) -> int:
    """Return the number of threads of this process whose names start with ``start``. Linux keeps 15 characters."""
    return sum(read(task / "comm").startswith(start[:15]) for task in _tasks(root))


def _tasks(root: Path) -> Iterator[Path]:
    with suppress(OSError):
        for name in os.listdir(root / "proc/self/task"):
            yield root / "proc/self/task" / name
