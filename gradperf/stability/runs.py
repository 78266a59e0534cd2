"""Reads and writes the store of whole runs: each line is one run, with every moment of every case, as JSON.

So all that the page says can be computed again from the store, by another estimator too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Self, get_args

from gradperf import files
from gradperf.timing.moment import Moment, Process

Kind = Literal["quiet", "busy", "planted"]
"""With nothing beside it; beside two busy processes; with work planted in cases drawn at random."""

DIGITS = 5
"""Times are stored with this many digits."""

_MOMENT = ("long_s", "short_s", "reference_s", "cpu_per_wall", "rounds", "disturbed")
"""Fields of a moment as it is stored, after its seconds since the start and its process."""


@dataclass(frozen=True)
class Case:
    """What one run measured of a case."""

    steps: int
    """Of a long call."""
    short_steps: int | None
    step_s: float
    """As the run itself estimated it, as all numbers here but the moments."""
    step_error: float
    call_s: float | None
    reference_s: float
    disturbed: float
    moments: tuple[Moment, ...]


@dataclass(frozen=True)
class Run:
    """One whole run."""

    started: str
    """ISO date and time, UTC."""
    finished: str
    kind: Kind
    planted: Mapping[str, float]
    """By the id of a case: the work that was added, as a share of its time."""
    arguments: tuple[str, ...]
    """Of pytest: what was run."""
    cases: Mapping[str, Case]
    """By id."""
    failed: int
    """Benchmarks that were selected and have no time."""
    load: Mapping[str, float | None]
    """At the start and at the end."""
    steal: float | None
    """Share of the wanted CPU time that the host took."""
    cpu_model: str | None
    versions: Mapping[str, str]
    commit: str
    dirty: bool | None
    """Whether files in git, other than the store and its page, differed from the commit; None if not known."""

    @property
    def machine(self) -> str:
        """The machine, by the model of its CPU: times of two machines are never put together."""
        return self.cpu_model or "a CPU of unknown model"

    @property
    def unchanged(self) -> bool:
        """Whether nothing was planted."""
        return self.kind != "planted"

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (datetime.fromisoformat(self.finished) - datetime.fromisoformat(self.started)).total_seconds()

    def entry(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        start = datetime.fromisoformat(self.started)
        cases = {id_: vars(case) | {"moments": _stored(case.moments, start)} for id_, case in self.cases.items()}
        entry: dict[str, Any] = _rounded(vars(self) | {"cases": cases})
        return entry

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> Self:
        """Return the run of a line of the store; raises ValueError, TypeError, KeyError or AttributeError."""
        if entry["kind"] not in get_args(Kind):
            raise ValueError(f"kind {entry['kind']!r}")
        start = datetime.fromisoformat(entry["started"])
        cases = {
            id_: Case(**{**case, "moments": tuple(_moment(stored, start) for stored in case["moments"])})
            for id_, case in entry["cases"].items()
        }
        if not all(case.moments and case.steps for case in cases.values()):
            raise ValueError("a case without moments or steps")
        return cls(**{**entry, "arguments": tuple(entry["arguments"]), "cases": cases})


def _stored(moments: Sequence[Moment], start: datetime) -> list[list[Any]]:
    return [
        [
            (datetime.fromisoformat(moment.at) - start).total_seconds(),
            moment.process,
            *(getattr(moment, name) for name in _MOMENT),
        ]
        for moment in moments
    ]


def _moment(stored: Sequence[Any], start: datetime) -> Moment:
    seconds, process, *values = stored
    if process not in get_args(Process):
        raise ValueError(f"process {process!r}")
    at = (start + timedelta(seconds=seconds)).isoformat(timespec="seconds")
    moment = Moment(at=at, process=process, **dict(zip(_MOMENT, values, strict=True)))
    if not (moment.long_s > 0 and moment.reference_s > 0 and moment.rounds > 0):
        raise ValueError("a moment without a time")
    return moment


def _rounded(value: Any) -> Any:
    """Return the same with every number rounded."""
    match value:
        case float():
            return float(f"{value:.{DIGITS}g}")
        case Mapping():
            return {name: _rounded(one) for name, one in value.items()}
        case list() | tuple():
            return [_rounded(one) for one in value]
    return value


def read(store: Path) -> list[Run]:
    """Return the runs in the store, in the order of their beginnings; none if it does not exist."""
    runs = files.entries(store, Run.read, "a run of `gradperf stability`")
    return sorted(runs, key=lambda run: run.started)


def add(store: Path, run: Run) -> None:
    """Add a run to the store."""
    files.append(store, run.entry())
