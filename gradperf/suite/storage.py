"""Recorded runs: where they lie, how one is read, and how two machines differ.

pytest-benchmark stores and compares the runs; this module sets its options and answers its public hooks. Three
things differ from its defaults:

- the storage is the repository's ``results/``, wherever pytest is started;
- the machine info also holds what :func:`identity` returns;
- machines are compared value by value, without the measured clock, which is never the same twice.
"""

import json
import os
import platform
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gradperf.errors import UserError
from gradperf.files import check_can_write
from gradperf.machine.cpus import detect_cpus
from gradperf.machine.gpus import detect_gpus
from gradperf.machine.libraries import blas
from gradperf.suite.record import SCHEMA, Benchmark, read_benchmark, read_run

FOLDER = "results"


def prepare_storage(option: Any, root: Path, *, saves: bool) -> None:
    """Set pytest-benchmark's options: an absolute storage, and a name to save under if the run ``saves``.

    ``option`` is ``config.option``. A storage or a name that the user gave is left alone. Raises UserError if a
    folder or file of results cannot be written, or ``--benchmark-compare`` would swallow a path.
    """
    compare = option.benchmark_compare
    if isinstance(compare, str) and not compare.endswith(".json") and Path(compare.partition("::")[0]).exists():
        raise UserError(
            f"--benchmark-compare took {compare!r} for the run to compare with. "
            f"Put it after the path: pytest {compare} --benchmark-compare"
        )
    if option.benchmark_storage == _PYTEST_BENCHMARK_DEFAULT:
        option.benchmark_storage = f"file://{root / FOLDER}"
    scheme, _, path = option.benchmark_storage.rpartition("://")
    if not path or scheme not in ("", "file", "elasticsearch+http", "elasticsearch+https"):
        raise UserError(
            f"--benchmark-storage={option.benchmark_storage} is no place to store runs: "
            "file:///absolute/path is one"
        )
    if saves and scheme in ("", "file"):
        check_writable(Path(path).absolute() / _MACHINE_ID)
    if saves and option.benchmark_json:
        check_can_write("--benchmark-json", option.benchmark_json)
    if saves and not option.benchmark_save and not option.benchmark_autosave:
        # pytest-benchmark numbers files by looking at those that are there, so two runs may draw one number. With
        # the process in the name neither overwrites the other.
        option.benchmark_autosave = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}_{os.getpid()}"


_PYTEST_BENCHMARK_DEFAULT = "file://./.benchmarks"

_MACHINE_ID = "-".join(
    (
        platform.system(),
        platform.python_implementation(),
        ".".join(platform.python_version_tuple()[:2]),
        platform.architecture()[0],
    )
)
"""The folder in which pytest-benchmark keeps the runs of this system and Python."""


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
        raise UserError(f"{file}: no JSON at line {error.lineno}, column {error.colno}: {error.msg}") from None
    except (ValueError, RecursionError) as error:  # no text, or a number or a nesting beyond all bounds
        raise UserError(f"{file}: no JSON that can be read: {type(error).__name__}: {error}") from None
    if not isinstance(stored, Mapping) or "benchmarks" not in stored:
        raise UserError(f"{file}: no recorded run, it has no key 'benchmarks'")
    benchmarks = stored["benchmarks"]
    if not isinstance(benchmarks, list):
        raise UserError(f"{file}: 'benchmarks' is no list")
    for index, benchmark in enumerate(benchmarks):
        if not isinstance(benchmark, Mapping):
            raise UserError(f"{file}: benchmarks[{index}] is no object")
    run = read_run(stored)
    if run.schema is not None and run.schema > SCHEMA:
        raise UserError(f"{file}: has schema {run.schema}, from a later gradperf; this one reads up to {SCHEMA}")
    return Run(
        file,
        _moment(stored.get("datetime")),
        _cpu(stored.get("machine_info")),
        tuple(map(read_benchmark, benchmarks)),
        run.incomplete,
    )


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


def incomplete(stored: Mapping[str, Any]) -> str | None:
    """Return how many benchmarks of a stored run finished, if some did not; None if all did."""
    return read_run(stored).incomplete


def identity() -> dict[str, Any]:
    """Return what must be equal for two runs to be comparable, ready for JSON.

    The number of threads in it is the one bound when this is called. Imports numpy, and no framework.
    """
    from gradperf.frameworks import versions  # imports numpy

    cpus = detect_cpus()
    return {
        "cpu_model": cpus.model,
        "logical_cpus": cpus.logical,
        "affinity_cpus": cpus.affinity,
        "effective_cpus": cpus.effective,
        "governor": cpus.governor,
        # By number, so that a comparison shows which of them differs, and in what.
        "gpus": {str(number): asdict(gpu) for number, gpu in enumerate(detect_gpus() or ())},
        "blas": blas(),
        "versions": versions.installed(),
    }


def describe_machine(info: dict[str, Any]) -> None:
    """Add :func:`identity` to pytest-benchmark's machine info; remove what differs between equal machines."""
    cpu = info.get("cpu")
    if isinstance(cpu, dict):
        for measured_anew in ("hz_actual", "hz_actual_friendly", "hz_advertised", "hz_advertised_friendly"):
            cpu.pop(measured_anew, None)
    info.update(identity())


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any], path: str = "") -> list[str]:
    """Return each value in which two machine infos differ: ``versions.torch: 2.12.0 then, 2.13.0 now``."""
    lines = []
    for key in sorted(ours.keys() | theirs.keys()):
        now, then = ours.get(key), theirs.get(key)
        if isinstance(now, Mapping) and isinstance(then, Mapping):
            lines += differences(now, then, f"{path}{key}.")
        elif now != then:
            lines.append(f"{path}{key}: {_value_text(then)} then, {_value_text(now)} now")
    return lines


def _value_text(value: Any) -> str:
    return "not recorded" if value is None else str(value)


def compare_machines(ours: Mapping[str, Any], compared: dict[str, Any]) -> str | None:
    """Return a warning if ``compared``, a loaded run, has another machine, versions or settings; else None.

    Its machine info is then replaced by ours, in memory alone: pytest-benchmark compares them too, and fails if the
    storage is not below the working directory.
    """
    # Through JSON, as the recorded one went: a tuple comes back as a list.
    lines = differences(json.loads(json.dumps(ours, default=str)), compared.get("machine_info") or {})
    compared["machine_info"] = dict(ours)
    if not lines:
        return None
    return "the run compared with was recorded under other conditions:\n  " + "\n  ".join(lines)
