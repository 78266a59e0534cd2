"""Describes the machine of a run for pytest-benchmark, and how it differs from the machine of another run.

Machines are compared value by value, without the measured clock, which is never the same twice.
"""

import copy
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from numbers import Real
from typing import Any

import pytest

from gradperf.machine import threads
from gradperf.machine.cpus import detect_cpus
from gradperf.machine.gpus import detect_gpus
from gradperf.machine.libraries import blas
from gradperf.records.conditions import differences
from gradperf.records.facts import read_run
from gradperf.suite.selection import SETTINGS
from gradperf.text.printable import clean


@dataclass(frozen=True)
class ComparedRun:
    """A run that this one is compared with."""

    benchmarks: frozenset[str]
    """Ids."""
    warnings: list[str]
    """Why the two may differ in more than the code."""


COMPARED = pytest.StashKey[list[ComparedRun]]()

_OWN = pytest.StashKey[dict[str, Any]]()


def own(config: pytest.Config) -> dict[str, Any]:
    """Return the machine info of this run, as pytest-benchmark stores it; it takes a second, the first time.

    The threads must be bound.
    """
    if _OWN not in config.stash:
        info: dict[str, Any] = config.hook.pytest_benchmark_generate_machine_info(config=config)
        config.hook.pytest_benchmark_update_machine_info(config=config, machine_info=info)
        config.stash[_OWN] = info
    return copy.deepcopy(config.stash[_OWN])


@pytest.hookimpl(tryfirst=True)  # before pytest-benchmark's own, which is asked if this returns None
def pytest_benchmark_generate_machine_info(config: pytest.Config) -> dict[str, Any] | None:
    """Return what is known already."""
    return copy.deepcopy(config.stash.get(_OWN, None))


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
    for measured_anew in ("hz_actual", "hz_actual_friendly", "hz_advertised", "hz_advertised_friendly"):
        info.get("cpu", {}).pop(measured_anew, None)
    info.update(identity())


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    """Add the facts of the machine, and the settings that all cases of a run have in common."""
    if _OWN in config.stash:
        return
    describe_machine(machine_info)
    settings = config.stash[SETTINGS]
    waiting = {"waiting": threads.waiting()} if settings.threads > 1 else {}
    machine_info["settings"] = asdict(settings) | waiting


@pytest.hookimpl(tryfirst=True)  # before pytest-benchmark's own, which then has nothing to report
def pytest_benchmark_compare_machine_info(
    config: pytest.Config, machine_info: dict[str, Any], compared_benchmark: dict[str, Any]
) -> None:
    """Note a run compared with, and how its machine or settings differ.

    What pytest-benchmark cannot compare in it is left out, in memory alone: it would end in an internal error.
    """
    warnings = [compare_machines(machine_info, compared_benchmark)]
    if partial := read_run(compared_benchmark).partial:
        warnings.append(f"the run compared with is partial: {clean(partial)}")
    stored = compared_benchmark["benchmarks"]
    usable = [one for one in stored if is_usable(one)] if isinstance(stored, list) else []
    if unusable := len(stored) - len(usable):
        warnings.append(f"{unusable} of {len(stored)} benchmarks of the run compared with lack a name or a time")
    compared_benchmark["benchmarks"] = usable
    ids = frozenset(benchmark["fullname"] for benchmark in usable)
    config.stash[COMPARED].append(ComparedRun(ids, [text for text in warnings if text]))


def is_usable(benchmark: Any) -> bool:
    """Return whether pytest-benchmark can compare with this entry of ``benchmarks``."""
    if not isinstance(benchmark, Mapping) or not isinstance(benchmark.get("fullname"), str):
        return False
    stats = benchmark.get("stats")
    return (
        isinstance(stats, Mapping)
        and all(_is_number(stats.get(name)) for name in _NUMBERS)
        and isinstance(stats.get("outliers"), str)
    )


_NUMBERS = ("min", "max", "mean", "stddev", "median", "iqr", "ops", "rounds", "iterations")


def _is_number(value: Any) -> bool:
    try:
        return isinstance(value, Real) and math.isfinite(value)
    except OverflowError:  # more digits than a float holds
        return False


def as_stored(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return a machine info as it comes back from a file: a tuple is a list then."""
    stored: dict[str, Any] = json.loads(json.dumps(info, default=str))
    return stored


def compare_machines(ours: Mapping[str, Any], compared: dict[str, Any]) -> str | None:
    """Return a warning if ``compared``, a loaded run, has another machine, versions or settings; else None.

    Its machine info is then replaced by ours, in memory alone: pytest-benchmark compares them too, and fails if the
    storage is not below the working directory.
    """
    theirs = compared.get("machine_info")
    lines = differences(as_stored(ours), theirs if isinstance(theirs, Mapping) else {})
    compared["machine_info"] = dict(ours)
    if not lines:
        return None
    return "the run compared with was recorded under other conditions:\n  " + "\n  ".join(lines)
