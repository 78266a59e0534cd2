"""Takes the time of a step with a profiler and without it, in turns, and makes a profile of what was recorded.

They are taken in turns because a machine becomes slower and faster. Their ratio is what the profiler itself costs.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gradperf.cases import Settings
from gradperf.checks import agreement
from gradperf.checks.agreement import Agreed
from gradperf.frameworks import profiling
from gradperf.frameworks.contract import Style
from gradperf.frameworks.profiling import Line, Profiler, Recording, Session
from gradperf.profile.attribution import divided
from gradperf.profile.facts import Profile, Row

RECORDING_S = 0.1
"""A recording takes about this long."""

MOST_SPANS = 20_000
"""A recording has about as many spans at most: a viewer opens it at once, and no profiler drops a part of it."""

_MORE = 10
"""Lengths of a call are tried in steps of this factor. Few of them, as each may have to be compiled."""


@dataclass
class _Sums:
    """What all recordings have together."""

    steps: int = 0
    plain_s: float = 0.0
    profiled_s: float = 0.0
    runtime_s: float = 0.0
    own_s: defaultdict[Any, float] = field(default_factory=lambda: defaultdict(float))
    calls: defaultdict[Any, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, recording: Recording) -> None:
        operators, runtime_s = divided(recording.spans)
        self.runtime_s += runtime_s
        for span in recording.spans:
            if span.operator is not None:
                self.calls[span.operator] += 1
        for operator, own_s in operators.items():
            self.own_s[operator] += own_s
        for timed in recording.lines:
            self.own_s[timed.line] += timed.total_s
            self.calls[timed.line] += timed.calls
        # Two clocks may differ by a little, and no row is more than the whole.
        self.profiled_s += max(recording.wall_s, sum(operators.values()) + runtime_s)

    def rows(self) -> list[Row]:
        found = []
        for key, calls in self.calls.items():
            line = key if isinstance(key, Line) else None
            name = line.text if line else key
            found.append(Row(name, self.own_s.get(key, 0.0) / self.steps, calls / self.steps, line))
        return found


def profiled(
    agreed: Agreed, settings: Settings, profiler: Profiler, seconds: float, style: Style | None = None
) -> Profile:
    """Profile a case that agrees with its reference, for about ``seconds``. ``style`` replaces the case's own.

    Raises ``NoProfile``, and ``Disagreement`` if calls of the profiled length, or one after the profile, compute
    something else.
    """
    case, style = agreed.case, style or agreed.case.implementation
    with profiler.session(agreed.run, style, case.device) as session:
        steps, calls = _length(agreed, session)
        if steps < case.problem.steps:
            agreed = agreement.agree_at(agreed, settings, steps)
        call = agreed.run

        def several() -> None:
            for _ in range(calls):
                call()

        sums = _Sums()
        deadline_s = time.perf_counter() + seconds
        while not sums.steps or time.perf_counter() < deadline_s:
            start_s = time.perf_counter()
            several()
            sums.plain_s += time.perf_counter() - start_s
            sums.add(session.record(several))
            sums.steps += calls * steps
        files = session.files()
    agreement.check_timed(agreed, call())
    note = profiler.WORDS.notes.get(style.execution)
    return Profile(
        tool=profiler.TOOL,
        kind=profiler.KIND,
        steps=sums.steps,
        steps_per_call=steps,
        plain_s=sums.plain_s / sums.steps,
        profiled_s=sums.profiled_s / sums.steps,
        rows=_sorted(sums.rows(), profiler.KIND, case.style),
        runtime_s=sums.runtime_s / sums.steps,
        notes=(note,) if note else (),
        files=files,
    )


def _length(agreed: Agreed, session: Session) -> tuple[int, int]:
    """Return the steps of a profiled call, and how many such calls are one recording."""
    most = agreed.case.problem.steps
    steps, room = 1, 0.0
    while True:
        call: Callable[[], Any] = agreed.run if steps == most else lambda steps=steps: agreed.run(steps)  # type: ignore[misc]
        call()  # it may compile
        recording = session.record(call)
        room = min(RECORDING_S / recording.wall_s, MOST_SPANS / max(1, len(recording.spans)))
        if room < _MORE or steps == most:
            break
        steps = min(steps * _MORE, most)
    if steps < most and room >= 2:
        return min(most, int(steps * room)), 1
    return steps, max(1, int(room))


def _sorted(rows: Sequence[Row], kind: profiling.Kind, style: str) -> list[Row]:
    """Return operators by their time, and lines as in their files, the style's own file first."""
    if kind == "operator":
        return sorted(rows, key=lambda row: (-row.step_s, row.name))

    def place(row: Row) -> tuple[bool, str, int, int]:
        assert row.line is not None
        return (not row.line.file.endswith(f"/{style}.py"), row.line.file, row.line.first, row.line.number)

    return sorted(rows, key=place)
