"""The signed rank is exact: by counting all signs, by published tables, and on machines of every kind."""

import itertools
import math
import statistics

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gradperf import stats
from tests.gate import noise

log_ratios = st.lists(st.floats(-1, 1, allow_subnormal=False), min_size=1, max_size=16)
tied = st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=9)


def counted(values, margin=0.0):
    """Find p by trying all patterns of signs; a value at the margin has the sign −."""
    distances = [abs(value - margin) for value in values]
    ranks = [sum(d < own for d in distances) + (distances.count(own) + 1) / 2 for own in distances]

    def rank_sum(signs):
        return sum(rank for rank, sign in zip(ranks, signs, strict=True) if sign)

    observed = rank_sum([value > margin for value in values])
    patterns = list(itertools.product([False, True], repeat=len(values)))
    return sum(rank_sum(signs) >= observed for signs in patterns) / len(patterns)


@given(tied, st.integers(-3, 3).map(float))
def test_p_counts_all_signs(values, margin):
    """Ties and values at the margin included, p is the share of the patterns of signs that look as slow."""
    assert stats.p_slower(values, margin) == counted(values, margin)


@given(st.lists(st.floats(-1, 1, allow_subnormal=False), min_size=1, max_size=9, unique_by=abs))
def test_p_counts_all_signs_without_ties(values):
    """The same for values of any size."""
    assert stats.p_slower(values) == counted(values)


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
        needed = stats.critical(count, level)
        assert needed == (None if negative is None else total - negative), level


def test_published_example():
    """Hollander and Wolfe's depression scores: W = 40, p = 0.01953, estimate 0.46, interval 0.010 … 0.786."""
    first = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30]
    second = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29]
    drops = [a - b for a, b in zip(first, second, strict=True)]
    assert stats.p_slower(drops) == pytest.approx(0.01953, abs=5e-6)
    assert stats.p_of_rank_sum(40, 9) == stats.p_slower(drops)
    assert stats.estimate(drops) == pytest.approx(0.46, abs=1e-9)
    assert stats.interval(drops, 0.95) == pytest.approx((0.010, 0.786), abs=1e-9)


@pytest.mark.parametrize("count", [25, 53, 64])
def test_many_values(count):
    """With many values the exact p is near the normal one."""
    needed = stats.critical(count, 0.01)
    mean, deviation = count * (count + 1) / 4, math.sqrt(count * (count + 1) * (2 * count + 1) / 24)
    assert needed == pytest.approx(mean + 2.326 * deviation, abs=0.15 * deviation)
    assert stats.p_slower([1.0 + i for i in range(count)]) == 2.0**-count


def test_few_values():
    """No value proves nothing; each one more halves the least p."""
    assert [stats.p_slower([0.1, 0.2, 0.3][:count]) for count in range(4)] == [1, 1 / 2, 1 / 4, 1 / 8]
    assert stats.p_slower([0.0] * 9) == 1
    assert stats.interval([]) == (-math.inf, math.inf)
    assert stats.interval([0.1] * 5) == (-math.inf, math.inf)
    assert stats.interval([0.1] * 6) == (0.1, 0.1)
    with pytest.raises(ValueError, match="no values"):
        stats.estimate([])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_refuses_what_is_no_number(value):
    """NaN would be sorted anywhere, and pass for evidence."""
    with pytest.raises(ValueError, match="finite"):
        stats.p_slower([0.1, value])


@given(log_ratios, st.floats(-1, 1), st.sampled_from([0.8, 0.9, 0.95, 0.975]))
def test_interval_inverts_the_test(values, margin, confidence):
    """A margin below the interval is rejected, one within is not."""
    means = {(a + b) / 2 for a in values for b in values}
    # Nearer than rounding to a mean of two values, either is right; and so where two are equally far from it.
    assume(min(abs(margin - mean) for mean in means) > 1e-9)
    assume(len({abs(value - margin) for value in values}) == len(values))
    low, high = stats.interval(values, confidence)
    level = (1 - confidence) / 2
    assert (stats.p_slower(values, margin) <= level) == (margin < low)
    assert (stats.p_faster(values, -margin) <= level) == (margin > high)


@given(log_ratios)
def test_faster_is_slower_the_other_way_round(values):
    """Base over head instead of head over base: all answers change their sides."""
    turned = [-value for value in values]
    assert stats.p_faster(values, 0.01) == stats.p_slower(turned, 0.01)
    assert stats.estimate(turned) == pytest.approx(-stats.estimate(values))
    low, high = stats.interval(values)
    assert stats.interval(turned) == pytest.approx((-high, -low))


@given(
    st.lists(st.integers(-1000, 1000), min_size=1, max_size=16), st.integers(-1000, 1000), st.sampled_from([0.5, 4])
)
def test_moves_and_scales_with_the_values(values, shift, scale):
    """Moved and scaled, exactly in binary, values keep their p, and their interval moves and scales with them."""
    moved = [scale * (value + shift) for value in values]
    assert stats.p_slower(moved, scale * (shift + 3)) == stats.p_slower(values, 3)
    assert stats.estimate(moved) == scale * (stats.estimate(values) + shift)
    assert stats.interval(moved) == tuple(scale * (bound + shift) for bound in stats.interval(values))


@given(log_ratios, st.floats(-1, 1), st.floats(0, 1))
def test_a_larger_margin_is_harder_to_exceed(values, margin, more):
    """No p falls when more is asked for, so what exceeds a margin exceeds all smaller ones."""
    for asked in (margin, margin + more):
        # With ties the sums of ranks are coarser, and so is p, which may then move by a step either way.
        assume(len({abs(value - asked) for value in values}) == len(values))
    assert stats.p_slower(values, margin + more) >= stats.p_slower(values, margin)


@given(log_ratios)
def test_estimate_is_the_median_of_the_means(values):
    """Hodges and Lehmann by definition, and always within the interval."""
    means = [(a + b) / 2 for i, a in enumerate(values) for b in values[i:]]
    assert stats.estimate(values) == pytest.approx(statistics.median(means))
    low, high = stats.interval(values)
    assert low <= stats.estimate(values) <= high


@pytest.mark.parametrize("model", noise.MODELS)
@pytest.mark.parametrize("effect", [0.0, 0.01])
def test_size_on_any_machine(model, effect):
    """A slowdown of just the margin is called larger, at p ≤ .05, in 5 % of all runs or fewer, on any machine."""
    runs = 1000
    rng = np.random.default_rng(1)
    values = effect + noise.log_ratios(model, rng, (runs, 24, 1))[..., 0]
    for p in (stats.p_slower, lambda v, margin: stats.p_faster(v, -margin)):
        rejected = sum(p(run, effect) <= 0.05 for run in values.tolist())
        assert not noise.too_many(rejected, runs, 0.05), rejected


@pytest.mark.parametrize("model", noise.MODELS)
def test_interval_covers_on_any_machine(model):
    """The interval misses the effect in 5 % of all runs or fewer, on any machine."""
    runs, effect = 1000, 0.03
    values = effect + noise.log_ratios(model, np.random.default_rng(2), (runs, 12, 1))[..., 0]
    bounds = [stats.interval(run) for run in values.tolist()]
    missed = sum(not low <= effect <= high for low, high in bounds)
    assert not noise.too_many(missed, runs, 0.05), missed


def test_spike_weighs_no_more_than_the_largest():
    """One value a thousand times larger changes neither p nor, by much, the estimate."""
    values = [0.01 * i for i in range(-3, 9)]
    spiked = [*values[:-1], 80.0]
    assert stats.p_slower(spiked) == stats.p_slower(values)
    assert stats.estimate(spiked) == pytest.approx(stats.estimate(values), abs=0.01)
