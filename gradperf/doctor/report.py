"""Formats an examination as text of 80 columns, and as JSON."""

import textwrap
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from gradperf import frameworks
from gradperf.doctor.examination import COARSE_S, ENOUGH, LEAST_SHARE, MOST_STEAL, Examination
from gradperf.doctor.noise import RUN_CASES
from gradperf.text.quantities import percent, plural, short_time

WIDTH = 80
UNKNOWN = "not known here"

_DERIVED = ("stored_error", "gate_sigma", "smallest_stored", "smallest_gate")
"""The properties of a :class:`~gradperf.doctor.noise.Noise`, in the record."""


def warnings(found: Examination) -> list[str]:
    """Return a sentence for each thing that spoils measuring here."""
    cpus, messages = found.cpus, []
    effective = cpus.effective or found.processes
    if found.start.load is not None and found.start.load > effective:
        messages.append(
            f"The load was {found.start.load:.1f} before this began, with {effective:g} effective CPUs: "
            "other work is waiting for the same CPUs. Stop it, or wait."
        )
    if found.measured_cpus < LEAST_SHARE * effective:
        messages.append(
            f"{plural(found.processes, 'busy process', 'busy processes')} got {found.measured_cpus:.2f} CPUs, and "
            f"{effective:g} were promised: other work is running, or the host gives less than it says."
        )
    if min(effective, found.measured_cpus / LEAST_SHARE) < found.threads:
        messages.append(
            f"{plural(found.threads, 'thread')} asked for, and {min(effective, found.measured_cpus):.2g} effective "
            "CPUs there: a timing will include the time spent waiting for a CPU."
        )
    if (stolen := found.steal) is not None and stolen > MOST_STEAL:
        messages.append(
            f"The host took {percent(stolen)} of the CPU time that was wanted here (steal): timings will have "
            "outliers, whatever is done inside this machine."
        )
    if cpus.governor not in (None, "performance"):
        messages.append(
            f"The governor {cpus.governor!r} changes the speed of the CPU with the load. "
            "`cpupower frequency-set -g performance` keeps it constant."
        )
    if found.timer.step_s is None or found.timer.step_s > COARSE_S:
        step = short_time(found.timer.step_s)
        messages.append(f"The timer moves in steps of {step}: too coarse for cases of microseconds.")
    if not found.timer.monotonic:
        messages.append("The timer may go back: a timing may be too short, or negative.")
    for name, library in (found.blas or {}).get("loaded", {}).items():
        if library["num_threads"] != found.threads:
            messages.append(
                f"{name} runs {plural(library['num_threads'], 'thread')} instead of {found.threads}: "
                "it ignores the thread variables."
            )
    if found.samples < ENOUGH:
        messages.append(
            f"Only {found.samples} processes and as many pairs fitted into the time: the smallest changes below "
            "are guesses. Use more time, such as --seconds 60."
        )
    return messages


def lines(found: Examination) -> list[str]:
    """Return everything as lines of at most 80 columns."""
    output = [""]
    for label, text in _facts(found).items():
        output += textwrap.wrap(text, WIDTH, initial_indent=f"{label:10}", subsequent_indent=" " * 10)
    seconds = (found.end.at - found.start.at).total_seconds()
    explanation = (
        f"Equal code against itself, {found.samples} processes and {found.samples} pairs of processes in "
        f"{seconds:.0f} s. Stored runs: the standard error of a time → the smallest slowdown that two runs of "
        f"{RUN_CASES} cases can show. Gate: the standard deviation of a pair → the smallest slowdown of one case."
    )
    output += ["", *textwrap.wrap(explanation, WIDTH), f"{'':46}{'stored runs':>17}{'gate':>17}"]
    for noise in found.noise:
        stored = f"{percent(noise.stored_error)} → {percent(noise.smallest_stored)}"
        gate = f"{percent(noise.gate_sigma)} → {percent(noise.smallest_gate)}"
        output.append(f"{noise.case:46}{stored:>17}{gate:>17}")
    for warning in warnings(found):
        output += ["", *textwrap.wrap(f"WARNING: {warning}", WIDTH, break_on_hyphens=False)]
    return [*output, "", *textwrap.wrap(sentence(found), WIDTH)]


def sentence(found: Examination) -> str:
    """Return the verdict in one sentence, and another one if it is a guess."""
    few = f" Both are guesses, from {found.samples} of each." if found.samples < ENOUGH else ""
    return (
        f"Two stored runs of {RUN_CASES} cases here cannot show a change below {percent(found.smallest_stored)}; "
        f"the gate can show {percent(found.smallest_gate)}.{few}"
    )


def _facts(found: Examination) -> dict[str, str]:
    """Return the text of each fact by its label."""
    cpus, timer = found.cpus, found.timer
    quota = "no quota" if cpus.quota is None else f"a quota of {cpus.quota:g}"
    mask = "an unknown mask" if cpus.affinity is None else f"{cpus.affinity} in the mask of this process"
    gpus = "none: nvidia-smi is missing, or does not answer" if found.gpus is None else "none"
    variables = ", ".join(f"{name}={value}" for name, value in found.variables.items())
    waiting = f", {found.waiting}" if found.waiting else ""
    absent = [name for name in frameworks.names() if name not in found.versions]
    return {
        "CPU": f"{cpus.model or 'of unknown model'}; {plural(cpus.logical or 0, 'logical CPU')}, {mask}, {quota}: "
        f"{cpus.effective or 0:g} effective",
        "measured": f"{plural(found.processes, 'busy process', 'busy processes')} got {found.measured_cpus:.2f} "
        "CPU seconds per second",
        "governor": cpus.governor or f"{UNKNOWN}, as in most virtual machines",
        "load": UNKNOWN
        if found.start.load is None or found.end.load is None
        else f"{found.start.load:.2f} before this began, {found.end.load:.2f} after it (this adds up to "
        f"{found.processes})",
        "steal": UNKNOWN if found.steal is None else f"{percent(found.steal)} of the CPU time wanted meanwhile",
        "memory": UNKNOWN if found.memory_bytes is None else f"{found.memory_bytes / 2**30:.1f} GiB",
        "GPU": "; ".join(f"{gpu.name}, {gpu.memory}, driver {gpu.driver}" for gpu in found.gpus or ()) or gpus,
        "timer": f"steps of {short_time(timer.step_s)}, {short_time(timer.call_s)} per reading, "
        f"{'monotonic' if timer.monotonic else 'NOT monotonic'}",
        "threads": f"{found.threads}, set by gradperf{waiting}; before: {variables or 'no thread variable'}",
        "BLAS": _blas(found.blas),
        "versions": ", ".join(f"{name} {number}" for name, number in found.versions.items())
        + (f"; not installed: {', '.join(absent)}" if absent else ""),
    }


def _blas(blas: Mapping[str, Any] | None) -> str:
    if not blas:
        return "numpy does not say"
    loaded = "; ".join(
        f"{name} {library['version']} for {library['architecture']}, {library['threading_layer']}, "
        f"{plural(library['num_threads'], 'thread')}"
        for name, library in blas["loaded"].items()
    )
    built = f"numpy built with {blas['name']} {blas['version']}"
    return f"{built}; loaded: {loaded or 'none that threadpoolctl knows'}"


def record(found: Examination) -> dict[str, Any]:
    """Return everything, with the timings, ready for JSON."""
    return {
        "started": found.start.at.isoformat(timespec="seconds"),
        "finished": found.end.at.isoformat(timespec="seconds"),
        "cpus": {
            **asdict(found.cpus),
            "effective": found.cpus.effective,
            "busy_processes": found.processes,
            "measured": found.measured_cpus,
        },
        "load": {"start": found.start.load, "end": found.end.load},
        "steal": found.steal,
        "memory_bytes": found.memory_bytes,
        "gpus": None if found.gpus is None else [asdict(gpu) for gpu in found.gpus],
        "timer": asdict(found.timer),
        "threads": {"asked": found.threads, "waiting": found.waiting, "variables_found": dict(found.variables)},
        "blas": found.blas,
        "versions": dict(found.versions),
        "spreads": [
            {**asdict(noise), **{name: getattr(noise, name) for name in _DERIVED}} for noise in found.noise
        ],
        "smallest_stored": found.smallest_stored,
        "smallest_gate": found.smallest_gate,
        "warnings": warnings(found),
        "sentence": sentence(found),
    }
