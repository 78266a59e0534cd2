"""Every statistic agrees with scipy, with a published table, or with its definition by brute force."""

import itertools
import math
import re
import statistics
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from hypothesis import assume, given
from hypothesis import strategies as st

from gradperf import stats
from tests.gate import noise

log_ratios = st.lists(st.floats(-1, 1, allow_subnormal=False), min_size=1, max_size=16)
tied = st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=9)
untied = st.lists(st.integers(1, 1000), min_size=1, max_size=20, unique=True).flatmap(
    lambda distances: st.tuples(*(st.sampled_from([float(d), float(-d)]) for d in distances)).map(list)
)
"""Values of different distances from 0, none of which is 0."""


def test_package_does_not_import_scipy():
    """Only the tests need it, so it is a development dependency."""
    for file in Path(stats.__file__).parent.rglob("*.py"):
        assert not re.search(r"^\s*(import|from) scipy", file.read_text(encoding="utf-8"), re.MULTILINE), file


# --- signed rank: p ---


def counted(values, margin=0.0):
    """Return p by trying all patterns of signs; a value at the margin has the sign −."""
    distances = [abs(value - margin) for value in values]
    ranks = [sum(d < own for d in distances) + (distances.count(own) + 1) / 2 for own in distances]

    def rank_sum(signs):
        return sum(rank for rank, sign in zip(ranks, signs, strict=True) if sign)

    observed = rank_sum([value > margin for value in values])
    patterns = list(itertools.product([False, True], repeat=len(values)))
    return sum(rank_sum(signs) >= observed for signs in patterns) / len(patterns)


@given(tied, st.integers(-3, 3).map(float))
def test_p_counts_all_signs(values, margin):
    """By definition p is the share of sign patterns that look at least as slow; ties and the margin included."""
    assert stats.p_slower(values, margin) == counted(values, margin)


@given(st.lists(st.floats(-1, 1, allow_subnormal=False), min_size=1, max_size=9, unique_by=abs))
def test_p_counts_all_signs_without_ties(values):
    """The same for values of any size."""
    assert stats.p_slower(values) == counted(values)


@given(untied, st.integers(-1000, 1000))
def test_p_is_scipys(values, margin):
    """Without ties, and with up to 20 values, p is the exact p-value of scipy's Wilcoxon test."""
    moved = [value + margin for value in values]
    slower = scipy.stats.wilcoxon(values, alternative="greater", method="exact").pvalue
    faster = scipy.stats.wilcoxon(values, alternative="less", method="exact").pvalue
    assert stats.p_slower(moved, margin) == pytest.approx(slower, rel=1e-12)
    assert stats.p_faster(moved, -margin) == pytest.approx(faster, rel=1e-12)


def test_few_values():
    """Without values p is 1; each further value halves the smallest p."""
    assert [stats.p_slower([0.1, 0.2, 0.3][:count]) for count in range(4)] == [1, 1 / 2, 1 / 4, 1 / 8]
    assert stats.p_slower([0.0] * 9) == 1
    assert stats.signed_rank_interval([]) == (-math.inf, math.inf)
    assert stats.signed_rank_interval([0.1] * 5) == (-math.inf, math.inf)
    assert stats.signed_rank_interval([0.1] * 6) == (0.1, 0.1)
    with pytest.raises(ValueError, match="no values"):
        stats.hodges_lehmann([])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_refuses_what_is_no_number(value):
    """NaN could be sorted anywhere, and count as evidence."""
    with pytest.raises(ValueError, match="finite"):
        stats.p_slower([0.1, value])


@given(log_ratios)
def test_faster_is_slower_the_other_way_round(values):
    """With base over head instead of head over base, all results change their side."""
    turned = [-value for value in values]
    assert stats.p_faster(values, 0.01) == stats.p_slower(turned, 0.01)
    assert stats.hodges_lehmann(turned) == pytest.approx(-stats.hodges_lehmann(values))
    low, high = stats.signed_rank_interval(values)
    assert stats.signed_rank_interval(turned) == pytest.approx((-high, -low))


@given(
    st.lists(st.integers(-1000, 1000), min_size=1, max_size=16), st.integers(-1000, 1000), st.sampled_from([0.5, 4])
)
def test_moves_and_scales_with_the_values(values, shift, scale):
    """Moved and scaled, exactly in binary, values keep their p, and their interval moves and scales with them."""
    moved = [scale * (value + shift) for value in values]
    assert stats.p_slower(moved, scale * (shift + 3)) == stats.p_slower(values, 3)
    assert stats.hodges_lehmann(moved) == scale * (stats.hodges_lehmann(values) + shift)
    expected = tuple(scale * (bound + shift) for bound in stats.signed_rank_interval(values))
    assert stats.signed_rank_interval(moved) == expected


@given(log_ratios, st.floats(-1, 1), st.floats(0, 1))
def test_a_larger_margin_is_harder_to_exceed(values, margin, more):
    """With a larger margin p does not fall, so values that exceed a margin exceed all smaller ones."""
    for asked in (margin, margin + more):
        # With ties the sums of ranks are coarser, and so is p, which may then move by a step either way.
        assume(len({abs(value - asked) for value in values}) == len(values))
    assert stats.p_slower(values, margin + more) >= stats.p_slower(values, margin)


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


# --- signed rank: critical values ---


@pytest.mark.parametrize(
    ("count", "at_05", "at_025", "at_01", "at_005"),
    [
        (5, 0, None, None, None),
        (6, 2, 0, None, None),
        (7, 3, 2, 0, None),
        (8, 5, 3, 1, 0),
        (9, 8, 5, 3, 1),
        (10, 10, 8, 5, 3),
        (12, 17, 13, 9, 7),
        (15, 30, 25, 19, 15),
        (20, 60, 52, 43, 37),
    ],
)
def test_published_critical_values(count, at_05, at_025, at_01, at_005):
    """The table of Wilcoxon and Wilcox (1964): the largest sum of negative ranks that is significant."""
    total = count * (count + 1) // 2
    for level, negative in [(0.05, at_05), (0.025, at_025), (0.01, at_01), (0.005, at_005)]:
        needed = stats.critical_rank_sum(count, level)
        assert needed == (None if negative is None else total - negative), level


@pytest.mark.parametrize("count", [1, 4, 7, 12, 24, 40])
def test_critical_values_are_scipys(count):
    """Every rank sum has scipy's p, and the critical one is the first whose p is small enough."""
    p_values = []
    for rank_sum in range(count * (count + 1) // 2 + 1):
        values, left = [], rank_sum
        for rank in range(count, 0, -1):  # the largest ranks first: every sum can be made so
            values.append(float(rank if rank <= left else -rank))
            left -= max(0, int(values[-1]))
        p_values.append(scipy.stats.wilcoxon(values, alternative="greater", method="exact").pvalue)
        assert stats.p_of_rank_sum(rank_sum, count) == pytest.approx(p_values[-1], rel=1e-9)
    for level in (0.2, 0.05, 0.025, 0.01, 0.0005):
        significant = [rank_sum for rank_sum, p in enumerate(p_values) if p <= level]
        assert stats.critical_rank_sum(count, level) == min(significant, default=None)


@pytest.mark.parametrize("count", [25, 53, 64])
def test_many_values(count):
    """With many values the exact p is near the normal one."""
    needed = stats.critical_rank_sum(count, 0.01)
    mean, deviation = count * (count + 1) / 4, math.sqrt(count * (count + 1) * (2 * count + 1) / 24)
    assert needed == pytest.approx(mean + 2.326 * deviation, abs=0.15 * deviation)
    assert stats.p_slower([1.0 + i for i in range(count)]) == 2.0**-count


# --- signed rank: estimate and interval ---


def test_published_example():
    """Hollander and Wolfe's depression scores: W = 40, p = 0.01953, estimate 0.46, interval 0.010 … 0.786."""
    first = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30]
    second = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29]
    drops = [a - b for a, b in zip(first, second, strict=True)]
    assert stats.p_slower(drops) == pytest.approx(0.01953, abs=5e-6)
    assert stats.p_of_rank_sum(40, 9) == stats.p_slower(drops)
    assert stats.hodges_lehmann(drops) == pytest.approx(0.46, abs=1e-9)
    assert stats.signed_rank_interval(drops, 0.95) == pytest.approx((0.010, 0.786), abs=1e-9)


@given(log_ratios)
def test_estimate_is_the_median_of_the_means(values):
    """Hodges and Lehmann by definition, and always within the interval."""
    means = [(a + b) / 2 for i, a in enumerate(values) for b in values[i:]]
    assert stats.walsh_averages(values).tolist() == sorted(means)
    assert stats.hodges_lehmann(values) == pytest.approx(statistics.median(means))
    low, high = stats.signed_rank_interval(values)
    assert low <= stats.hodges_lehmann(values) <= high


@given(log_ratios, st.floats(-1, 1), st.sampled_from([0.8, 0.9, 0.95, 0.975]))
def test_interval_inverts_the_test(values, margin, confidence):
    """A margin below the interval is rejected, one within is not."""
    means = {(a + b) / 2 for a in values for b in values}
    # Nearer than rounding to a mean of two values, either is right; and so where two are equally far from it.
    assume(min(abs(margin - mean) for mean in means) > 1e-9)
    assume(len({abs(value - margin) for value in values}) == len(values))
    low, high = stats.signed_rank_interval(values, confidence)
    level = (1 - confidence) / 2
    assert (stats.p_slower(values, margin) <= level) == (margin < low)
    assert (stats.p_faster(values, -margin) <= level) == (margin > high)


@given(st.lists(st.floats(-1, 1, width=16), min_size=4, max_size=8, unique=True), st.sampled_from([0.8, 0.95]))
def test_interval_by_brute_force(values, confidence):
    """Each bound is the outermost mean of two values just within which scipy's test does not reject."""
    means = sorted({(a + b) / 2 for a in values for b in values})
    step = 1e-6
    assume(all(b - a > 3 * step for a, b in itertools.pairwise(means)))

    def kept(margin, alternative):
        shifted = [value - margin for value in values]
        return scipy.stats.wilcoxon(shifted, alternative=alternative, method="exact").pvalue > (1 - confidence) / 2

    low, high = stats.signed_rank_interval(values, confidence)
    if kept(means[0] - step, "greater"):  # then no margin is small enough
        assert (low, high) == (-math.inf, math.inf)
    else:
        assert low == min(mean for mean in means if kept(mean + step, "greater"))
        assert high == max(mean for mean in means if kept(mean - step, "less"))


@pytest.mark.parametrize("model", noise.MODELS)
def test_interval_covers_on_any_machine(model):
    """The interval misses the effect in at most 5 % of all runs, on any machine."""
    runs, effect = 1000, 0.03
    values = effect + noise.log_ratios(model, np.random.default_rng(2), (runs, 12, 1))[..., 0]
    bounds = [stats.signed_rank_interval(run) for run in values.tolist()]
    missed = sum(not low <= effect <= high for low, high in bounds)
    assert not noise.too_many(missed, runs, 0.05), missed


def test_spike_weighs_no_more_than_the_largest():
    """One value a thousand times larger does not change p, and hardly changes the estimate."""
    values = [0.01 * i for i in range(-3, 9)]
    spiked = [*values[:-1], 80.0]
    assert stats.p_slower(spiked) == stats.p_slower(values)
    assert stats.hodges_lehmann(spiked) == pytest.approx(stats.hodges_lehmann(values), abs=0.01)


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


# --- signed rank: power ---


@pytest.mark.parametrize("count", [8, 12, 24, 40])
@pytest.mark.parametrize("alpha", [0.2, 0.02])
def test_power_of_the_signed_rank(count, alpha):
    """The formula's power is that of simulated tests, within 5 %."""
    effect = 2.0 / math.sqrt(count) + (0.9 if alpha < 0.1 else 0.0) / math.sqrt(count)
    values = np.random.default_rng(18).normal(effect, 1, (4000, count))
    ranks = abs(values).argsort(axis=1).argsort(axis=1) + 1
    simulated = ((ranks * (values > 0)).sum(axis=1) >= stats.critical_rank_sum(count, alpha)).mean()
    assert stats.signed_rank_power(effect, 1.0, count, alpha) == pytest.approx(simulated, abs=0.05)


@given(st.integers(6, 40), st.sampled_from([0.2, 0.1, 0.05, 0.02, 0.01, 0.001]), st.floats(-1, 3))
def test_power_is_that_of_the_t_test(count, level, effect):
    """The approximation to the noncentral t is within 0.7 % of scipy's, at the p that the signed rank attains."""
    critical = stats.critical_rank_sum(count, level)
    assume(critical is not None)
    t = scipy.stats.t.isf(stats.p_of_rank_sum(critical, count), count - 1)
    exact = scipy.stats.nct.sf(t, count - 1, math.sqrt(count) * effect)
    assert stats.signed_rank_power(0.02 * effect, 0.02, count, level) == pytest.approx(exact, abs=0.007)


def test_power_at_its_ends():
    """A test that cannot reach its level has no power; without noise any effect is seen."""
    assert stats.signed_rank_power(1.0, 0.1, 5, 0.01) == 0
    assert stats.signed_rank_power(0.01, 0.0, 8, 0.2) == 1
    assert stats.signed_rank_power(-0.01, 0.0, 8, 0.2) == 0


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


# --- spread ---


@pytest.mark.parametrize("count", [8, 32])
def test_spread_of_normal_values(count):
    """On average the spread is the standard deviation of normal values, within a few percent."""
    runs = noise.log_ratios(noise.normal, np.random.default_rng(17), (2000, count, 1), sigma=1.0)[..., 0]
    assert statistics.fmean(stats.shamos_sigma(run) for run in runs.tolist()) == pytest.approx(1.0, abs=0.09)


@pytest.mark.parametrize("sigma", [1.0, 0.02])
def test_spread_of_the_normal_distribution(sigma):
    """Of its 999 quantiles the spread is σ, within 0.2 %: so the constant is right."""
    quantiles = scipy.stats.norm.ppf((np.arange(999) + 0.5) / 999, loc=5, scale=sigma)
    assert stats.shamos_sigma(quantiles) == pytest.approx(sigma, rel=0.002)


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=12))
def test_spread_is_the_median_of_all_distances(values):
    """By definition, with the known constant."""
    distances = [abs(a - b) for a, b in itertools.combinations(values, 2)]
    assert stats.shamos_sigma(values) == pytest.approx(1.048358 * statistics.median(distances), rel=1e-6)


def test_spread_bears_spikes():
    """Spikes in a quarter of the values do not even double the spread."""
    calm = [0.01 * (-1) ** i * (1 + 0.1 * i) for i in range(24)]
    assert stats.shamos_sigma([*calm[:18], *[100.0 * i for i in range(1, 7)]]) < 2 * stats.shamos_sigma(calm)
    assert stats.shamos_sigma([3.0, 3.0, 3.0]) == 0
    with pytest.raises(ValueError, match="at least two values, not 1"):
        stats.shamos_sigma([1.0])


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
