"""The slowdown that a run promises to detect four times out of five is detected about as often."""

import math
import statistics
import time

import numpy as np
import pytest

from gradperf.gate.decision import trial
from gradperf.gate.decision.judge import judge
from gradperf.gate.decision.trial import Plan
from gradperf.gate.decision.visible import smallest_visible_change
from tests.gate import noise

PLAN = Plan()


def level(value, count, width=0.005):
    """Return values around ``value``, all different."""
    return tuple(value + width * (-1) ** i * (1 + 0.1 * i) for i in range(count))


def visible(values, rivals=0, plan=PLAN):
    return smallest_visible_change(values, plan, suspect_margin=0.0, suspects=rivals + 1)


def caught_of_what_is_promised(model, plan=PLAN, sigma=0.025):
    """Plant the median slowdown that runs on unchanged code promise to detect; return the share that does."""
    promised = []
    for measure in noise.machines(model, 15, 20, plan, sigma=sigma):
        done = trial.run(noise.GROUPS, plan, measure)
        cases, _, _ = judge(done, plan, control_case="c", seconds={}, accepted={})
        promised += [case.smallest_visible_change for case in cases]
    effects = {"jax3": math.log1p(statistics.median(promised))}
    caught = [
        trial.run(noise.GROUPS, plan, measure).cases["jax3"].slower.p_adjusted <= plan.alpha
        for measure in noise.machines(model, 16, 200, plan, effects=effects, sigma=sigma)
    ]
    return statistics.fmean(caught)


@pytest.mark.parametrize(
    ("sigma", "plan"), [(0.01, PLAN), (0.06, PLAN), (0.025, Plan(alpha=0.05, screen=6, confirm=16))]
)
def test_with_ordinary_noise(plan, sigma):
    """Of the promised slowdowns, 70 to 92 % are detected."""
    assert 0.7 <= caught_of_what_is_promised(noise.normal, plan, sigma) <= 0.92


@pytest.mark.parametrize("model", [noise.steps, noise.skewed, noise.spikes, noise.autocorrelated, noise.modes])
def test_with_other_noise(model):
    """Of spikes and two modes as well: the promise is made of the measured values.

    Drift is left out: its noise grows tenfold after the screen, which no run can predict.
    """
    least = 0.5 if model is noise.autocorrelated else 0.7
    assert least <= caught_of_what_is_promised(model) <= 0.96


def test_grows_with_noise_and_rivals():
    """More noise and more suspects hide more. Of too few pairs enough are taken. A single value gives None."""
    assert PLAN.min_effect < visible(level(0, 8)) < visible(level(0, 8), rivals=999) < visible(level(0, 8, 0.01))
    assert visible([0.0] * 8) == pytest.approx(PLAN.min_effect)
    assert visible(level(0, 8), plan=Plan(confirm=6)) == visible(level(0, 8), plan=Plan(confirm=7))
    assert visible([0.1]) is None


def test_two_modes_hide_more():
    """Two slow processes of eight hide a far larger slowdown than the spread of the others."""
    modes = (-0.5, -0.52, *level(0, 6))
    assert visible(modes) > 3 * visible(level(0, 8))


def test_is_the_same_for_the_same_values():
    """It is drawn, but always alike."""
    assert visible(level(0, 8)) == visible(level(0, 8))


def test_is_fast():
    """It takes less than 20 ms, in the best of five."""
    values = np.random.default_rng(0).normal(size=32).tolist()
    visible(values)
    took = []
    for _ in range(5):
        start = time.perf_counter()
        visible(values)
        took.append(time.perf_counter() - start)
    assert min(took) < 0.02
