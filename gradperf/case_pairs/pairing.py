"""Two functions timed in turns, in one process: the ratio of their times, pair by pair.

The time of one function moves by 12–22 % from process to process on a shared machine, and drifts within one. Two
that take turns share the drift, so their ratio is known ten times better than either time. What is left in the
ratio is what differs between processes, such as the layout of memory: repeat the command to see it.
"""

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

Call = Callable[[], Any]


@dataclass(frozen=True)
class Paired:
    """Time of the first as a multiple of the second's."""

    ratio: float
    """Median over the pairs."""
    low: float
    high: float
    """Bounds of the median with a confidence of at least 95 %, from the sign test: no shape is assumed."""
    pairs: int
    first_s: float
    second_s: float
    """Median seconds of one call."""


def paired(first: Call, second: Call, *, pairs: int, turn_s: float = 0.01, seed: int = 0) -> Paired:
    """Time ``pairs`` pairs of turns, each turn of about ``turn_s`` seconds, in an order drawn anew for each pair.

    Raises ValueError for fewer than 6 pairs, which allow no 95 % interval.
    """
    low, high = interval_ranks(pairs)
    calls = (first, second)
    repeats = [max(1, round(turn_s / _seconds(call, 1))) for call in calls]
    order = random.Random(seed)  # noqa: S311 - an order, not a secret
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(pairs):
        for side in order.sample((0, 1), 2):
            times[side].append(_seconds(calls[side], repeats[side]))
    ratios = sorted(a / b for a, b in zip(*times, strict=True))
    return Paired(median(ratios), ratios[low], ratios[high], pairs, median(times[0]), median(times[1]))


def _seconds(call: Call, repeats: int) -> float:
    """Seconds of one call, on average over ``repeats``."""
    start_s = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start_s) / repeats


def interval_ranks(count: int) -> tuple[int, int]:
    """Indices, in sorted order, of the bounds that hold the median with a confidence of at least 95 %.

    The number of values below the median is binomial(count, ½): the bounds leave out at most 2.5 % on each side.
    """
    below, rank = 0.0, -1
    while below + math.comb(count, rank + 1) / 2**count <= 0.025:
        rank += 1
        below += math.comb(count, rank) / 2**count
    if rank < 0:
        raise ValueError(f"{count} pairs allow no 95 % interval; at least 6 do")
    return rank, count - 1 - rank
