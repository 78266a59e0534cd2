"""Reads the load of this machine, and the CPU time that was used or stolen."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from gradperf.machine.files import ROOT, read
from gradperf.machine.tasks import waiting_s


@dataclass(frozen=True)
class CpuTimes:
    """Time of all CPUs together since the machine started, in the kernel's ticks."""

    wanted_ticks: int
    """All but idle time: something ran, or would have run if the time had not been stolen."""
    stolen_ticks: int
    """A virtual machine was ready to run, and its host ran something else."""


@dataclass(frozen=True)
class Moment:
    """The state of the machine at one moment."""

    at: datetime
    load: float | None
    """Tasks that ran or were ready to run, on average over the last minute."""
    cpu_times: CpuTimes | None


def moment(root: Path = ROOT) -> Moment:
    """Return the time, the load and the CPU times."""
    try:
        load = os.getloadavg()[0]
    except OSError:
        load = None
    return Moment(datetime.now(UTC), load, cpu_times(root))


def cpu_times(root: Path = ROOT) -> CpuTimes | None:
    """Return the CPU times up to now. :func:`steal` and :func:`used_s` compare two of them."""
    line = re.match(r"cpu +(\d[\d ]*)", read(root / "proc/stat"))
    ticks = [int(number) for number in line.group(1).split()] if line else []
    if len(ticks) < 8:
        return None
    user, nice, system, _idle, _iowait, irq, softirq, stolen = ticks[:8]  # user and nice include what follows
    return CpuTimes(user + nice + system + irq + softirq + stolen, stolen)


def steal(earlier: CpuTimes | None, later: CpuTimes | None) -> float | None:
    """Return the share of the wanted CPU time that the host gave to others.

    Of the wanted time, not of all: one thread that loses a tenth on 64 CPUs has lost a tenth.
    """
    if earlier is None or later is None:
        return None
    wanted, stolen = later.wanted_ticks - earlier.wanted_ticks, later.stolen_ticks - earlier.stolen_ticks
    return min(1.0, max(0, stolen) / wanted) if wanted > 0 else 0.0


def used_s(earlier: CpuTimes | None, later: CpuTimes | None) -> float | None:
    """Return the seconds of CPU time that all processes together got."""
    if earlier is None or later is None:
        return None
    wanted, stolen = later.wanted_ticks - earlier.wanted_ticks, later.stolen_ticks - earlier.stolen_ticks
    return max(0, wanted - stolen) / os.sysconf("SC_CLK_TCK")


def waited(root: Path = ROOT) -> Callable[[], float]:
    """Return a function that returns how many seconds this process has had to wait for a CPU since this call.

    That is the time in which its threads were ready to run, and the time that the host of this virtual machine gave
    to others. 0 if the system does not report them. What threads waited that have ended is missed.
    """
    before_s, before = waiting_s(root) or 0.0, cpu_times(root)

    def seconds() -> float:
        ready_s, after = (waiting_s(root) or 0.0) - before_s, cpu_times(root)
        stolen_ticks = after.stolen_ticks - before.stolen_ticks if before and after else 0
        stolen_s = stolen_ticks / os.sysconf("SC_CLK_TCK") if stolen_ticks > 0 else 0.0
        return max(0.0, ready_s) + stolen_s

    return seconds
