"""Examines this machine: its facts, its noise, and what spoils measuring on it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

from gradperf.case_pairs.measure import busy_cpus
from gradperf.doctor.noise import Noise, measure_noise
from gradperf.frameworks import versions
from gradperf.machine import load, threads
from gradperf.machine.cpus import Cpus, detect_cpus
from gradperf.machine.gpus import Gpu, detect_gpus
from gradperf.machine.libraries import blas
from gradperf.machine.memory import memory_bytes
from gradperf.text.quantities import plural

CASES = ("two_layer_784x30x10-numpy.by_hand-cpu-float64", "tiny_3x2x1-numpy.by_hand-cpu-float32")
"""The first spends its time in the BLAS, the second between calls."""

BUSY_S = 1.0
TIMER_CALLS = 100_000

COARSE_S = 1e-6
"""A clock with longer steps cannot time the shortest cases, which take microseconds."""

MOST_STEAL = 0.01
LEAST_SHARE = 0.9
"""Share of the CPUs that busy processes must get; with less, other work is running."""

ENOUGH = 10
"""With this many processes and pairs, a standard deviation is known to a quarter of itself."""


@dataclass(frozen=True)
class Timer:
    """Facts about ``time.perf_counter``."""

    step_s: float | None
    """The smallest step that was seen; None if the clock never moved."""
    call_s: float
    monotonic: bool
    """Whether the clock is documented never to go back, and did not go back."""


@dataclass(frozen=True)
class Examination:
    """Everything that was measured or read."""

    threads: int
    waiting: str | None
    """How idle threads wait, if there is more than one."""
    start: load.Moment
    end: load.Moment
    cpus: Cpus
    processes: int
    """Busy processes that ran at the same time."""
    measured_cpus: float
    """CPU seconds per second that they got together."""
    memory_bytes: int | None
    gpus: tuple[Gpu, ...] | None
    timer: Timer
    variables: Mapping[str, str]
    """The thread variables as they were before gradperf set them."""
    blas: Mapping[str, Any] | None
    versions: Mapping[str, str]
    noise: tuple[Noise, ...]

    @property
    def steal(self) -> float | None:
        """Share of the wanted CPU time that the host gave to others."""
        return load.steal(self.start.cpu_times, self.end.cpu_times)

    @property
    def samples(self) -> int:
        """Number of processes, and of pairs, behind each number."""
        return min(min(len(noise.moments), len(noise.gate_log_ratios)) for noise in self.noise)

    @property
    def smallest_stored(self) -> float:
        """As of :class:`Noise`, in every case."""
        return max(noise.smallest_stored for noise in self.noise)

    @property
    def smallest_gate(self) -> float:
        """As of :class:`Noise`, in every case."""
        return max(noise.smallest_gate for noise in self.noise)


def examine(
    count: int, seconds: float, variables: Mapping[str, str], show: Callable[[str], None] = lambda now: None
) -> Examination:
    """Measure for about ``seconds`` with ``count`` threads, already bound; ``variables`` is what was set before.

    ``show`` gets what is measured next.
    """
    start_s, start = time.perf_counter(), load.moment()
    cpus = detect_cpus()
    processes = cpus.affinity or cpus.logical or 1
    show(f"measuring what {plural(processes, 'busy process', 'busy processes')} get of the CPUs")
    measured_cpus = busy_cpus(processes, BUSY_S)
    show("reading the clock")
    timer = examine_timer()
    noise = measure_noise(CASES, count, seconds - (time.perf_counter() - start_s), show)
    return Examination(
        threads=count,
        waiting=threads.waiting() if count > 1 else None,
        start=start,
        end=load.moment(),
        cpus=cpus,
        processes=processes,
        measured_cpus=measured_cpus,
        memory_bytes=memory_bytes(),
        gpus=detect_gpus(),
        timer=timer,
        variables=variables,
        blas=blas(),
        versions=versions.installed(),
        noise=tuple(noise),
    )


def examine_timer(calls: int = TIMER_CALLS, batches: int = 10) -> Timer:
    """Read the clock many times in a row: its steps, and the time of a reading in the fastest batch."""
    read, count = time.perf_counter, calls // batches
    rows_s = [[read() for _ in range(count)] for _ in range(batches)]
    steps_s = [after - before for before, after in pairwise(chain.from_iterable(rows_s))]
    return Timer(
        step_s=min((step_s for step_s in steps_s if step_s > 0), default=None),
        call_s=min((row_s[-1] - row_s[0]) / (count - 1) for row_s in rows_s),
        monotonic=time.get_clock_info("perf_counter").monotonic and min(steps_s) >= 0,
    )
