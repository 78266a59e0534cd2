"""Reads facts about the threads of this process, as Linux lists them; None on other systems."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

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


def named(start: str, root: Path = ROOT) -> int:
    """Return the number of threads of this process whose names start with ``start``. Linux keeps 15 characters."""
    return sum(read(task / "comm").startswith(start[:15]) for task in _tasks(root))


def _tasks(root: Path) -> Iterator[Path]:
    with suppress(OSError):
        for name in os.listdir(root / "proc/self/task"):
            yield root / "proc/self/task" / name
