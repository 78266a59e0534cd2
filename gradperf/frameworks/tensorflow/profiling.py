"""Profiles by ``tf.profiler.experimental``: operations by their type, as eager mode, graphs and XLA run them.

It writes an XSpace, a message that TensorFlow ships with it.
"""

import gzip
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2

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
from gradperf.frameworks.tensorflow.quiet import quietly

_CHEAP = (
    "tf.profiler leaves out what TensorFlow takes for a cheap operation of a graph: its time is in the row of the "
    "runtime, and its calls are not counted."
)

TOOL = "tf.profiler"
KIND = "operator"
WORDS = Words(
    runtime="TensorFlow's runtime, outside of the operations above",
    unseen="Python, and what tf.profiler does not see",
    notes={"graph": _CHEAP, "unknown": _CHEAP},
)

_EAGER = "EagerLocalExecute: "


def missing() -> str | None:
    return None


@contextmanager
def session(run: Run, style: Style, device: str) -> Iterator[Session]:
    """Profile a first time, as that is slower and would be counted."""
    options = tf.profiler.experimental.ProfilerOptions(host_tracer_level=3)
    written = b""

    def record(call: Callable[[], Any]) -> Recording:
        nonlocal written
        with tempfile.TemporaryDirectory() as folder:
            with quietly(), tf.profiler.experimental.Profile(folder, options):
                start_s = time.perf_counter()
                call()
                wall_s = time.perf_counter() - start_s
            (file,) = Path(folder).rglob("*.xplane.pb")
            written = file.read_bytes()
        return Recording(wall_s, spans(written, device))

    def files() -> Sequence[ViewerFile]:
        return [
            ViewerFile(CHROME_FILE, gzip.compress(chrome_trace(written)), CHROME),
            ViewerFile(TENSORBOARD_FILE, written, TENSORBOARD),
        ]

    record(lambda: None)
    yield Session(record, files)


def _events(xplane: bytes) -> Iterator[tuple[Any, Any, str, float, float, Mapping[str, Any]]]:
    """Yield each event's plane, line, name, start and duration in seconds, and facts.

    Starts are counted from the earliest line: a float cannot hold the nanoseconds since 1970.
    """
    space = xplane_pb2.XSpace.FromString(xplane)
    zero_ns = min((line.timestamp_ns for plane in space.planes for line in plane.lines), default=0)
    for plane in space.planes:
        names = {number: one.name for number, one in plane.event_metadata.items()}
        facts = {number: one.name for number, one in plane.stat_metadata.items()}
        for line in plane.lines:
            for event in line.events:
                own = {facts[stat.metadata_id]: _value(stat, facts) for stat in event.stats}
                start_s = ((line.timestamp_ns - zero_ns) * 1000 + event.offset_ps) * 1e-12
                yield plane, line, names[event.metadata_id], start_s, event.duration_ps * 1e-12, own


def _value(stat: Any, facts: Mapping[int, str]) -> Any:
    kind = stat.WhichOneof("value")
    value = getattr(stat, kind) if kind else None
    return facts.get(stat.ref_value, "") if kind == "ref_value" else value


def spans(xplane: bytes, device: str) -> list[Span]:
    """Return the spans of a profile: on a GPU those of its streams, else those of the host's threads."""
    place = "/device:GPU" if device == "cuda" else "/host:CPU"
    found = []
    for plane, line, name, start_s, long_s, facts in _events(xplane):
        # On a GPU other lines repeat what the streams have.
        if plane.name.startswith(place) and (device == "cpu" or line.name.startswith("Stream")):
            operator = name if device == "cuda" else _operator(name, facts)
            found.append(Span(operator, f"{plane.name} {line.id}", start_s, start_s + long_s))
    return found


def _operator(name: str, facts: Mapping[str, Any]) -> str | None:
    """Return the type of an operation: ``MatMul``; for XLA its name in the program.

    A graph called from eager mode is no operation: what it calls is.
    """
    if "hlo_op" in facts:
        return str(facts["hlo_op"])
    if name.startswith(_EAGER):
        operator = name.removeprefix(_EAGER)
        return None if operator.startswith("__") else operator
    scope, colon, kind = name.rpartition(":")
    is_node = colon and not scope.endswith(":") and " " not in name and not kind.startswith("__")
    return kind if is_node else None


def chrome_trace(xplane: bytes) -> bytes:
    """Return the profile as a trace in JSON, which TensorFlow itself writes no more."""
    written: list[dict[str, Any]] = []
    known = set()
    for plane, line, name, start_s, long_s, facts in _events(xplane):
        place = {"pid": plane.id, "tid": line.id % 2**31}
        if (plane.id, line.id) not in known:
            known.add((plane.id, line.id))
            written.append({"ph": "M", "name": "process_name", **place, "args": {"name": plane.name}})
            written.append({"ph": "M", "name": "thread_name", **place, "args": {"name": line.name or str(line.id)}})
        own = {key: str(value) for key, value in facts.items() if not key.startswith("_")}
        written.append({"ph": "X", "name": name, **place, "ts": start_s * 1e6, "dur": long_s * 1e6, "args": own})
    return json.dumps({"displayTimeUnit": "ns", "traceEvents": written}).encode()
