"""Profiles by ``jax.profiler``: each operation of XLA's programs, by the program and its name there."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax

from gradperf.frameworks.contract import Run, Style
from gradperf.frameworks.profiling import (
    CHROME,
    CHROME_FILE,
    TENSORBOARD,
    TENSORBOARD_FILE,
    Recording,
    Session,
    Span,
    ViewerFile,
    Words,
)

TOOL = "jax.profiler"
KIND = "operator"
WORDS = Words(
    runtime="JAX's runtime, outside of XLA's operations",
    unseen="Python, and what jax.profiler does not see",
    notes={"eager": "Each operation that JAX dispatches is a program of its own, whose name stands first."},
)

_TRACE, _XPLANE = ".trace.json.gz", ".xplane.pb"
"""The ends of the names of the files that JAX writes."""


def missing() -> str | None:
    return None


@contextmanager
def session(run: Run, style: Style, device: str) -> Iterator[Session]:
    """Profile a first time, as that is slower and would be counted."""
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0  # it would record every call of a Python function, and cost more than the step
    written: dict[str, bytes] = {}

    def record(call: Callable[[], Any]) -> Recording:
        with tempfile.TemporaryDirectory() as folder:
            with jax.profiler.trace(folder, profiler_options=options):
                start_s = time.perf_counter()
                call()
                wall_s = time.perf_counter() - start_s
            for suffix in (_TRACE, _XPLANE):
                (file,) = Path(folder).rglob(f"*{suffix}")
                written[suffix] = file.read_bytes()
        return Recording(wall_s, spans(written[_XPLANE], device))

    def files() -> Sequence[ViewerFile]:
        return [
            ViewerFile(CHROME_FILE, written[_TRACE], CHROME),
            ViewerFile(TENSORBOARD_FILE, written[_XPLANE], TENSORBOARD),
        ]

    record(lambda: None)
    yield Session(record, files)


def spans(xplane: bytes, device: str) -> list[Span]:
    """Return the spans of a profile: on a GPU those of its streams, else those of the host's threads."""
    found = []
    place = "/device:GPU" if device == "cuda" else "/host:CPU"
    for plane in jax.profiler.ProfileData.from_serialized_xspace(xplane).planes:
        if not plane.name.startswith(place):
            continue
        for number, line in enumerate(plane.lines):
            if device == "cuda" and not line.name.startswith("Stream"):  # the others repeat what the streams have
                continue
            for event in line.events:
                found.append(
                    Span(
                        _operator(event, device),
                        f"{plane.name} {number} {line.name}",
                        event.start_ns * 1e-9,
                        (event.start_ns + event.duration_ns) * 1e-9,
                    )
                )
    return found


def _operator(event: Any, device: str) -> str | None:
    """Return the program and the operation of XLA, as ``step/dot.1``."""
    stats = dict(event.stats)
    if "hlo_op" not in stats:
        return event.name if device == "cuda" else None
    program = str(stats.get("hlo_module", "")).removeprefix("jit_")
    return f"{program}/{stats['hlo_op']}" if program else str(stats["hlo_op"])
