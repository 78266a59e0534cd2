"""Where recorded runs are stored, and how one is read.

A file may hold anything: reading it raises UserError and nothing else.
"""

import json
import os
import platform
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gradperf.errors import UserError
from gradperf.records.facts import SCHEMA, Benchmark, RunFacts, read_benchmark, read_run

FOLDER = "results"
"""In the repository, wherever pytest is started."""

_PYTHON = ".".join(platform.python_version_tuple()[:2])
MACHINE_ID = "-".join((platform.system(), platform.python_implementation(), _PYTHON, platform.architecture()[0]))
"""The folder in which pytest-benchmark keeps the runs of this system and Python."""

_PYTEST_BENCHMARK_DEFAULT = "file://./.benchmarks"

LARGEST_BYTES = 256 * 2**20
"""A run takes 1 to 2 MB, with all rounds some tens. What is larger is none, and may not fit into memory."""


def place(storage: str, root: Path) -> tuple[str, Path | None]:
    """Return the value for pytest-benchmark's option, and the folder of files; None if it is a database.

    ``storage`` is what the user gave. Raises UserError if it is no place to store runs.
    """
    if storage == _PYTEST_BENCHMARK_DEFAULT:
        storage = f"file://{root / FOLDER}"
    scheme, _, path = storage.rpartition("://")
    if not path or scheme not in ("", "file", "elasticsearch+http", "elasticsearch+https"):
        raise UserError(f"--benchmark-storage={storage} is not a place to store runs; use file:///absolute/path")
    return storage, Path(path).absolute() if scheme in ("", "file") else None


@dataclass(frozen=True)
class Run:
    """A recorded run."""

    file: Path
    recorded_at: datetime | None
    benchmarks: tuple[Benchmark, ...]
    facts: RunFacts = field(default_factory=RunFacts)
    machine: Mapping[str, Any] = field(default_factory=dict)
    """The machine, the versions and the settings."""
    commit: Mapping[str, Any] = field(default_factory=dict)
    """By pytest-benchmark: ``id``, ``dirty``, ``branch``, ``time``."""

    @property
    def partial(self) -> str | None:
        """Why it holds only a part of what was selected; None if it is complete, or that was not recorded."""
        return self.facts.partial

    @property
    def cpu(self) -> str | None:
        """The model of the CPU."""
        model = self.machine.get("cpu_model")
        return model if isinstance(model, str) and model else None

    @property
    def versions(self) -> Mapping[str, str]:
        """The version of each framework and its companions."""
        versions = _mapping(self.machine.get("versions"))
        return {str(name): version for name, version in versions.items() if isinstance(version, str)}


def load(file: Path) -> Any:
    """Return the JSON in a file; raises UserError if it holds none."""
    try:
        return json.loads(_bytes(file))
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{file}: not JSON at line {error.lineno}, column {error.colno}: {error.msg}") from None
    except (ValueError, RecursionError) as error:  # not text, or too many digits or levels
        raise UserError(f"{file}: not JSON that can be read: {type(error).__name__}: {error}") from None


def read(file: Path) -> Run:
    """Read a run as pytest-benchmark stores it; raises UserError if the file holds none."""
    stored = load(file)
    if not isinstance(stored, Mapping) or "benchmarks" not in stored:
        raise UserError(f"{file}: not a recorded run: it has no key 'benchmarks'")
    benchmarks = stored["benchmarks"]
    if not isinstance(benchmarks, list):
        raise UserError(f"{file}: 'benchmarks' is not a list")
    for index, benchmark in enumerate(benchmarks):
        if not isinstance(benchmark, Mapping):
            raise UserError(f"{file}: benchmarks[{index}] is not an object")
    facts = read_run(stored)
    if facts.schema is not None and facts.schema > SCHEMA:
        raise UserError(f"{file}: has schema {facts.schema}, from a later gradperf; this one reads up to {SCHEMA}")
    return Run(
        file=file,
        recorded_at=_moment(stored.get("datetime")),
        benchmarks=tuple(map(read_benchmark, benchmarks)),
        facts=facts,
        machine=_mapping(stored.get("machine_info")),
        commit=_mapping(stored.get("commit_info")),
    )


def _bytes(file: Path) -> bytes:
    with open(file, "rb", opener=_without_waiting) as opened:
        found = os.fstat(opened.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise UserError(f"{file}: not a file")
        if found.st_size > LARGEST_BYTES:
            most, size = LARGEST_BYTES // 2**20, found.st_size // 2**20
            raise UserError(f"{file}: {size:,} MiB are too large for a recorded run; at most {most} are read")
        return opened.read(LARGEST_BYTES)


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a pipe without a writer would wait for ever


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _moment(text: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (TypeError, ValueError, OverflowError):
        return None
