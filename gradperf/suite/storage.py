"""Finds and reads the files of recorded runs, and tells pytest-benchmark where to store them."""

import json
import os
import platform
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gradperf.errors import UserError
from gradperf.files import check_can_write
from gradperf.suite.facts import SCHEMA, Benchmark, read_benchmark, read_run

FOLDER = "results"
"""In the repository, wherever pytest is started."""

_PYTEST_BENCHMARK_DEFAULT = "file://./.benchmarks"

_PYTHON = ".".join(platform.python_version_tuple()[:2])
_MACHINE_ID = "-".join((platform.system(), platform.python_implementation(), _PYTHON, platform.architecture()[0]))
"""The folder in which pytest-benchmark keeps the runs of this system and Python."""


def prepare_storage(option: Any, root: Path, *, saves: bool) -> None:
    """Set pytest-benchmark's options: an absolute storage, and a name to save under if the run ``saves``.

    ``option`` is ``config.option``. A storage or a name that the user gave is left alone. Raises UserError if a
    folder or file of results cannot be written, or ``--benchmark-compare`` would swallow a path.
    """
    compare = option.benchmark_compare
    if isinstance(compare, str) and not compare.endswith(".json") and Path(compare.partition("::")[0]).exists():
        raise UserError(
            f"--benchmark-compare took {compare!r} as the run to compare with. "
            f"Put it after the path: pytest {compare} --benchmark-compare"
        )
    if option.benchmark_storage == _PYTEST_BENCHMARK_DEFAULT:
        option.benchmark_storage = f"file://{root / FOLDER}"
    scheme, _, path = option.benchmark_storage.rpartition("://")
    if not path or scheme not in ("", "file", "elasticsearch+http", "elasticsearch+https"):
        raise UserError(
            f"--benchmark-storage={option.benchmark_storage} is not a place to store runs; use file:///absolute/path"
        )
    if saves and scheme in ("", "file"):
        check_writable(Path(path).absolute() / _MACHINE_ID)
    if saves and option.benchmark_json:
        check_can_write("--benchmark-json", option.benchmark_json)
    if saves and not option.benchmark_save and not option.benchmark_autosave:
        # pytest-benchmark numbers files by looking at those that are there, so two runs may draw one number. With
        # the process in the name neither overwrites the other.
        option.benchmark_autosave = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}_{os.getpid()}"


def machine_folder(address: str) -> Path | None:
    """Return where runs of this system and Python are kept in the storage at ``address``; None if in no folder."""
    scheme, _, path = address.rpartition("://")
    return Path(path).absolute() / _MACHINE_ID if scheme in ("", "file") else None


def check_writable(folder: Path) -> None:
    """Raise UserError if no file can be made in ``folder``. A folder that does not exist is made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(
            f"cannot write results to {folder}: {error.strerror}. "
            "Give another folder with --benchmark-storage=file:///absolute/path"
        ) from None


@dataclass(frozen=True)
class Run:
    """A recorded run."""

    file: Path
    recorded_at: datetime | None
    cpu: str | None
    benchmarks: tuple[Benchmark, ...]
    incomplete: str | None = None
    """How many of the selected benchmarks finished, if some did not."""


def read(file: Path) -> Run:
    """Read a run as pytest-benchmark stores it; raises UserError if the file holds none."""
    try:
        stored = json.loads(file.read_bytes())
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{file}: not JSON at line {error.lineno}, column {error.colno}: {error.msg}") from None
    except (ValueError, RecursionError) as error:  # not text, or too many digits or levels
        raise UserError(f"{file}: not JSON that can be read: {type(error).__name__}: {error}") from None
    if not isinstance(stored, Mapping) or "benchmarks" not in stored:
        raise UserError(f"{file}: not a recorded run: it has no key 'benchmarks'")
    benchmarks = stored["benchmarks"]
    if not isinstance(benchmarks, list):
        raise UserError(f"{file}: 'benchmarks' is not a list")
    for index, benchmark in enumerate(benchmarks):
        if not isinstance(benchmark, Mapping):
            raise UserError(f"{file}: benchmarks[{index}] is not an object")
    run = read_run(stored)
    if run.schema is not None and run.schema > SCHEMA:
        raise UserError(f"{file}: has schema {run.schema}, from a later gradperf; this one reads up to {SCHEMA}")
    cpu = _cpu(stored.get("machine_info"))
    return Run(file, _moment(stored.get("datetime")), cpu, tuple(map(read_benchmark, benchmarks)), run.incomplete)


def newest(folder: Path) -> tuple[Run, list[str]]:
    """Return the run in or below ``folder`` that was recorded last, and why other files hold no run.

    Raises UserError if there is no run.
    """
    runs, reasons = [], []
    for file in sorted(folder.rglob("*.json")):
        try:
            runs.append(read(file))
        except UserError as error:
            reasons.append(str(error))
    if not runs:
        raise UserError("\n  ".join([f"{folder}: there is no recorded run in it", *reasons]))
    return max(runs, key=lambda run: run.recorded_at or datetime.min.replace(tzinfo=UTC)), reasons


def _moment(text: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _cpu(machine: Any) -> str | None:
    model = machine.get("cpu_model") if isinstance(machine, Mapping) else None
    return model if isinstance(model, str) and model else None
