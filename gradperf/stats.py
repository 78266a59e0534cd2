"""How much slower, and how surely: exact answers from the signs and ranks of log-ratios.

The law: **whether the head was launched first or second was a coin flip of ours.** So with no effect beyond the
margin, each value could as well have lain on the other side of the margin, and every pattern of signs was equally
likely. Wilcoxon's signed rank counts how many of the patterns look at least as slow as the one observed: a
randomisation test, hence exact whatever the noise looks like (Fisher, The Design of Experiments, 1935, section 21).
It counts ranks instead of values, so a spike weighs no more than the largest ordinary value.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


def p_slower(values: Sequence[float], margin: float = 0.0) -> float:
    """Exact one-sided p of ``values`` having a location of at most ``margin``; 1 if there are no values.

    The statistic is the sum of the ranks of the values above the margin (Wilcoxon, Biometrics Bulletin 1, 1945);
    equal distances share their ranks' mean (Lehmann, Nonparametrics, 1975, section 3.1). A value at the margin is
    taken for one just below it: it can only speak against a slowdown. Raises ValueError for what is not finite.
    """
    above, doubled = _signed_ranks(values, margin)
    observed = sum(rank for rank, is_above in zip(doubled, above, strict=True) if is_above)
    return float(upper_tail(tuple(doubled))[observed])


def p_faster(values: Sequence[float], margin: float = 0.0) -> float:
    """Exact one-sided p of ``values`` having a location of at least ``-margin``."""
    return p_slower([-value for value in values], margin)


def _signed_ranks(values: Sequence[float], margin: float) -> tuple[list[bool], list[int]]:
    """Sort by the distance from the margin: which values lie above it, and twice the rank of each.

    Twice, because a rank that two values share may be half a number, and a table is indexed by whole ones.
    """
    shifted = sorted((value - margin for value in values), key=abs)
    if not all(map(math.isfinite, shifted)):
        raise ValueError(f"log-ratios have to be finite numbers: {list(values)}, margin {margin}")
    doubled: list[int] = []
    while len(doubled) < len(shifted):
        start = end = len(doubled)
        while end < len(shifted) and abs(shifted[end]) == abs(shifted[start]):
            end += 1
        doubled += [start + 1 + end] * (end - start)  # the ranks start + 1 … end, their mean doubled
    return [value > 0 for value in shifted], doubled


@lru_cache(maxsize=256)
def upper_tail(doubled_ranks: tuple[int, ...]) -> NDArray[np.float64]:
    """P(W ≥ w) for w = 0, 1, …, where each of ``doubled_ranks`` counts towards W with probability ½.

    Ranks are added one by one: with the next, a sum either stays or moves up by it. All is multiples of 2⁻ⁿ, so
    up to 53 ranks no rounding happens at all.
    """
    share = np.zeros(sum(doubled_ranks) + 1)
    share[0] = 1.0
    for rank in doubled_ranks:
        moved = np.zeros_like(share)
        moved[rank:] = share[: share.size - rank]
        share = (share + moved) / 2
    tail: NDArray[np.float64] = np.cumsum(share[::-1])[::-1]
    tail.flags.writeable = False  # it is cached: everybody gets the same one
    return tail


def critical(count: int, level: float) -> int | None:
    """Give the least rank sum of ``count`` values, no two equally far, that has p ≤ ``level``; None if none has."""
    reached = np.flatnonzero(_tail_without_ties(count) <= level)
    return int(reached[0]) if reached.size else None


def p_of_rank_sum(rank_sum: int, count: int) -> float:
    """P(W ≥ ``rank_sum``) for ``count`` values, no two equally far."""
    return float(_tail_without_ties(count)[rank_sum])


def _tail_without_ties(count: int) -> NDArray[np.float64]:
    return upper_tail(tuple(range(2, 2 * count + 2, 2)))[::2]


def walsh_averages(values: Sequence[float]) -> NDArray[np.float64]:
    """Means of any two values, each value also with itself, in order: (n·(n + 1)/2,)."""
    array = np.asarray(values, dtype=np.float64)
    first, second = _two_of(array.size)
    means: NDArray[np.float64] = np.sort((array[first] + array[second]) / 2)
    return means


@lru_cache(maxsize=128)
def _two_of(count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    return np.triu_indices(count)


def estimate(values: Sequence[float]) -> float:
    """Median of the Walsh averages (Hodges and Lehmann, Annals of Mathematical Statistics 34, 1963).

    It is the margin at which the test is least able to decide. Raises ValueError without values.
    """
    if not values:
        raise ValueError("no values, so nothing to estimate")
    means = walsh_averages(values)
    return float(means[(means.size - 1) // 2] + means[means.size // 2]) / 2


def interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """Bounds of the margins that no one-sided test at (1 − ``confidence``)/2 rejects; infinite for too few values.

    The rank sum at a margin is the number of Walsh averages above it (Tukey 1949; Lehmann, Nonparametrics, 1975,
    section 4.3). So the test rejects a margin exactly if it lies below the k-th smallest of the N averages, where
    N − k + 1 is the test's critical value.
    """
    needed = critical(len(values), (1 - confidence) / 2)
    if needed is None:
        return -math.inf, math.inf
    means = walsh_averages(values)
    rank = means.size - needed  # from 0: below this one, ``needed`` averages lie above
    return float(means[rank]), float(means[needed - 1])
