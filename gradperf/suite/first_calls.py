"""The first calls of a run: taken from earlier records where nothing changed, measured otherwise.

The time of a first call is measured while nothing else goes on. Its memory is measured while the next case is
checked, as other work does not change it.

There is no store beside the records. Each first call is recorded with its key (:mod:`gradperf.first_call.key`) and
the time at which it was measured. A remembered one is recorded again, with its own key and time, so it stays known
when old records are deleted.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradperf.errors import UserError
from gradperf.records import storage
from gradperf.records.facts import Facts

if TYPE_CHECKING:  # these import numpy, which must wait until the threads are bound
    from gradperf.cases import Case, Settings
    from gradperf.first_call.measure import FreshProcesses, Timed

MOST_RECORDS = 30
"""Records that are searched, the newest first. Each holds what the ones before it remembered."""

_MOST_BYTES = 100_000_000
"""Larger files are left out: reading one takes longer than measuring a few cases."""

_MEASURED = ("first_call_s", "memory_peak_bytes", "device_memory_peak_bytes")


def newest_records(folder: Path | None) -> list[Path]:
    """Return the newest records in or below ``folder``, the newest first; none if the folder cannot be read."""
    found = []
    with suppress(OSError):
        for file in folder.rglob("*.json") if folder else ():
            with suppress(OSError):  # removed meanwhile
                if file.is_file() and (state := file.stat()).st_size <= _MOST_BYTES:
                    found.append((state.st_mtime_ns, file))
    return [file for _, file in sorted(found, reverse=True)[:MOST_RECORDS]]


class Remembered:
    """The newest first call of each key in ``records``, which are read only until a key is found.

    A file that holds no run is left out without a word: the commands that show or compare records report it.
    """

    def __init__(self, records: Iterable[Path]) -> None:
        self._unread = iter(records)
        self._known: dict[str, Facts] = {}

    def get(self, key: str) -> Facts | None:
        """Return the facts of a benchmark with this key, or None."""
        while key not in self._known and (file := next(self._unread, None)):
            for known_key, facts in _first_calls(file):
                known = self._known.setdefault(known_key, facts)
                if (known.first_call_at or "") < (facts.first_call_at or ""):
                    self._known[known_key] = facts
        return self._known.get(key)


def _first_calls(file: Path) -> Iterator[tuple[str, Facts]]:
    """Yield the first calls of a record with their keys, without those that lack a fact or are of the future."""
    now = datetime.now(UTC).isoformat()
    with suppress(UserError):
        for benchmark in storage.read(file).benchmarks:
            facts = benchmark.facts
            whole = facts.first_call_s is not None and facts.memory_peak_bytes is not None
            if whole and facts.first_call_key and facts.first_call_at and facts.first_call_at <= now:
                yield facts.first_call_key, facts


@dataclass(frozen=True)
class _Timed:
    """A case whose first call was timed, and whose memory is not known yet."""

    id: str
    key: str
    at: str
    call: "Timed"


class FirstCalls:
    """What gives each case of a run its first call.

    ``records`` are searched for it; none of them to measure all anew.
    """

    def __init__(self, settings: "Settings", processes: "FreshProcesses", records: Iterable[Path]) -> None:
        from gradperf.first_call.key import Keys
        from gradperf.suite.machine_info import identity

        self._settings, self._processes = settings, processes
        self._keys = Keys(settings, identity())
        self._records = Remembered(records)
        self.remembered = 0
        """First calls that were taken from records."""
        self.measured = 0
        self.unmeasured: list[str] = []
        """Why a first call has no number."""
        self._known: dict[str, dict[str, Any]] = {}
        self._timed: _Timed | None = None
        self._running: _Timed | None = None

    def begin(self, case: "Case") -> None:
        """Remember the first call of ``case``, or time it. Nothing else must go on meanwhile."""
        from gradperf.first_call.measure import NotMeasured, time_call

        self.finish()
        key = self._keys.of(case)
        if (known := self._records.get(key)) is not None:
            self.remembered += 1
            names = (*_MEASURED, "first_call_at", "first_call_key")
            self._known[case.id] = {name: getattr(known, name) for name in names}
            return
        at = datetime.now(UTC).isoformat(timespec="seconds")
        with self._reported(NotMeasured):
            self._timed = _Timed(case.id, key, at, time_call(case, self._settings, self._processes))

    def go_on(self) -> None:
        """Have the memory of the case measured whose first call was timed last, without waiting."""
        self.wait()
        self._running, self._timed = self._timed, None
        if self._running is not None:
            self._running.call.start_memory()

    def wait(self) -> None:
        """Wait until no memory is being measured any more."""
        from gradperf.first_call.measure import NotMeasured

        running, self._running = self._running, None
        if running is None:
            return
        with self._reported(NotMeasured):
            first = running.call.finish()
            self.measured += 1
            self._known[running.id] = {
                **{name: getattr(first, name) for name in _MEASURED},
                "first_call_at": running.at,
                # Without a key it is not remembered: the next run measures it again.
                "first_call_key": None if first.disturbed else running.key,
            }

    def finish(self) -> None:
        """Measure what is left."""
        self.go_on()
        self.wait()

    @contextmanager
    def _reported(self, failure: type[Exception]) -> Iterator[None]:
        try:
            yield
        except failure as reason:
            self.unmeasured.append(str(reason))

    def facts(self, id_: str) -> dict[str, Any]:
        """Return the facts of the first call of a case; none if it was not measured."""
        return self._known.get(id_, {})

    def lines(self) -> list[str]:
        """Return how many first calls are remembered, and why others have no number."""
        shown = []
        if self.remembered:
            of = self.remembered + self.measured
            shown.append(f"{self.remembered} of {of} first calls are remembered; --first-calls measures all anew")
        return [*shown, *(f"gradperf: no first call, no memory: {reason}" for reason in self.unmeasured)]
