"""Reads the CPU time of the processes that this one started, as Linux lists them; 0 on other systems.

A style that computes in processes of its own uses more CPUs than it says. The processes that belong to the suite
are left out: they measure and wait on their own account.
"""

from collections.abc import Iterator
from pathlib import Path

from gradperf.machine.files import ROOT, read

OURS: set[int] = set()
"""Process ids of the processes that the suite started itself."""


def cpu_s(root: Path = ROOT) -> float:
    """Return the CPU seconds of all processes below this one but ours. It goes back when one has ended."""
    return sum(_cpu_ns(root, pid) for pid in _below(root, "self")) / 1e9


def _below(root: Path, pid: str) -> Iterator[str]:
    for task in root.glob(f"proc/{pid}/task/*"):
        for child in read(task / "children").split():
            if int(child) not in OURS:
                yield child
                yield from _below(root, child)


def _cpu_ns(root: Path, pid: str) -> int:
    # CPU nanoseconds, nanoseconds ready without a CPU, number of times on a CPU
    times = [read(task / "schedstat").split() for task in root.glob(f"proc/{pid}/task/*")]
    return sum(int(words[0]) for words in times if len(words) == 3 and words[0].isdecimal())
