"""Describes the machine of a run for pytest-benchmark, and how it differs from the machine of another run.

Machines are compared value by value, without the measured clock, which is never the same twice.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pytest

from gradperf.machine import threads
from gradperf.machine.cpus import detect_cpus
from gradperf.machine.gpus import detect_gpus
from gradperf.machine.libraries import blas
from gradperf.suite.facts import read_run
from gradperf.suite.selection import SETTINGS


@dataclass(frozen=True)
class ComparedRun:
    """A run that this one is compared with."""

    benchmarks: frozenset[str]
    """Ids."""
    warnings: list[str]
    """Why the two may differ in more than the code."""


COMPARED = pytest.StashKey[list[ComparedRun]]()


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
    describe_machine(machine_info)
    settings = config.stash[SETTINGS]
    waiting = {"waiting": threads.waiting()} if settings.threads > 1 else {}
    machine_info["settings"] = asdict(settings) | waiting


@pytest.hookimpl(tryfirst=True)  # before pytest-benchmark's own, which then has nothing to report
def pytest_benchmark_compare_machine_info(
    config: pytest.Config, machine_info: dict[str, Any], compared_benchmark: dict[str, Any]
) -> None:
    """Note a run compared with, and how its machine or settings differ."""
    warnings = [compare_machines(machine_info, compared_benchmark)]
    if incomplete := read_run(compared_benchmark).incomplete:
        warnings.append(f"the run compared with is incomplete: {incomplete}")
    ids = frozenset(benchmark["fullname"] for benchmark in compared_benchmark["benchmarks"])
    config.stash[COMPARED].append(ComparedRun(ids, [text for text in warnings if text]))


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any], path: str = "") -> list[str]:
    """Return each value in which two machine infos differ: ``versions.torch: 2.12.0 then, 2.13.0 now``."""
    lines = []
    for key in sorted(ours.keys() | theirs.keys()):
        now, then = ours.get(key), theirs.get(key)
        if isinstance(now, Mapping) and isinstance(then, Mapping):
            lines += differences(now, then, f"{path}{key}.")
        elif now != then:
            was, is_now = ("not recorded" if value is None else value for value in (then, now))
            lines.append(f"{path}{key}: {was} then, {is_now} now")
    return lines


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
