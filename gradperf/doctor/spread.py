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
from gradperf.stats import estimate

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
    return estimate(log_ratios)
