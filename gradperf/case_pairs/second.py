"""The second process of a run: it prepares the same cases, and times them on command.

A process gives some cases a speed of their own, by where their arrays are in memory. So each case is timed in two.
While the first one checks a case, the second prepares and checks it; while one times, the other waits.
"""

import os
import random
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gradperf.cases import Settings
from gradperf.pairs.process import Process, WorkerLost, padding, same_modules
from gradperf.timing.lengths import Lengths
from gradperf.timing.moment import Moment


class NoMoment(Exception):
    """A moment in the second process that has no time; the message is the reason."""


class WrongResult(Exception):
    """A case that is wrong in the second process; the message says what."""


class SecondProcess:
    """A child that prepares cases and times them on command. It imports ``frameworks`` at once."""

    def __init__(self, settings: Settings, frameworks: Sequence[str] = ()) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="gradperf-")
        coin = random.Random()  # noqa: S311 - a length, not a secret
        self._process = Process(
            "second process",
            [sys.executable, "-P", "-m", "gradperf.case_pairs.second_worker"],  # -P: no file here may shadow numpy
            [],
            output=Path(self._folder.name, "output.txt"),
            environment={**os.environ, **same_modules(), **padding(coin)},
        )
        self._lost: str | None = None
        self._preparing: deque[str] = deque()
        self._unprepared: dict[str, Exception] = {}
        self._tell(lambda: self._process.send(settings=asdict(settings), frameworks=[*frameworks]))

    def prepare(self, id_: str) -> None:
        """Have it prepare a case, without waiting."""
        self._begin(id_, prepare=id_)

    def check(self, id_: str, lengths: Lengths) -> None:
        """Have it check calls of these lengths of a case that it prepares, without waiting.

        Otherwise it checks them at the first moment, while everything else waits for it.
        """
        self._begin(id_, check=id_, **asdict(lengths))

    def _begin(self, id_: str, **order: Any) -> None:
        if self._lost is None:
            self._preparing.append(id_)
            self._tell(lambda: self._process.send(**order))

    def wait(self) -> None:
        """Wait until it computes nothing any more."""
        while self._preparing and self._lost is None:
            id_ = self._preparing.popleft()
            answer = self._tell(self._process.answer)
            if answer and (error := _error(answer)):
                self._unprepared.setdefault(id_, error)  # without a preparation, the check fails too

    def moment(self, id_: str, lengths: Lengths, cpu: int | None, planted_units: float) -> Moment:
        """Return a moment of a case; raises :class:`NoMoment` or :class:`WrongResult`."""
        self.wait()
        if id_ in self._unprepared:
            raise self._unprepared[id_]
        order = {"moment": id_, **asdict(lengths), "cpu": cpu, "planted_units": planted_units}
        answer = self._tell(lambda: self._process.ask(**order))
        if answer is None:
            raise NoMoment(f"{id_}: {self._lost}")
        if error := _error(answer):
            raise error
        return Moment(**answer["moment"])

    def close(self) -> None:
        """End it."""
        self._process.close()
        self._folder.cleanup()

    def _tell(self, act: Callable[[], Any]) -> Any:
        """Do ``act``, or nothing if the process is lost; None then."""
        if self._lost is not None:
            return None
        try:
            return act()
        except WorkerLost as lost:
            self._lost = str(lost)
            return None


def _error(answer: dict[str, Any]) -> Exception | None:
    if "wrong" in answer:
        return WrongResult(answer["wrong"])
    return NoMoment(answer["failed"]) if "failed" in answer else None
