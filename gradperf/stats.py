"""All statistics of the package, as pure functions of numbers.

The values are log-ratios, one for each pair of processes: above 0, the head is slower. A *margin* is the largest
change that is of no interest.

**One test decides: the better of the sign test and the signed-rank test.** A benchmark may have two speeds, and
draw one in each process. Such rare wild values have the largest ranks, so that they hide a slowdown from the
signed-rank test; the sign test counts them like any others. Without wild values the signed-rank test sees more.
The statistic is the smaller p of the two, and its own p comes from the joint distribution of both, so that
nothing is lost to a correction for two tests.

Why it is exact: whether base or head starts first is drawn at random. So without a change beyond the margin, a
value is as likely to lie above the margin as below it, at the same distance, and all 2ⁿ patterns of signs are
equally likely. p is the share of them that look at least as slow as the observed one: a randomisation test
(Fisher, The Design of Experiments, 1935, section 21).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist, fmean, stdev

import numpy as np
from numpy.typing import NDArray

_NORMAL = NormalDist()
_NORMAL_QUARTILE = _NORMAL.inv_cdf(0.75)

ROUNDING = 1e-12
"""Relative error of probabilities that are summed in different orders."""


def p_slower(values: Sequence[float], margin: float = 0.0) -> float:
    """Return the exact one-sided p-value of the null hypothesis that the location is at most ``margin``.

    The sum of the ranks of the values above the margin is the number of Walsh averages above it (Tukey 1949;
    Lehmann, Nonparametrics, 1975, section 4.3). What is equal to the margin counts as below it. So a tie or a
    value at the margin can only raise p, and p never falls when the margin grows. Without values p is 1. Raises
    ValueError if a value is not finite.
    """
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all() or not math.isfinite(margin):
        raise ValueError(f"values must be finite: {list(values)}, margin {margin}")
    above = int((array > margin).sum())
    rank_sum = int((walsh_averages(values) > margin).sum())
    return float(_null(array.size).p[above, rank_sum])


def p_faster(values: Sequence[float], margin: float = 0.0) -> float:
    """Return the exact one-sided p-value of the null hypothesis that the location is at least ``-margin``."""
    return p_slower([-value for value in values], margin)


@dataclass(frozen=True)
class _Null:
    """What coin flips do to the number of values above the margin, and to the sum of their ranks."""

    better: NDArray[np.float64]
    """By number and rank sum: the smaller p of the two tests."""
    p: NDArray[np.float64]
    """By the same: the probability of a smaller p that is at most this one."""
    of_number: NDArray[np.float64]
    of_rank_sum: NDArray[np.float64]
    """p of each of the two tests alone."""


@lru_cache(maxsize=256)
def _null(count: int) -> _Null:
    """Return the joint distribution for ``count`` values; up to 53 values nothing is rounded."""
    probability = np.zeros((count + 1, count * (count + 1) // 2 + 1))
    probability[0, 0] = 1.0
    for rank in range(1, count + 1):
        moved = np.zeros_like(probability)
        moved[1:, rank:] = probability[:-1, :-rank]
        probability = (probability + moved) / 2
    of_number, of_rank_sum = (_upper_tail(probability.sum(axis=axis)) for axis in (1, 0))
    better = np.minimum(of_number[:, None], of_rank_sum[None, :])
    order = np.argsort(better, axis=None)
    ordered = better.ravel()[order]
    last_equal = np.searchsorted(ordered, ordered * (1 + ROUNDING), side="right") - 1
    p = np.empty_like(better)
    p.ravel()[order] = np.minimum(1.0, np.cumsum(probability.ravel()[order])[last_equal])
    for array in (better, p, of_number, of_rank_sum):
        array.flags.writeable = False  # the cache returns these very arrays again
    return _Null(better, p, of_number, of_rank_sum)


def _upper_tail(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    tail: NDArray[np.float64] = np.cumsum(probabilities[::-1])[::-1]
    return tail


@lru_cache(maxsize=256)
def critical(count: int, level: float) -> tuple[int, int] | None:
    """Return what has p ≤ ``level``: this number of values above the margin, or this rank sum; None if nothing has.

    One of the two is enough. A number that cannot be reached means that the other one is needed.
    """
    null = _null(count)
    significant = null.better[null.p <= level]
    if not significant.size:
        return None
    most = significant.max() * (1 + ROUNDING)
    return int((null.of_number > most).sum()), int((null.of_rank_sum > most).sum())


def lower_bounds(samples: NDArray[np.float64], level: float) -> NDArray[np.float64]:
    """Return by row of ``samples`` the smallest margin that is not rejected at ``level``; -∞ for few values."""
    runs, count = samples.shape
    needed = critical(count, level)
    if needed is None:
        return np.full(runs, -math.inf)
    first, second = _pairs(count)
    bounds = np.full(runs, -math.inf)
    for locations, most in zip((samples, (samples[:, first] + samples[:, second]) / 2), needed, strict=True):
        if most <= locations.shape[1]:
            place = locations.shape[1] - most
            bounds = np.maximum(bounds, np.partition(locations, place, axis=1)[:, place])
    return bounds


def interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """Return the confidence interval of the location; infinite bounds for too few values.

    It holds the margins that neither one-sided test rejects at level (1 − ``confidence``)/2.
    """
    both = np.asarray([values, [-value for value in values]], dtype=np.float64)
    low, high = lower_bounds(both, (1 - confidence) / 2)
    return float(low), -float(high)


def location(values: Sequence[float], confidence: float = 0.95) -> float:
    """Return the Hodges-Lehmann estimate, or the nearest point of the interval.

    The estimate lies in the interval of the signed rank, but where the signs know more, it may lie outside theirs.
    Raises ValueError without values.
    """
    low, high = interval(values, confidence) if len(values) else (-math.inf, math.inf)
    return min(max(hodges_lehmann(values), low), high)


def walsh_averages(values: Sequence[float]) -> NDArray[np.float64]:
    """Return the means of all pairs of values, each value paired with itself too, sorted: (n·(n + 1)/2,)."""
    array = np.asarray(values, dtype=np.float64)
    first, second = _pairs(array.size)
    return np.sort((array[first] + array[second]) / 2)


@lru_cache(maxsize=128)
def _pairs(count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    return np.triu_indices(count)


def hodges_lehmann(values: Sequence[float]) -> float:
    """Return the median of the Walsh averages (Hodges and Lehmann, Annals of Mathematical Statistics 34, 1963).

    It is the location that belongs to the signed-rank test. Raises ValueError without values.
    """
    if len(values) == 0:
        raise ValueError("no values to estimate a location from")
    return float(np.median(walsh_averages(values)))


def hodges_lehmann_error(values: Sequence[float]) -> float:
    """Return the standard error of the Hodges-Lehmann estimate of normal values; it ignores outliers.

    The median absolute deviation estimates σ. The variance of the estimate is π/3 that of the mean (Lehmann,
    Nonparametrics, 1975, section 4.3).
    """
    array = np.asarray(values, dtype=np.float64)
    sigma = float(np.median(np.abs(array - np.median(array)))) / _NORMAL_QUARTILE
    return math.sqrt(math.pi / 3) * sigma / math.sqrt(array.size)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the adjusted p-values: at most α of the runs without an effect have any of them at or below α.

    The smallest is multiplied by the number of values n, the next by n − 1, and so on; none may be smaller than the
    one before (Holm, Scandinavian Journal of Statistics 6, 1979).
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(np.minimum(1.0, np.arange(p.size, 0, -1) * p[order]))
    return [float(value) for value in adjusted]


def p_slower_t(values: Sequence[float], margin: float = 0.0) -> float:
    """Return the one-sided p-value of Student's t test, which takes the values for normal; 1 for fewer than two."""
    if len(values) < 2:
        return 1.0
    above = fmean(values) - margin
    error = stdev(values) / math.sqrt(len(values))
    if not error:
        return float(above <= 0)
    degrees = len(values) - 1
    within = _t_within(math.atan(abs(above) / error / math.sqrt(degrees)), degrees)
    return (1 - within) / 2 if above > 0 else (1 + within) / 2


def t_interval(values: Sequence[float], confidence: float) -> tuple[float, float]:
    """Return Student's confidence interval of the mean of normal values; infinite bounds for fewer than two."""
    if len(values) < 2:
        return -math.inf, math.inf
    half = t_quantile((1 + confidence) / 2, len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return fmean(values) - half, fmean(values) + half


def t_quantile(probability: float, degrees: int) -> float:
    """Return a quantile of Student's t at or above the median.

    The distribution is a finite sum in the angle θ = atan(t/√ν) (Abramowitz and Stegun, Handbook of Mathematical
    Functions, 26.7.3 and 26.7.4). Raises ValueError for less than one degree of freedom, or outside [½, 1).
    """
    if degrees < 1 or not 0.5 <= probability < 1:
        raise ValueError(f"no quantile {probability} of t with {degrees} degrees of freedom")
    theta = bisect(lambda theta: (1 + _t_within(theta, degrees)) / 2 - probability, 0.0, math.pi / 2, steps=60)
    return math.sqrt(degrees) * math.tan(theta)


def _t_within(theta: float, degrees: int) -> float:
    """Return the probability that |t| is below √ν·tan θ."""
    odd = degrees % 2
    term = math.cos(theta) if odd else 1.0
    total = 0.0
    for k in range(degrees // 2):
        total += term
        # Odd: 1, 2/3, 2·4/(3·5), …; even: 1, 1/2, 1·3/(2·4), …
        term *= math.cos(theta) ** 2 * (2 * k + 1 + odd) / (2 * k + 2 + odd)
    return 2 / math.pi * (theta + math.sin(theta) * total) if odd else math.sin(theta) * total


def detectable_effect(sigma: float, count: int, degrees: int, *, level: float, power: float) -> float:
    """Return the mean at which a one-sided t test of ``count`` normal values reaches ``power``.

    ``degrees`` are the degrees of freedom with which ``sigma`` is known. The mean has the standard error σ/√n,
    must exceed t(1 − ``level``) of them, and does so with probability ``power`` when it is t(``power``) more: the
    usual sample-size formula (Snedecor and Cochran, Statistical Methods, 8th edition, section 6.14). With normal
    values the gate's own test has nearly the power of the t test.
    """
    return (t_quantile(1 - level, degrees) + t_quantile(power, degrees)) * sigma / math.sqrt(count)


def binomial_interval(hits: int, tries: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the two-sided interval of a probability (Clopper and Pearson, Biometrika 26, 1934)."""
    one_sided = (1 + confidence) / 2
    return 1 - binomial_upper_bound(tries - hits, tries, one_sided), binomial_upper_bound(hits, tries, one_sided)


def binomial_upper_bound(hits: int, tries: int, confidence: float = 0.95) -> float:
    """Return the one-sided upper bound of a probability, by the same authors."""
    if hits == tries:
        return 1.0
    return bisect(lambda p: 1 - confidence - _at_most(hits, tries, p), 0.0, 1.0, steps=40)


def _at_most(hits: int, tries: int, p: float) -> float:
    """Return the probability of at most ``hits``, for 0 < ``p`` < 1."""
    # In logarithms: with 1030 tries or more the binomial coefficients are too large for a float.
    log_p, log_q, log_all = math.log(p), math.log1p(-p), math.lgamma(tries + 1)
    return sum(
        math.exp(log_all - math.lgamma(k + 1) - math.lgamma(tries - k + 1) + k * log_p + (tries - k) * log_q)
        for k in range(hits + 1)
    )


def bisect(increasing: Callable[[float], float], low: float, high: float, steps: int) -> float:
    """Return the root of an increasing function, rounded down by at most (``high`` − ``low``)/2^``steps``."""
    for _ in range(steps):
        middle = (low + high) / 2
        low, high = (low, middle) if increasing(middle) >= 0 else (middle, high)
    return low
