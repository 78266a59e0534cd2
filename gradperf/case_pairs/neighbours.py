"""Does a framework's presence change another's times? Answered by pairs of fresh processes that take turns.

``pytest perf`` computes all cases in one process, with up to four frameworks in it. Each pair here is a process
that imported the case's own framework alone, and one that imported and used all others beside it: the value of the
pair is the log-ratio of their turns, as estimated in :mod:`gradperf.doctor.spread`.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from gradperf.case_pairs.pairing import interval_ranks
from gradperf.case_pairs.worker import Worker
from gradperf.doctor.spread import log_ratio


@dataclass(frozen=True)
class Company:
    """Time of a case in company, as a multiple of its time alone."""

    case: str
    ratio: float
    """Median over the pairs."""
    low: float
    high: float
    """Bounds of the median with a confidence of at least 95 %, by the sign test."""


def measured(cases: Sequence[str], others: Sequence[str], threads: int, pairs: int) -> list[Company]:
    """Time each of ``cases`` alone and beside ``others``, in ``pairs`` pairs of processes, at least 6."""
    low, high = interval_ranks(pairs)
    coin = random.Random()  # noqa: S311 - an order, not a secret
    values: dict[str, list[float]] = {case: [] for case in cases}
    for _ in range(pairs):
        with Worker() as early, Worker() as late:
            company, alone = coin.sample((early, late), 2)
            company.ask("neighbours", threads, *others)
            for case in cases:
                values[case].append(log_ratio(case, threads, (company, alone), coin))
    found = []
    for case, log_ratios in values.items():
        ratios = sorted(map(math.exp, log_ratios))
        found.append(Company(case, median(ratios), ratios[low], ratios[high]))
    return found
