"""Equal code timed against itself: what a machine makes of no change at all is the smallest change it can show.

Two ways of comparing are put to this test, each with fresh processes:

- **stored runs**: one process after another times the case as ``pytest perf`` would, and medians are compared;
- **the gate**: two processes take turns on one CPU, and the value of the pair is the Hodges-Lehmann estimate of
  the log-ratios of their turns.

They alternate, so that both see the same minute. Runs that lie hours apart differ by more than this can see.
"""

import math
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from gradperf.case_pairs.worker import Worker
from gradperf.gate.measuring.replicate import shape
from gradperf.gate.measuring.worker import cpus
from gradperf.stats import detectable_effect, hodges_lehmann, prediction_bound

ROUNDS_S = 0.2
LEAST_ROUNDS = 5
"""How long, and how often at least, ``pytest perf`` calls a case: its options in pyproject.toml."""

GATE_PAIRS = 24
GATE_P = 0.01
POWER = 0.95
"""The gate takes so many pairs of processes, and is to come to a one-sided p ≤ .01 with a probability of 95 %."""

CONFIDENCE = 0.95
"""Two stored runs differ by less than what they can show in so many of all comparisons without a change."""

LEAST = 2
"""Processes, and pairs, that are measured whatever time it takes: one has no spread."""


@dataclass(frozen=True)
class Spread:
    """How one case differed from itself."""

    case: str
    stored_s: tuple[float, ...]
    """Median seconds of one call; one entry per process."""
    gate_log_ratios: tuple[float, ...]
    """Estimate from the log-ratios of the turns; one entry per pair of processes."""

    @property
    def stored_sigma(self) -> float:
        """Standard deviation of the log medians."""
        return stdev(map(math.log, self.stored_s))

    @property
    def gate_sigma(self) -> float:
        """Root mean square of the pairs' values: equal code has the mean 0, which need not be estimated."""
        return math.sqrt(fmean(value**2 for value in self.gate_log_ratios))

    @property
    def smallest_stored(self) -> float:
        """Smallest change, as a share, that a comparison of two stored runs could show."""
        return math.expm1(prediction_bound(self.stored_sigma, len(self.stored_s), CONFIDENCE))

    @property
    def smallest_gate(self) -> float:
        """Smallest slowdown, as a share, that the gate can show.

        A margin that the gate wants to be exceeded comes on top, and so does its correction for many cases.
        """
        degrees = min(GATE_PAIRS - 1, len(self.gate_log_ratios))
        return math.expm1(detectable_effect(self.gate_sigma, GATE_PAIRS, degrees, level=GATE_P, power=POWER))


def measured(cases: Sequence[str], threads: int, seconds: float) -> list[Spread]:
    """Time each of ``cases`` against itself for about ``seconds``, but at least :data:`LEAST` times each way."""
    coin = random.Random()  # noqa: S311 - an order, not a secret
    stored: dict[str, list[float]] = {case: [] for case in cases}
    gated: dict[str, list[float]] = {case: [] for case in cases}
    start_s = time.perf_counter()
    for _ in _repeat(start_s, seconds):
        for case, median_s in stored_run(cases, threads).items():
            stored[case].append(median_s)
        for case, log_ratio in process_pair(cases, threads, coin).items():
            gated[case].append(log_ratio)
    return [Spread(case, tuple(stored[case]), tuple(gated[case])) for case in cases]


def _repeat(start_s: float, seconds: float) -> Iterator[int]:
    """Count, while one more of the same length still fits into ``seconds``."""
    done = 0
    while done < LEAST or (time.perf_counter() - start_s) * (done + 1) / done <= seconds:
        yield done
        done += 1


def stored_run(cases: Sequence[str], threads: int) -> dict[str, float]:
    """Median seconds of one call of each case, from one fresh process."""
    medians_s = {}
    with Worker() as worker:
        for case in cases:
            call_s = worker.ask("prepare", case, threads)["call_s"]
            rounds = max(LEAST_ROUNDS, round(ROUNDS_S / call_s))
            medians_s[case] = float(worker.ask("rounds", rounds)["median_s"])
    return medians_s


def process_pair(cases: Sequence[str], threads: int, coin: random.Random) -> dict[str, float]:
    """Log-ratio of the turns of two fresh processes, for each case; who is launched first is drawn."""
    log_ratios = {}
    with Worker() as early, Worker() as late:
        sides = coin.sample((early, late), 2)
        for case in cases:
            log_ratios[case] = log_ratio(case, threads, sides, coin, one_cpu=threads == 1)
    return log_ratios


def log_ratio(
    case: str, threads: int, sides: Sequence[Worker], coin: random.Random, *, one_cpu: bool = False
) -> float:
    """Have two processes take turns at ``case``: log-ratio of the first's times to the second's, an estimate.

    On one CPU, where it is asked for and the system can, as the gate's processes do.
    """
    for side in sides:
        side.send("prepare", case, threads)
    call_s = sum(side.answer()["call_s"] for side in sides) / 2
    told = {"call_s": call_s, "round_s": call_s, "calls_left": None}
    calls, turns, _ = shape(told, told)
    if one_cpu and (numbers := cpus()):
        cpu = coin.choice(numbers)
        for side in sides:
            side.ask("cpu", cpu)
    order = [0, 1] * math.ceil(turns / 2)  # which side begins: either equally often
    coin.shuffle(order)
    log_ratios = []
    for begins in order:
        taken_s = [0.0, 0.0]
        for turn in (begins, 1 - begins):
            taken_s[turn] = sides[turn].ask("turn", calls)["call_s"]
        log_ratios.append(math.log(taken_s[0] / taken_s[1]))
    return hodges_lehmann(log_ratios)
