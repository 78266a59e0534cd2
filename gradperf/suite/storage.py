"""Recorded runs: where they lie, what they say about the machine, and how two of them differ.

pytest-benchmark does the storing and comparing; this module only sets its options and answers its public hooks:

- its storage is relative to the working directory, ours is the repository's ``results/`` from everywhere;
- its machine id is system, implementation, Python and bits; a record also says what :mod:`gradperf.machine.facts`
  knows;
- it compares the machine's measured clock, which never is the same twice, and shows the difference as two JSON
  texts; here a difference is told in words, value by value.
"""

import json
import os
import platform
import re
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gradperf.errors import UserError
from gradperf.machine import facts, load

FOLDER = "results"


def prepare_storage(option: Any, root: Path, *, saves: bool) -> None:
    """Set pytest-benchmark's options: an absolute storage, and a name to save under where the run ``saves``.

    ``option`` is ``config.option``. A storage or a name that the user gave is left alone. Raises UserError when
    a results folder of ours cannot be written, or the comparison would swallow a path.
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
        # pytest-benchmark numbers files by looking at those that are there, so two runs may draw one number; with
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
    """Raise UserError unless a file can be made in ``folder``, which is made if need be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(
            f"cannot write results to {folder}: {error.strerror}. "
            "Give another folder with --benchmark-storage=file:///absolute/path"
        ) from None


def check_can_write(option: str, file: Path) -> None:
    """Raise UserError unless ``file`` can be written; one that exists is not touched, a new one not left behind."""
    existed = file.exists()
    try:
        with file.open("a"):
            pass
        if not existed:
            file.unlink()
    except OSError as error:
        raise UserError(f"{option}: cannot write {file}: {error.strerror}") from None


def describe_machine(info: dict[str, Any]) -> None:
    """Add what pytest-benchmark's machine info lacks, and take out what differs between equal machines."""
    cpu = info.get("cpu")
    if isinstance(cpu, dict):
        for measured_anew in ("hz_actual", "hz_actual_friendly", "hz_advertised", "hz_advertised_friendly"):
            cpu.pop(measured_anew, None)
    info.update(facts.identity())


def describe_run(
    output: dict[str, Any],
    *,
    command: Sequence[str],
    start: load.Moment,
    end: load.Moment,
    selected: int,
    tier: str,
    threads: int,
    seed: int,
) -> None:
    """Write under ``output["gradperf"]`` what was asked for, how much of it ended, and what went on meanwhile.

    ``output`` is what pytest-benchmark is about to save; the commit stands in its own ``commit_info``.
    ``selected`` is the number of benchmarks that were to be timed; those that failed are not in ``output``.
    """
    output["gradperf"] = {
        # A storage's address may hold a password.
        "command": [re.sub(r"(://)[^/@\s]+@", r"\1***@", word) for word in command],
        "started": start.at.isoformat(timespec="seconds"),
        "finished": end.at.isoformat(timespec="seconds"),
        "load": {"start": start.load, "end": end.load},
        "steal": load.steal(start.cpu_times, end.cpu_times),
        "benchmarks_selected": selected,
        "benchmarks_finished": len(output["benchmarks"]),
        "tier": tier,
        "threads": threads,
        "seed": seed,
    }


def incomplete(stored: Mapping[str, Any]) -> str | None:
    """Tell how much of a run is there, where it was interrupted, or benchmarks failed; None where all is."""
    run = stored.get("gradperf")
    selected = run.get("benchmarks_selected") if isinstance(run, Mapping) else None
    finished = run.get("benchmarks_finished") if isinstance(run, Mapping) else None
    if not isinstance(selected, int) or not isinstance(finished, int) or finished >= selected:
        return None
    return f"{finished} of {selected} benchmarks"


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any], path: str = "") -> list[str]:
    """Tell each value in which two machine infos differ: ``versions.torch: 2.12.0 then, 2.13.0 now``."""
    told = []
    for key in sorted(ours.keys() | theirs.keys()):
        now, then = ours.get(key), theirs.get(key)
        if isinstance(now, Mapping) and isinstance(then, Mapping):
            told += differences(now, then, f"{path}{key}.")
        elif now != then:
            told.append(f"{path}{key}: {_told(then)} then, {_told(now)} now")
    return told


def _told(value: Any) -> str:
    return "not recorded" if value is None else str(value)


def compare_machines(ours: Mapping[str, Any], compared: dict[str, Any]) -> str | None:
    """Give the warning for a comparison with a run of another machine, versions or settings, or None.

    ``compared`` is the loaded run. Its machine info is then replaced by ours, in memory alone: pytest-benchmark
    compares them too, and fails where the storage is not below the working directory.
    """
    # Through JSON, as the recorded one went: a tuple comes back as a list.
    told = differences(json.loads(json.dumps(ours, default=str)), compared.get("machine_info") or {})
    compared["machine_info"] = dict(ours)
    if not told:
        return None
    return "the run compared with was recorded under other conditions:\n  " + "\n  ".join(told)
