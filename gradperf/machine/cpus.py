"""Reads facts about the CPUs: their number, model, quota and governor."""

import os
import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from gradperf.machine.files import ROOT, read


@dataclass(frozen=True)
class Cpus:
    """The CPUs, and how many of them this process may use."""

    model: str | None
    logical: int | None
    affinity: int | None
    """Number of CPUs in this process's affinity mask."""
    quota: float | None
    """CPU seconds per second that its control groups allow; None without a limit."""
    governor: str | None

    @property
    def effective(self) -> float | None:
        """CPUs that this process may keep busy, by all known limits."""
        return min((n for n in (self.logical, self.affinity, self.quota) if n is not None), default=None)


def detect_cpus(root: Path = ROOT) -> Cpus:
    """Return the facts about the CPUs."""
    return Cpus(cpu_model(root), os.cpu_count(), _affinity(), cpu_quota(root), governor(root))


def cpu_model(root: Path = ROOT) -> str | None:
    """Return the name of the CPU. Linux knows none on Arm: then the numbers of its maker and design."""
    text = read(root / "proc/cpuinfo")
    if name := re.search(r"^model name\s*:\s*(.+)", text, re.MULTILINE):
        return name.group(1)
    arm = [re.search(rf"^CPU {field}\s*:\s*(\S+)", text, re.MULTILINE) for field in ("implementer", "part")]
    if all(arm):
        return "Arm implementer {} part {}".format(*(number.group(1) for number in arm if number))
    return platform.processor() or None


def _affinity() -> int | None:
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # macOS does not have it
        return None


def cpu_quota(root: Path = ROOT) -> float | None:
    """Return :attr:`Cpus.quota`: the lowest limit of this process's control group and of the groups above it."""
    limits = (limit(folder) for folder in _cpu_groups(root) for limit in (_quota_v2, _quota_v1))
    return min((limit for limit in limits if limit is not None), default=None)


def _cpu_groups(root: Path) -> Iterator[Path]:
    """Yield the folders of the control groups that may limit this process's CPU time, from the top down."""
    own: dict[str, str] = {}
    for line in read(root / "proc/self/cgroup").splitlines():
        _, _, named = line.partition(":")
        controllers, _, path = named.partition(":")
        own |= dict.fromkeys(controllers.split(","), path)  # version 2 names no controllers: the key is ""
    for line in read(root / "proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        mount, kind = before.split(), after.split()
        if len(mount) < 5 or len(kind) < 3:
            continue
        version_1 = kind[0] == "cgroup" and "cpu" in kind[2].split(",")
        group = own.get("cpu") if version_1 else own.get("") if kind[0] == "cgroup2" else None
        if group is None:
            continue
        folder = root / mount[4].lstrip("/")
        yield folder
        # A container may see its own group mounted at the top, and its path from outside: then no folder follows.
        below = PurePosixPath(group)
        if below.is_relative_to(mount[3]) and ".." not in below.parts:
            for part in below.relative_to(mount[3]).parts:
                folder /= part
                yield folder


def _quota_v2(folder: Path) -> float | None:
    limit = re.match(r"(\d+) (\d+)", read(folder / "cpu.max"))  # "max 100000" is no limit
    return _ratio(*limit.groups()) if limit else None


def _quota_v1(folder: Path) -> float | None:
    texts = [read(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")]  # -1 is no limit
    return _ratio(*texts) if all(map(str.isdecimal, texts)) else None


def _ratio(quota_us: str, period_us: str) -> float | None:
    return int(quota_us) / int(period_us) if int(period_us) else None


def governor(root: Path = ROOT) -> str | None:
    """Return the names of the frequency governors in use, such as ``performance``."""
    files = (root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor")
    return ", ".join(sorted({name for file in files if (name := read(file).strip())})) or None
