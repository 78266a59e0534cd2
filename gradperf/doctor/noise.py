"""Measures the noise of this machine by timing equal code against itself; smaller changes cannot be shown.

Two ways of comparing are tried, each with fresh processes. They alternate, so that both see the same minute.

- **Stored runs**: one process after another times the cases as ``pytest perf`` does, and medians are compared.
- **The gate**: two processes take turns, by the engine of the gate.
"""

import math
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from gradperf.case_pairs.measure import Role, measure, median_s
from gradperf.cases import Settings
from gradperf.gate.decision.trial import Plan
from gradperf.stats import detectable_effect, prediction_bound

ROUNDS_S = 0.2
LEAST_ROUNDS = 5
"""Seconds and least number of rounds of ``pytest perf``: its options in pyproject.toml."""

PLAN = Plan()
"""The gate's default number of pairs, its alpha and its margin."""

POWER = 0.95
"""Probability with which the gate should reach its alpha."""

CONFIDENCE = 0.95
"""Share of the comparisons of equal code in which stored runs differ by less than the smallest change."""

LEAST = 2
"""Least number of processes, and of pairs, whatever the time: a single one has no spread."""


@dataclass(frozen=True)
class Noise:
    """The differences of one case from itself."""

    case: str
    stored_s: tuple[float, ...]
    """Median seconds of one call, one entry per process."""
    gate_log_ratios: tuple[float, ...]
    """One value per pair of processes."""

    @property
    def stored_sigma(self) -> float:
        """Standard deviation of the log medians."""
        return stdev(map(math.log, self.stored_s))

    @property
    def gate_sigma(self) -> float:
        """Root mean square of the values: equal code has the mean 0, which need not be estimated."""
        return math.sqrt(fmean(value**2 for value in self.gate_log_ratios))

    @property
    def smallest_stored(self) -> float:
        """Smallest change, as a share, that a comparison of two stored runs could show."""
        return math.expm1(prediction_bound(self.stored_sigma, len(self.stored_s), CONFIDENCE))

    @property
    def smallest_gate(self) -> float:
        """Smallest slowdown, as a share, that the gate can show beyond its margin, in one case.

        With many cases the gate corrects for their number: then the slowdown must be larger.
        """
        degrees = min(PLAN.confirm - 1, len(self.gate_log_ratios))
        effect = detectable_effect(self.gate_sigma, PLAN.confirm, degrees, level=PLAN.alpha, power=POWER)
        return math.expm1(PLAN.margin + effect)


def measure_noise(cases: Sequence[str], threads: int, seconds: float) -> list[Noise]:
    """Time each of ``cases`` against itself for about ``seconds``, but at least :data:`LEAST` times each way."""
    settings = Settings(threads=threads)
    coin = random.Random()  # noqa: S311 - an order, not a secret
    role = Role(tuple(cases))
    stored: dict[str, list[float]] = {case: [] for case in cases}
    gated: dict[str, list[float]] = {case: [] for case in cases}
    for _ in _repeat(seconds):
        for case, call_s in median_s(cases, settings, ROUNDS_S, LEAST_ROUNDS).items():
            stored[case].append(call_s)
        for case, value in zip(cases, measure(role, role, settings, coin, equal_calls=True), strict=True):
            gated[case].append(value.log_ratio)
    return [Noise(case, tuple(stored[case]), tuple(gated[case])) for case in cases]


def _repeat(seconds: float) -> Iterator[int]:
    """Count while one more repetition of the same length fits into ``seconds``."""
    start_s, done = time.perf_counter(), 0
    while done < LEAST or (time.perf_counter() - start_s) * (done + 1) / done <= seconds:
        yield done
        done += 1
