"""Profiles by ``torch.profiler``: what torch calls an operator on the CPU, and kernels and copies on a GPU."""

import gzip
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Read when a profile starts. Otherwise its library writes a line to the terminal at each start and end.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")

import torch
from torch.profiler import ProfilerActivity

from gradperf.frameworks.contract import Run, Style
from gradperf.frameworks.profiling import CHROME, CHROME_FILE, Recording, Session, Span, ViewerFile, Words

TOOL = "torch.profiler"
KIND = "operator"
WORDS = Words(
    unseen="Python, and what torch.profiler does not see",
    notes={"inductor": "torch.profiler does not see into what Inductor compiled: the row ## Call CompiledFxGraph."},
)

_OF = {"cpu": ("cpu_op",), "cuda": ("kernel", "gpu_memcpy", "gpu_memset")}
"""The categories of what counts as an operator, on each device."""


def missing() -> str | None:
    return None


@contextmanager
def session(run: Run, style: Style, device: str) -> Iterator[Session]:
    """Profile a first time, as that is slower and would be counted."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device == "cuda" else [])]
    trace = b""

    def record(call: Callable[[], Any]) -> Recording:
        nonlocal trace
        # acc_events: keep the events of this one recording; without it torch warns that it may drop some.
        with torch.profiler.profile(activities=activities, acc_events=True) as profile:
            start_s = time.perf_counter()
            call()
            wall_s = time.perf_counter() - start_s
        trace = _exported(profile)
        return Recording(wall_s, spans(trace, device))

    def files() -> Sequence[ViewerFile]:
        return [ViewerFile(CHROME_FILE, gzip.compress(trace), CHROME)]

    record(lambda: None)
    yield Session(record, files)


def _exported(profile: torch.profiler.profile) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        profile.export_chrome_trace(str(file))
        return file.read_bytes()


def spans(trace: bytes, device: str) -> list[Span]:
    """Return the operators of a trace: the events that torch itself would count, without its tree of them.

    ``key_averages()`` has the same times. It takes ten seconds for what this reads in half a second.
    """
    return [
        Span(event["name"], str(event["tid"]), event["ts"] * 1e-6, (event["ts"] + event["dur"]) * 1e-6)
        for event in json.loads(trace)["traceEvents"]
        if event.get("ph") == "X" and event.get("cat") in _OF[device]
    ]
