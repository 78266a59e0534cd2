"""Every statistic agrees with scipy, with a published table, or with its definition by brute force."""

import itertools
import math
import re
import statistics
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from gradperf import stats
from tests.gate import noise

log_ratios = st.lists(st.floats(-1, 1, allow_subnormal=False), min_size=1, max_size=16)
tied = st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=9)
untied = st.lists(st.integers(1, 1000), min_size=1, max_size=20, unique=True).flatmap(
    lambda distances: st.tuples(*(st.sampled_from([float(d), float(-d)]) for d in distances)).map(list)
)
"""Values of different distances from 0, none of which is 0."""

SCREENED = [0.237, 0.220, 0.213, -0.335, 0.207, 0.247, 0.220, 0.226]
CONFIRMED = [
    *(0.209, 0.221, -0.353, 0.211, 0.231, 0.222, 0.213, 0.225, 0.203, -0.333, 0.215, 0.219),
    *(0.258, 0.234, 0.215, 0.209, 0.211, 0.220, 0.257, 0.223, 0.229, 0.200, -0.271, 0.212),
]
"""Measured: JAX 0.4.35 against 0.4.31, of which one process in eight draws a slow mode."""


def test_package_does_not_import_scipy():
    """Only the tests need it, so it is a development dependency."""
    for file in Path(stats.__file__).parent.rglob("*.py"):
        assert not re.search(r"^\s*(import|from) scipy", file.read_text(encoding="utf-8"), re.MULTILINE), file


# --- p ---


def counted(values, margin=0.0):
    """Return p by trying all patterns of signs of the ranks 1 … n.

    Of values at equal distances, those above the margin rank lower. A value at the margin has the sign −.
    """
    count = len(values)
    patterns = list(itertools.product([False, True], repeat=count))

    def outcome(signs):
        return sum(signs), sum(rank for rank, sign in enumerate(signs, 1) if sign)

    outcomes = [outcome(signs) for signs in patterns]

    def smaller_p(number, rank_sum):
        by_number = sum(other >= number for other, _ in outcomes)
        return min(by_number, sum(other >= rank_sum for _, other in outcomes))

    ordered = sorted(values, key=lambda value: (abs(value - margin), value <= margin))
    observed = smaller_p(*outcome([value > margin for value in ordered]))
    by_outcome = {one: smaller_p(*one) for one in set(outcomes)}
    return sum(by_outcome[one] <= observed for one in outcomes) / len(patterns)


@given(tied.filter(lambda values: len(values) < 8), st.integers(-3, 3).map(float))
def test_p_counts_all_signs(values, margin):
    """By definition p is the share of sign patterns that look at least as slow; ties and the margin included."""
    assert stats.p_slower(values, margin) == counted(values, margin)


@given(st.lists(st.floats(-1, 1, allow_subnormal=False), min_size=1, max_size=7, unique_by=abs))
def test_p_counts_all_signs_without_ties(values):
    """The same for values of any size."""
    assert stats.p_slower(values) == counted(values)


@given(untied, st.integers(-1000, 1000))
def test_p_is_between_scipys(values, margin):
    """P lies between the smaller one of scipy's sign test and Wilcoxon test and twice that, as both are tried."""
    moved = [value + margin for value in values]
    above = sum(value > 0 for value in values)
    for p, alternative in (
        (stats.p_slower(moved, margin), "greater"),
        (stats.p_faster(moved, -margin), "less"),
    ):
        ranks = scipy.stats.wilcoxon(values, alternative=alternative, method="exact").pvalue
        signs = scipy.stats.binomtest(above, len(values), alternative=alternative).pvalue
        assert min(ranks, signs) * (1 - 1e-12) <= p <= 2 * min(ranks, signs) * (1 + 1e-12)


def test_measured_modes_do_not_hide_a_slowdown():
    """Three wild values of 24 do not hide a slowdown of 24 % from the test, as they do from the signed rank."""
    assert stats.p_slower(SCREENED) < 0.05
    assert stats.p_slower(CONFIRMED, math.log1p(0.01)) < 0.0003
    assert scipy.stats.wilcoxon([value - 0.01 for value in CONFIRMED], alternative="greater").pvalue > 0.003
    low, high = stats.interval(CONFIRMED, 0.975)
    assert 0.2 < low < stats.location(CONFIRMED) < high < 0.23


def test_few_values():
    """Without values p is 1; each further value halves the smallest p."""
    assert [stats.p_slower([0.1, 0.2, 0.3][:count]) for count in range(4)] == [1, 1 / 2, 1 / 4, 1 / 8]
    assert stats.p_slower([0.0] * 9) == 1
    assert stats.interval([]) == (-math.inf, math.inf)
    assert stats.interval([0.1] * 5) == (-math.inf, math.inf)
    assert stats.interval([0.1] * 6) == (0.1, 0.1)
    for estimate in (stats.hodges_lehmann, stats.location):
        with pytest.raises(ValueError, match="no values"):
            estimate([])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_refuses_what_is_no_number(value):
    """NaN could be sorted anywhere, and count as evidence."""
    with pytest.raises(ValueError, match="finite"):
        stats.p_slower([0.1, value])
    with pytest.raises(ValueError, match="finite"):
        stats.p_slower([0.1], value)


@given(log_ratios)
def test_faster_is_slower_the_other_way_round(values):
    """With base over head instead of head over base, all results change their side."""
    turned = [-value for value in values]
    assert stats.p_faster(values, 0.01) == stats.p_slower(turned, 0.01)
    assert stats.location(turned) == pytest.approx(-stats.location(values))
    low, high = stats.interval(values)
    assert stats.interval(turned) == (-high, -low)


@given(
    st.lists(st.integers(-1000, 1000), min_size=1, max_size=16), st.integers(-1000, 1000), st.sampled_from([0.5, 4])
)
def test_moves_and_scales_with_the_values(values, shift, scale):
    """Moved and scaled, exactly in binary, values keep their p, and their interval moves and scales with them."""
    moved = [scale * (value + shift) for value in values]
    assert stats.p_slower(moved, scale * (shift + 3)) == stats.p_slower(values, 3)
    assert stats.location(moved) == scale * (stats.location(values) + shift)
    expected = tuple(scale * (bound + shift) for bound in stats.interval(values))
    assert stats.interval(moved) == expected


@given(log_ratios | tied, st.floats(-1, 1), st.floats(0, 1))
def test_a_larger_margin_is_harder_to_exceed(values, margin, more):
    """With a larger margin p never falls, so values that exceed a margin exceed all smaller ones, ties included."""
    assert stats.p_slower(values, margin + more) >= stats.p_slower(values, margin)


@given(tied, st.integers(-3, 3).map(float), st.lists(st.floats(-0.1, 0.1), min_size=9, max_size=9))
def test_ties_can_only_raise_p(values, margin, moves):
    """However values at equal distances, or at the margin, are moved apart, p does not grow."""
    apart = [value + move for value, move in zip(values, moves, strict=False)]
    assert stats.p_slower(apart, margin) <= stats.p_slower(values, margin)


@pytest.mark.parametrize("model", noise.MODELS)
@pytest.mark.parametrize("effect", [0.0, 0.01])
def test_size_on_any_machine(model, effect):
    """A slowdown of exactly the margin has p ≤ .05 in at most 5 % of all runs, on any machine."""
    runs = 1000
    rng = np.random.default_rng(1)
    values = effect + noise.log_ratios(model, rng, (runs, 24, 1))[..., 0]
    for p in (stats.p_slower, lambda v, margin: stats.p_faster(v, -margin)):
        rejected = sum(p(run, effect) <= 0.05 for run in values.tolist())
        assert not noise.too_many(rejected, runs, 0.05), rejected


def caught(values, p):
    return sum(p(run) <= 0.0055 for run in values.tolist()) / len(values)


def wilcoxon_p(values):
    return scipy.stats.wilcoxon(values, alternative="greater", method="exact").pvalue


@pytest.mark.parametrize("count", [12, 24])
def test_power_with_ordinary_noise(count):
    """With normal values hardly less is caught than by the signed rank, and far more than by the signs alone."""
    values = np.random.default_rng(4).normal(0.02, 0.028, (400, count))
    assert caught(values, stats.p_slower) >= caught(values, wilcoxon_p) - 0.05


def test_power_with_modes():
    """If each process is 1.7 times slower with probability 1/8, a slowdown of 5 % is caught in 90 % of all runs.

    The signed rank catches two thirds of them.
    """
    values = 0.04 + noise.log_ratios(noise.modes, np.random.default_rng(5), (400, 24, 1))[..., 0]
    assert caught(values, stats.p_slower) >= 0.9
    assert caught(values, wilcoxon_p) < 0.7


# --- critical values ---


@pytest.mark.parametrize("level", [0.2, 0.025, 0.0125, 0.0055])
@given(values=untied)
def test_critical_values_are_those_of_p(level, values):
    """P is small enough if and only if the number of values or the sum of the ranks is large enough."""
    above = sum(value > 0 for value in values)
    rank_sum = sum((a + b) / 2 > 0 for i, a in enumerate(values) for b in values[i:])
    needed = stats.critical(len(values), level)
    significant = needed is not None and (above >= needed[0] or rank_sum >= needed[1])
    assert (stats.p_slower(values) <= level) == significant


@pytest.mark.parametrize("count", [25, 53, 64])
def test_many_values(count):
    """With many values the critical sums are near those of normal distributions, for half to all of the level."""
    number, rank_sum = stats.critical(count, 0.01)
    mean, deviation = count * (count + 1) / 4, math.sqrt(count * (count + 1) * (2 * count + 1) / 24)
    assert 2.2 < (rank_sum - mean) / deviation < 2.65
    assert 2.2 < (number - count / 2) / (math.sqrt(count) / 2) < 3.1
    assert stats.p_slower([1.0 + i for i in range(count)]) == pytest.approx(2.0**-count)


# --- estimate and interval ---


@given(log_ratios)
def test_estimate_is_the_median_of_the_means(values):
    """Hodges and Lehmann by definition."""
    means = [(a + b) / 2 for i, a in enumerate(values) for b in values[i:]]
    assert stats.walsh_averages(values).tolist() == sorted(means)
    assert stats.hodges_lehmann(values) == pytest.approx(statistics.median(means))


@given(log_ratios, st.sampled_from([0.95, 0.975, 0.999]))
def test_location_lies_in_the_interval(values, confidence):
    """It is the Hodges-Lehmann estimate wherever that lies in the interval."""
    low, high = stats.interval(values, confidence)
    estimate = stats.hodges_lehmann(values)
    assert low <= stats.location(values, confidence) <= high
    assert low > estimate or high < estimate or stats.location(values, confidence) == estimate


@given(log_ratios | tied, st.floats(-1, 1), st.integers(0, 200), st.sampled_from([0.9, 0.95, 0.975]))
def test_interval_inverts_the_test(values, margin, index, confidence):
    """A margin outside of the interval is rejected, one within is not: also where values tie, and at the bounds."""
    means = stats.walsh_averages(values)
    low, high = stats.interval(values, confidence)
    level = (1 - confidence) / 2
    for asked in (margin, float(means[index % means.size])):
        assert (stats.p_slower(values, asked) <= level) == (asked < low)
        assert (stats.p_faster(values, -asked) <= level) == (asked > high)


@given(st.lists(log_ratios.map(lambda values: (values * 8)[:8]), min_size=1, max_size=5))
def test_many_samples_at_once(samples):
    """The lower bounds of many samples are those of their intervals."""
    bounds = stats.lower_bounds(np.array(samples), 0.025)
    assert bounds.tolist() == [stats.interval(sample, 0.95)[0] for sample in samples]


@pytest.mark.parametrize("model", noise.MODELS)
def test_interval_covers_on_any_machine(model):
    """The interval misses the effect in at most 5 % of all runs, on any machine."""
    runs, effect = 1000, 0.03
    values = effect + noise.log_ratios(model, np.random.default_rng(2), (runs, 12, 1))[..., 0]
    bounds = [stats.interval(run) for run in values.tolist()]
    missed = sum(not low <= effect <= high for low, high in bounds)
    assert not noise.too_many(missed, runs, 0.05), missed


def test_spike_weighs_no_more_than_the_largest():
    """One value a thousand times larger does not change p, and hardly changes the estimate."""
    values = [0.01 * i for i in range(-3, 9)]
    spiked = [*values[:-1], 80.0]
    assert stats.p_slower(spiked) == stats.p_slower(values)
    assert stats.location(spiked) == pytest.approx(stats.location(values), abs=0.01)


@given(log_ratios)
def test_error_of_the_estimate_is_made_of_the_median_absolute_deviation(values):
    """It uses scipy's median absolute deviation, scaled to the standard deviation of normal values."""
    sigma = scipy.stats.median_abs_deviation(values, scale="normal")
    expected = math.sqrt(math.pi / 3 / len(values)) * sigma
    assert stats.hodges_lehmann_error(values) == pytest.approx(expected, rel=1e-12)


def test_error_of_the_estimate_is_its_standard_deviation():
    """It is right within 5 % for samples of 40 normal values. Ten spikes do not even double it."""
    samples = np.random.default_rng(3).normal(size=(3000, 40))
    spread = np.std([stats.hodges_lehmann(sample) for sample in samples])
    assert np.mean([stats.hodges_lehmann_error(sample) for sample in samples]) == pytest.approx(spread, rel=0.05)
    spiked = [*samples[0, :30], *[100.0] * 10]
    assert stats.hodges_lehmann_error(spiked) < 2 * stats.hodges_lehmann_error(samples[0])


# --- many tests ---


@given(st.lists(st.integers(1, 60).map(lambda k: k / 100), min_size=1, max_size=5))
def test_holm_is_the_closed_bonferroni_test(p_values):
    """A hypothesis is rejected if Bonferroni rejects every intersection that it is part of."""
    numbered = range(len(p_values))
    subsets = [s for size in numbered for s in itertools.combinations(numbered, size + 1)]
    for index, adjusted in enumerate(stats.holm(p_values)):
        closed = max(min(1.0, len(s) * min(p_values[i] for i in s)) for s in subsets if index in s)
        assert adjusted == pytest.approx(closed)


def test_holm_by_example():
    """Holm's adjusted p-values of .01, .04, .03, .005 are .03, .06, .06, .02."""
    assert stats.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert stats.holm([]) == []


# --- Student's t ---


@pytest.mark.parametrize(
    ("probability", "degrees", "quantile"),
    [
        (0.95, 1, 6.31375),
        (0.975, 2, 4.30265),
        (0.99, 3, 4.54070),
        (0.95, 23, 1.71387),
        (0.99, 23, 2.49987),
        (0.975, 30, 2.04227),
        (0.99, 120, 2.35782),
        (0.5, 5, 0.0),
    ],
)
def test_quantiles_of_t(probability, degrees, quantile):
    """The quantiles are those of printed tables."""
    assert stats.t_quantile(probability, degrees) == pytest.approx(quantile, abs=6e-6)


@given(st.floats(0.5, 0.999999), st.integers(1, 300))
def test_quantiles_of_t_are_scipys(probability, degrees):
    expected = scipy.stats.t.ppf(probability, degrees)
    assert stats.t_quantile(probability, degrees) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("probability", "degrees"), [(0.9, 0), (1.0, 3), (0.3, 3)])
def test_no_quantile_where_there_is_none(probability, degrees):
    with pytest.raises(ValueError, match="no quantile"):
        stats.t_quantile(probability, degrees)


@given(st.lists(st.integers(-1000, 1000), min_size=2, max_size=12, unique=True), st.integers(-500, 500))
def test_t_test_is_scipys(values, margin):
    """P and interval are those of scipy's t test of one sample."""
    test = scipy.stats.ttest_1samp(values, margin, alternative="greater")
    assert stats.p_slower_t(values, margin) == pytest.approx(test.pvalue, rel=1e-6, abs=1e-14)
    bounds = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.99)
    assert stats.t_interval(values, 0.99) == pytest.approx((bounds.low, bounds.high), rel=1e-6, abs=1e-9)


def test_t_test_without_a_spread():
    """One value says nothing, and equal values say all."""
    assert stats.p_slower_t([5.0]) == stats.p_slower_t([1.0, 1.0], 1.0) == 1
    assert stats.p_slower_t([1.0, 1.0], 0.5) == 0
    assert stats.t_interval([5.0], 0.95) == (-math.inf, math.inf)
    assert stats.t_interval([1.0, 1.0], 0.95) == (1.0, 1.0)


@given(st.integers(10, 60), st.sampled_from([0.01, 0.05]), st.sampled_from([0.8, 0.95]))
def test_detectable_effect(count, level, power):
    """At that effect, a t test has the power asked for, within 1.1 %, by scipy's noncentral t."""
    effect = stats.detectable_effect(0.02, count, count - 1, level=level, power=power)
    shift = math.sqrt(count) * effect / 0.02
    exact = scipy.stats.nct.sf(scipy.stats.t.isf(level, count - 1), count - 1, shift)
    assert exact == pytest.approx(power, abs=0.011)
    assert stats.detectable_effect(0.02, count, 2, level=level, power=power) > effect


# --- binomial probabilities ---


# From the tables of the binomial distribution; (0, 60) by hand: 1 - 0.025**(1/60).
@pytest.mark.parametrize(
    ("hits", "tries", "low", "high"),
    [(0, 60, 0, 0.0596), (60, 60, 0.9404, 1), (5, 10, 0.1871, 0.8129), (1, 10, 0.0025, 0.4450), (0, 1, 0, 0.975)],
)
def test_binomial_interval(hits, tries, low, high):
    """The interval is Clopper's and Pearson's."""
    assert stats.binomial_interval(hits, tries) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 80), st.data())
def test_binomial_interval_contains_the_share(tries, data):
    """The interval contains the observed share, and is mirrored if hits count as misses."""
    hits = data.draw(st.integers(0, tries))
    low, high = stats.binomial_interval(hits, tries)
    assert 0 <= low <= hits / tries <= high <= 1
    assert stats.binomial_interval(tries - hits, tries) == pytest.approx((1 - high, 1 - low))


@pytest.mark.parametrize(
    ("hits", "tries", "most"), [(0, 300, 0.00994), (0, 60, 0.0487), (1, 10, 0.3942), (2, 2, 1)]
)
def test_binomial_upper_bound(hits, tries, most):
    """The bound is one-sided: (0, n) by hand, 1 - 0.05**(1/n); (1, 10) from the tables."""
    assert stats.binomial_upper_bound(hits, tries) == pytest.approx(most, abs=5e-5)


@given(st.sampled_from([1, 2, 10, 61, 300, 1500]), st.sampled_from([0.9, 0.95, 0.99]), st.data())
def test_binomial_bounds_are_scipys(tries, confidence, data):
    """They agree also if the binomial coefficients are too large for a float."""
    hits = data.draw(st.integers(0, tries))
    both = scipy.stats.binomtest(hits, tries).proportion_ci(confidence, method="exact")
    upper = scipy.stats.binomtest(hits, tries, alternative="less").proportion_ci(confidence, method="exact")
    assert stats.binomial_interval(hits, tries, confidence) == pytest.approx((both.low, both.high), abs=1e-10)
    assert stats.binomial_upper_bound(hits, tries, confidence) == pytest.approx(upper.high, abs=1e-10)


# --- roots ---


@given(st.floats(-3, 3))
def test_bisect(root):
    """The root of an increasing function, or slightly less; an end of the interval if there is none."""
    found = stats.bisect(lambda x: x - root, -4.0, 4.0, steps=30)
    assert root - 8 / 2**30 <= found <= root
    assert stats.bisect(lambda x: -1.0, -4.0, 4.0, steps=30) == pytest.approx(4.0)
    assert stats.bisect(lambda x: 1.0, -4.0, 4.0, steps=30) == -4.0
