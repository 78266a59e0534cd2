"""What this machine can measure: its facts, what spoils them, and the smallest change that shows on it.

:func:`examine` measures, :func:`warnings` judges, :func:`told` and :func:`record` tell the same to people and to
programs. Nothing is judged that was not measured here, and every number that rests on few processes says so.
"""

import textwrap
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import chain, pairwise
from typing import Any

from gradperf import frameworks
from gradperf.case_pairs.worker import Worker
from gradperf.doctor import spread
from gradperf.doctor.spread import Spread
from gradperf.frameworks import versions
from gradperf.machine import load
from gradperf.machine.cpus import Cpus, detect_cpus
from gradperf.machine.gpus import Gpu, detect_gpus
from gradperf.machine.libraries import blas
from gradperf.machine.memory import memory_bytes

CASES = ("two_layer_784x30x10-numpy.by_hand-cpu-float64", "tiny_3x2x1-numpy.by_hand-cpu-float32")
"""One that spends its time in the BLAS, one that spends it between calls."""

WIDTH = 80

BUSY_S = 1.0
TIMER_CALLS = 100_000

COARSE_S = 1e-6
"""A clock with longer steps cannot time the shortest cases, which take microseconds."""

STOLEN = 0.01
KEPT = 0.9
"""Share of the CPUs that busy processes must get, for the machine to count as ours."""

ENOUGH = 10
"""Processes, and pairs of them, from which on a standard deviation is known to a quarter of itself."""


@dataclass(frozen=True)
class Timer:
    """What ``time.perf_counter`` can tell."""

    step_s: float | None
    """The smallest step that it was seen to make; None where it never moved."""
    call_s: float
    monotonic: bool
    """It claims never to go back, and was not seen to."""


@dataclass(frozen=True)
class Examined:
    """Everything that the doctor found."""

    threads: int
    start: load.Moment
    end: load.Moment
    cpus: Cpus
    processes: int
    """Busy processes that ran at once, and what they got:"""
    measured_cpus: float
    memory_bytes: int | None
    gpus: tuple[Gpu, ...] | None
    timer: Timer
    variables: Mapping[str, str]
    """The thread variables as they were found, before gradperf set them."""
    blas: Mapping[str, Any] | None
    versions: Mapping[str, str]
    spreads: tuple[Spread, ...]

    @property
    def steal(self) -> float | None:
        """Share of the wanted CPU time that the host gave to others meanwhile."""
        return load.steal(self.start.cpu_times, self.end.cpu_times)

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.end.at - self.start.at).total_seconds()

    @property
    def samples(self) -> int:
        """Processes, and pairs of them, on which each number rests."""
        return min(min(len(spread.stored_s), len(spread.gate_log_ratios)) for spread in self.spreads)

    @property
    def smallest_stored(self) -> float:
        """Smallest change that two stored runs can show in every case that was measured."""
        return max(spread.smallest_stored for spread in self.spreads)

    @property
    def smallest_gate(self) -> float:
        """Smallest change that the gate can show in every case that was measured."""
        return max(spread.smallest_gate for spread in self.spreads)


def examine(threads: int, seconds: float, variables: Mapping[str, str]) -> Examined:
    """Measure for about ``seconds``. The threads must be bound already; ``variables`` is what was set before."""
    start_s, start = time.perf_counter(), load.moment()
    cpus = detect_cpus()
    processes = cpus.affinity or cpus.logical or 1
    measured_cpus = busy(processes, BUSY_S)
    found = timer()
    spreads = spread.measured(CASES, threads, seconds - (time.perf_counter() - start_s))
    return Examined(
        threads=threads,
        start=start,
        end=load.moment(),
        cpus=cpus,
        processes=processes,
        measured_cpus=measured_cpus,
        memory_bytes=memory_bytes(),
        gpus=detect_gpus(),
        timer=found,
        variables=variables,
        blas=blas(),
        versions=versions.installed(),
        spreads=tuple(spreads),
    )


def busy(processes: int, seconds: float) -> float:
    """CPU seconds per second that so many busy processes get together."""
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker()) for _ in range(processes)]
        for worker in workers:
            worker.ask("busy", 0)  # is there, and awake
        for worker in workers:
            worker.send("busy", seconds)
        answers = [worker.answer() for worker in workers]
    return float(sum(answer["cpu_s"] / answer["wall_s"] for answer in answers))


def timer(calls: int = TIMER_CALLS, batches: int = 10) -> Timer:
    """Read the clock in a row: its steps, and what a reading costs in the fastest of the batches."""
    read, count = time.perf_counter, calls // batches
    rows_s = [[read() for _ in range(count)] for _ in range(batches)]
    steps_s = [after - before for before, after in pairwise(chain.from_iterable(rows_s))]
    return Timer(
        step_s=min((step_s for step_s in steps_s if step_s > 0), default=None),
        call_s=min((row_s[-1] - row_s[0]) / (count - 1) for row_s in rows_s),
        monotonic=time.get_clock_info("perf_counter").monotonic and min(steps_s) >= 0,
    )


def warnings(found: Examined) -> list[str]:
    """Tell in words what spoils measuring here."""
    cpus, told = found.cpus, []
    effective = cpus.effective or found.processes
    if found.start.load is not None and found.start.load > effective:
        told.append(
            f"The load was {found.start.load:.1f} before this began, with {effective:g} effective CPUs: "
            "other work is waiting for the same CPUs. Stop it, or wait."
        )
    if found.measured_cpus < KEPT * effective:
        told.append(
            f"{plural(found.processes, 'busy process', 'busy processes')} got {found.measured_cpus:.2f} CPUs, and "
            f"{effective:g} were promised: other work is running, or the host gives less than it says."
        )
    if min(effective, found.measured_cpus / KEPT) < found.threads:
        told.append(
            f"{plural(found.threads, 'thread')} asked for, and {min(effective, found.measured_cpus):.2g} effective "
            "CPUs there: a timing will hold the time spent waiting for a CPU."
        )
    if (stolen := found.steal) is not None and stolen > STOLEN:
        told.append(
            f"The host took {percent(stolen)} of the CPU time that was wanted here (steal): timings will have "
            "outliers, whatever is done inside this machine."
        )
    if cpus.governor not in (None, "performance"):
        told.append(
            f"The clock is set by the governor {cpus.governor!r}, and moves with the load. "
            "`cpupower frequency-set -g performance` holds it."
        )
    if found.timer.step_s is None or found.timer.step_s > COARSE_S:
        told.append(
            f"The timer moves in steps of {seconds_told(found.timer.step_s)}: too coarse for cases of microseconds."
        )
    if not found.timer.monotonic:
        told.append("The timer may go back: a timing may be too short, or negative.")
    for name, library in (found.blas or {}).get("loaded", {}).items():
        if library["num_threads"] != found.threads:
            told.append(
                f"{name} runs {plural(library['num_threads'], 'thread')} instead of {found.threads}: "
                "it does not heed the thread variables."
            )
    if found.samples < ENOUGH:
        told.append(
            f"Only {found.samples} processes and as many pairs fitted into the time given: the smallest changes "
            "below are guesses. Give more, such as --seconds 60."
        )
    return told


def told(found: Examined) -> list[str]:
    """Tell everything in lines of 80 columns."""
    lines = [""]
    for label, text in _facts(found).items():
        lines += textwrap.wrap(text, WIDTH, initial_indent=f"{label:10}", subsequent_indent=" " * 10)
    lines += [
        "",
        *textwrap.wrap(
            f"Equal code against itself, {found.samples} processes and {found.samples} pairs of processes in "
            f"{found.seconds:.0f} s: their standard deviation → the smallest change that shows. Runs stored hours "
            "apart differ more than this can see.",
            WIDTH,
        ),
        f"{'':46}{'stored runs':>17}{'gate':>17}",
    ]
    for one in found.spreads:
        stored, gate = (
            f"{percent(sigma)} → {percent(smallest)}"
            for sigma, smallest in (
                (one.stored_sigma, one.smallest_stored),
                (one.gate_sigma, one.smallest_gate),
            )
        )
        lines.append(f"{one.case:46}{stored:>17}{gate:>17}")
    for warning in warnings(found):
        lines += ["", *textwrap.wrap(f"WARNING: {warning}", WIDTH, break_on_hyphens=False)]
    return [*lines, "", *textwrap.wrap(sentence(found), WIDTH)]


def sentence(found: Examined) -> str:
    """Give the verdict, and say where it is a guess."""
    few = f" Both are guesses, from {found.samples} of each." if found.samples < ENOUGH else ""
    return (
        f"Comparing stored runs here cannot show a change below {percent(found.smallest_stored)}; "
        f"the gate can show {percent(found.smallest_gate)}.{few}"
    )


def _facts(found: Examined) -> dict[str, str]:
    """Tell each fact under its label."""
    cpus, timer = found.cpus, found.timer
    unknown = "not told here"
    quota = "no quota" if cpus.quota is None else f"a quota of {cpus.quota:g}"
    mask = "a mask that is not told" if cpus.affinity is None else f"{cpus.affinity} in the mask of this process"
    gpus = "none: nvidia-smi is missing, or does not answer" if found.gpus is None else "none"
    as_found = ", ".join(f"{name}={value}" for name, value in found.variables.items())
    absent = [name for name in frameworks.names() if name not in found.versions]
    return {
        "CPU": f"{cpus.model or 'of unknown model'}; {plural(cpus.logical or 0, 'logical CPU')}, {mask}, {quota}: "
        f"{cpus.effective or 0:g} effective",
        "measured": f"{plural(found.processes, 'busy process', 'busy processes')} got {found.measured_cpus:.2f} "
        "CPU seconds per second",
        "governor": cpus.governor or f"{unknown}, as in most virtual machines",
        "load": unknown
        if found.start.load is None or found.end.load is None
        else f"{found.start.load:.2f} before this began, {found.end.load:.2f} after it (this adds up to "
        f"{found.processes})",
        "steal": unknown if found.steal is None else f"{percent(found.steal)} of the CPU time wanted meanwhile",
        "memory": unknown if found.memory_bytes is None else f"{found.memory_bytes / 2**30:.1f} GiB",
        "GPU": "; ".join(f"{gpu.name}, {gpu.memory}, driver {gpu.driver}" for gpu in found.gpus or ()) or gpus,
        "timer": f"steps of {seconds_told(timer.step_s)}, {seconds_told(timer.call_s)} a reading, "
        f"{'monotonic' if timer.monotonic else 'NOT monotonic'}",
        "threads": f"{found.threads}, set by gradperf; found {as_found or 'no thread variable set'}",
        "BLAS": _blas(found.blas),
        "versions": ", ".join(f"{name} {number}" for name, number in found.versions.items())
        + (f"; not installed: {', '.join(absent)}" if absent else ""),
    }


def _blas(blas: Mapping[str, Any] | None) -> str:
    if not blas:
        return "not told by numpy"
    built = f"numpy built with {blas['name']} {blas['version']}"
    loaded = [
        f"{name} {library['version']} for {library['architecture']}, {library['threading_layer']}, "
        f"{plural(library['num_threads'], 'thread')}"
        for name, library in blas["loaded"].items()
    ]
    return f"{built}; loaded: {'; '.join(loaded) or 'none that threadpoolctl knows'}"


def record(found: Examined) -> dict[str, Any]:
    """Give the same, and the timings that it rests on, ready for JSON."""
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
        "threads": {"asked": found.threads, "variables_found": dict(found.variables)},
        "blas": found.blas,
        "versions": dict(found.versions),
        "spreads": [
            {
                **asdict(one),
                "stored_sigma": one.stored_sigma,
                "gate_sigma": one.gate_sigma,
                "smallest_stored": one.smallest_stored,
                "smallest_gate": one.smallest_gate,
            }
            for one in found.spreads
        ],
        "smallest_stored": found.smallest_stored,
        "smallest_gate": found.smallest_gate,
        "warnings": warnings(found),
        "sentence": sentence(found),
    }


def percent(share: float) -> str:
    """Give a share with as many digits as mean something: ``12 %``, ``1.3 %``, ``0.05 %``; far out, a bound."""
    number = 100 * share
    if number >= 999.5:
        return ">999 %"
    return f"{number:.0f} %" if number >= 9.95 else f"{number:.1f} %" if number >= 0.095 else f"{number:.1g} %"


def seconds_told(seconds: float | None) -> str:
    """Give a short time: ``41 ns``; None is longer than what was waited for."""
    if seconds is None:
        return "more than was waited for"
    for unit, name in ((1e-3, "ms"), (1e-6, "µs")):
        if seconds >= unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds / 1e-9:.3g} ns"


def plural(number: float, one: str, many: str = "") -> str:
    """Give the number with its noun: ``1 thread``, ``2 threads``."""
    return f"{number:g} {one if number == 1 else many or f'{one}s'}"
