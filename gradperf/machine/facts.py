"""What this machine is, and what happened on it, told as facts.

A fact that cannot be read here is None: nothing in this module raises because a file, a tool or a system call is
missing. What may differ from moment to moment (load, stolen time) is a :class:`Moment`. Importing this module
imports no numpy: the threads must be bound before.

``root`` is the folder below which /proc and /sys are looked for.
"""

import csv
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

ROOT = Path("/")


@dataclass(frozen=True)
class Cpus:
    """The CPUs, and how much of them this process may use."""

    model: str | None
    logical: int | None
    affinity: int | None
    """CPUs in the mask of this process."""
    quota: float | None
    """CPU seconds per second that its control groups allow; None where they set no limit."""
    governor: str | None

    @property
    def effective(self) -> float | None:
        """CPUs that this process may keep busy, as far as can be told without trying."""
        return min((n for n in (self.logical, self.affinity, self.quota) if n is not None), default=None)


@dataclass(frozen=True)
class Gpu:
    """What the driver says of one GPU."""

    name: str
    driver: str
    memory: str


@dataclass(frozen=True)
class CpuTimes:
    """Time of all CPUs together since the machine was started, in the kernel's ticks."""

    wanted_ticks: int
    """All but idle: something ran, or would have run had the time not been stolen."""
    stolen_ticks: int
    """A virtual machine was ready to run, and its host ran something else."""


@dataclass(frozen=True)
class Moment:
    """What was going on at one point in time."""

    at: datetime
    load: float | None
    """Tasks that ran or wanted to, on average over the last minute."""
    cpu_times: CpuTimes | None


def cpus(root: Path = ROOT) -> Cpus:
    """Tell what is known of the CPUs."""
    return Cpus(
        model=cpu_model(root),
        logical=os.cpu_count(),
        affinity=_affinity(),
        quota=cpu_quota(root),
        governor=governor(root),
    )


def cpu_model(root: Path = ROOT) -> str | None:
    """Name of the CPU; on Arm, where Linux knows none, the numbers of its maker and design."""
    text = _read(root / "proc/cpuinfo")
    if found := re.search(r"^model name\s*:\s*(.+)", text, re.MULTILINE):
        return found.group(1)
    arm = [re.search(rf"^CPU {field}\s*:\s*(\S+)", text, re.MULTILINE) for field in ("implementer", "part")]
    if all(arm):
        return "Arm implementer {} part {}".format(*(found.group(1) for found in arm if found))
    return platform.processor() or None


def _affinity() -> int | None:
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # Linux alone has it
        return None


def cpu_quota(root: Path = ROOT) -> float | None:
    """CPU seconds per second that the control groups of this process allow, or None where they set no limit.

    The tightest of its own group's and those of the groups above, which limit it as well.
    """
    limits = (limit(folder) for folder in _cpu_groups(root) for limit in (_quota_v2, _quota_v1))
    return min((found for found in limits if found is not None), default=None)


def _cpu_groups(root: Path) -> Iterator[Path]:
    """Give the folders of the control groups that may limit this process's CPU time, from the top down."""
    own: dict[str, str] = {}
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, _, named = line.partition(":")
        controllers, _, path = named.partition(":")
        own |= dict.fromkeys(controllers.split(","), path)  # version 2 names no controllers: the key is ""
    for line in _read(root / "proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        mount, kind = before.split(), after.split()
        if len(mount) < 5 or len(kind) < 3:
            continue
        version_1 = kind[0] == "cgroup" and "cpu" in kind[2].split(",")
        at = own.get("cpu") if version_1 else own.get("") if kind[0] == "cgroup2" else None
        if at is None:
            continue
        folder = root / mount[4].lstrip("/")
        yield folder
        # A container may see its own group mounted at the top, and its path from outside: no folder here then.
        below = PurePosixPath(at)
        if below.is_relative_to(mount[3]) and ".." not in below.parts:
            for part in below.relative_to(mount[3]).parts:
                folder /= part
                yield folder


def _quota_v2(folder: Path) -> float | None:
    found = re.match(r"(\d+) (\d+)", _read(folder / "cpu.max"))  # "max 100000" is no limit
    return _ratio(*found.groups()) if found else None


def _quota_v1(folder: Path) -> float | None:
    texts = [_read(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")]  # -1 is no limit
    return _ratio(*texts) if all(map(str.isdecimal, texts)) else None


def _ratio(quota_us: str, period_us: str) -> float | None:
    return int(quota_us) / int(period_us) if int(period_us) else None


def governor(root: Path = ROOT) -> str | None:
    """Name of the rule by which the clock is set, of each kind that a CPU has: ``performance``."""
    files = (root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor")
    return ", ".join(sorted({name for file in files if (name := _read(file).strip())})) or None


def memory_bytes() -> int | None:
    """Physical memory."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def cpu_times(root: Path = ROOT) -> CpuTimes | None:
    """Take a snapshot of the kernel's accounts; :func:`steal` and :func:`used_s` tell what happened between two."""
    found = re.match(r"cpu +(\d[\d ]*)", _read(root / "proc/stat"))
    ticks = [int(number) for number in found.group(1).split()] if found else []
    if len(ticks) < 8:
        return None
    user, nice, system, _idle, _iowait, irq, softirq, stolen = ticks[:8]  # what follows is counted in user and nice
    return CpuTimes(user + nice + system + irq + softirq + stolen, stolen)


def steal(earlier: CpuTimes | None, later: CpuTimes | None) -> float | None:
    """Share of the wanted CPU time between two snapshots that the host gave to others.

    Of the wanted time, not of all: one thread that loses a tenth on 64 CPUs has lost a tenth.
    """
    if earlier is None or later is None:
        return None
    wanted, stolen = later.wanted_ticks - earlier.wanted_ticks, later.stolen_ticks - earlier.stolen_ticks
    return min(1.0, max(0, stolen) / wanted) if wanted > 0 else 0.0


def used_s(earlier: CpuTimes | None, later: CpuTimes | None) -> float | None:
    """Seconds of CPU that all processes together got between two snapshots."""
    if earlier is None or later is None:
        return None
    wanted, stolen = later.wanted_ticks - earlier.wanted_ticks, later.stolen_ticks - earlier.stolen_ticks
    return max(0, wanted - stolen) / os.sysconf("SC_CLK_TCK")


def load() -> float | None:
    """Tasks that run or want to, on average over the last minute."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None


def moment(root: Path = ROOT) -> Moment:
    """Look at the clock, the load and the accounts of CPU time."""
    return Moment(datetime.now(UTC), load(), cpu_times(root))


@cache
def gpus(tool: str = "nvidia-smi", timeout_s: float = 15) -> tuple[Gpu, ...] | None:
    """Ask NVIDIA's tool for the GPUs; None where it is missing, fails or hangs."""
    if (path := shutil.which(tool)) is None:
        return None
    query = [path, "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=timeout_s, check=True)  # noqa: S603
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    rows = csv.reader(done.stdout.splitlines(), skipinitialspace=True)
    return tuple(Gpu(*map(str.strip, row)) for row in rows if len(row) == 3)


def blas() -> dict[str, Any] | None:
    """Tell which BLAS numpy was built with, and what the library that was loaded says of itself.

    Imports numpy, so the threads must be bound before.
    """
    try:
        import numpy

        built: Mapping[str, Any] = numpy.show_config(mode="dicts") or {}
        site = Path(numpy.__file__).resolve().parents[1]
    except Exception:  # a broken installation can raise anything
        return None
    build = built.get("Build Dependencies", {}).get("blas", {})
    return {
        "name": build.get("name"),
        "version": build.get("version"),
        "configuration": build.get("openblas configuration"),
        "loaded": {str(library["internal_api"]): _without_path(library) for library in _of_numpy(pools(), site)},
    }


_POOL_FACTS = ("version", "architecture", "threading_layer", "num_threads")


def _without_path(library: Mapping[str, Any]) -> dict[str, Any]:
    return {fact: library.get(fact) for fact in _POOL_FACTS}


def _of_numpy(libraries: Iterable[Mapping[str, Any]], site: Path) -> list[Mapping[str, Any]]:
    """Leave the BLAS that numpy uses: what else is loaded depends on the cases that a run chose.

    It lies in numpy's own folders, where the wheels have it, or else outside of ``site``, the packages' folder.
    """
    loaded = [
        (library, Path(str(library.get("filepath"))).resolve())
        for library in libraries
        if library.get("user_api") == "blas"
    ]
    folders = (site / "numpy.libs", site / "numpy")
    own = [library for library, file in loaded if any(file.is_relative_to(folder) for folder in folders)]
    return own or [library for library, file in loaded if not file.is_relative_to(site)]


def pools() -> list[dict[str, Any]]:
    """Tell the thread pools of all libraries that this process has loaded by now, as threadpoolctl does."""
    try:
        import threadpoolctl

        found: list[dict[str, Any]] = threadpoolctl.threadpool_info()
        return found
    except Exception:  # it reads other people's binaries
        return []


def pool_sizes() -> dict[str, int]:
    """Threads of each of these pools, by what it is and the file that it was loaded from."""
    return {f"{pool['internal_api']} ({Path(pool['filepath']).name})": pool["num_threads"] for pool in pools()}


_CHANGING = (
    *("CUDA_", "GOMP_", "JAX_", "KMP_", "LD_PRELOAD", "MALLOC_", "MKL_", "NPROC", "OMP_", "ONEDNN_", "OPENBLAS_"),
    *("PYTHONHASHSEED", "PYTHONOPTIMIZE", "TORCH", "XLA_"),
    # Not all of TF_, which Terraform uses too.
    *("TF_CPP_", "TF_CUDNN_", "TF_ENABLE_", "TF_FORCE_", "TF_GPU_", "TF_NUM_", "TF_USE_", "TF_XLA_"),
)


def environment() -> dict[str, str]:
    """Give the variables of the environment that change what numerical libraries do."""
    return {name: value for name, value in sorted(os.environ.items()) if name.startswith(_CHANGING)}


def _read(file: Path) -> str:
    """Text of ``file``; empty where it cannot be read."""
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""
