"""Equal code timed against itself: the noise of a machine decides which changes it can show.

Two ways of comparing are tried, each with fresh processes. They alternate, so that both see the same minute.

- **Stored runs**: one process after another times the cases as ``pytest perf`` does, and medians are compared.
- **The gate**: two processes take turns, by the engine of the gate.

Runs that were stored hours apart differ by more than this can measure.
"""

import math
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from gradperf.case_pairs.measure import Role, measure, median_s
from gradperf.cases import Settings

ROUNDS_S = 0.2
LEAST_ROUNDS = 5
"""How long ``pytest perf`` calls a case, and how often at least: its options in pyproject.toml."""

GATE_PAIRS = 24
GATE_P = 0.01
POWER = 0.95
"""The gate takes this many pairs, and should reach a one-sided p of at most .01 with a probability of 95 %."""

CONFIDENCE = 0.95
"""Two stored runs of equal code differ by less than what they can show, in this share of comparisons."""

LEAST = 2
"""Processes, and pairs, that are measured however long it takes: a single one has no spread."""


@dataclass(frozen=True)
class Noise:
    """How much one case differed from itself."""

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
        return smallest_stored(self.stored_sigma, len(self.stored_s))

    @property
    def smallest_gate(self) -> float:
        """Smallest change, as a share, that the gate can show."""
        return smallest_gate(self.gate_sigma, len(self.gate_log_ratios))


def smallest_stored(sigma: float, processes: int) -> float:
    """Give the change that two stored runs without any exceed in 5 % of all comparisons.

    The log-ratio of two new medians has the standard deviation √2·σ. Divided by √2·s, where s is the estimate of σ
    from n other processes, it follows Student's t with n − 1 degrees of freedom, if log medians are normal: so its
    absolute value stays below t(.975, n − 1)·√2·s in 95 % of all comparisons (the prediction interval, as in Hahn
    and Meeker, Statistical Intervals, 1991, chapter 4). Few processes make it large, as they should.
    """
    return math.expm1(t_quantile((1 + CONFIDENCE) / 2, processes - 1) * math.sqrt(2) * sigma)


def smallest_gate(sigma: float, measured: int = GATE_PAIRS, pairs: int = GATE_PAIRS) -> float:
    """Give the slowdown at which ``pairs`` pairs of processes come to p ≤ .01, one-sided, with probability 95 %.

    The mean of n values has the standard error σ/√n; it must exceed t(.99, n − 1) of them, and does so with
    probability .95 from (t(.99, n − 1) + t(.95, n − 1))·σ/√n on: the usual sample-size formula, solved for the
    difference (Snedecor and Cochran, Statistical Methods, 8th edition, section 6.14). The gate's sign-flip test
    has nearly the power of the t test. Where σ was ``measured`` in fewer pairs than that, t has their degrees of
    freedom: few pairs make the answer large, as they should. A margin that the gate wants to be exceeded comes on
    top, and so does its correction for many cases.
    """
    degrees = min(pairs - 1, measured)
    return math.expm1((t_quantile(1 - GATE_P, degrees) + t_quantile(POWER, degrees)) * sigma / math.sqrt(pairs))


def t_quantile(probability: float, degrees: int) -> float:
    """Quantile, above the median, of Student's t; raises ValueError for less than one degree of freedom.

    Bisection on the angle θ = atan(t/√ν), of which the distribution is a finite sum: Abramowitz and Stegun,
    Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
    """
    if degrees < 1 or not 0.5 <= probability < 1:
        raise ValueError(f"no quantile {probability} of t with {degrees} degrees of freedom")
    low, high = 0.0, math.pi / 2
    for _ in range(60):  # halves of the interval, until floats know no smaller one
        middle = (low + high) / 2
        low, high = (middle, high) if (1 + _within(middle, degrees)) / 2 < probability else (low, middle)
    return math.sqrt(degrees) * math.tan(low)


def _within(theta: float, degrees: int) -> float:
    """Probability that |t| is below √ν·tan θ."""
    odd = degrees % 2
    term = math.cos(theta) if odd else 1.0
    total = 0.0
    for k in range(degrees // 2):
        total += term
        # Odd: 1, 2/3, 2·4/(3·5), …; even: 1, 1/2, 1·3/(2·4), …
        term *= math.cos(theta) ** 2 * (2 * k + 1 + odd) / (2 * k + 2 + odd)
    return 2 / math.pi * (theta + math.sin(theta) * total) if odd else math.sin(theta) * total


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
    """Count, while one more repetition of the same length fits into ``seconds``."""
    start_s, done = time.perf_counter(), 0
    while done < LEAST or (time.perf_counter() - start_s) * (done + 1) / done <= seconds:
        yield done
        done += 1
