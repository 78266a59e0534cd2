"""Reads facts about the GPUs from ``nvidia-smi``."""

import csv
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True)
class Gpu:
    """One GPU, as its driver describes it."""

    name: str
    driver: str
    memory: str


@cache
def detect_gpus(tool: str = "nvidia-smi", timeout_s: float = 15) -> tuple[Gpu, ...] | None:
    """Return the GPUs that NVIDIA's tool lists; None if it is missing, fails or hangs."""
    if (path := shutil.which(tool)) is None:
        return None
    query = [path, "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=timeout_s, check=True)  # noqa: S603
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    rows = csv.reader(done.stdout.splitlines(), skipinitialspace=True)
    return tuple(Gpu(*map(str.strip, row)) for row in rows if len(row) == 3)
