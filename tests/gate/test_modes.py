"""Two speeds of a case are told, and plain noise is not taken for them."""

import math

import numpy as np
import pytest

from gradperf.gate.decision.modes import describe_modes
from gradperf.pairs.turns import Value
from tests.gate import noise
from tests.test_stats import CONFIRMED, SCREENED


def values(base, head):
    """Return the values of processes with these logarithms of their times."""
    return [Value(h - b, math.exp(b), math.exp(h), (None, None)) for b, h in zip(base, head, strict=True)]


def drawn(count, *, base=0.0, head=0.0, factor=1.7, seed=0):
    """Return values of processes that are slower by ``factor``, with these probabilities."""
    rng = np.random.default_rng(seed)
    sides = [rng.normal(0, 0.02, count) + math.log(factor) * (rng.random(count) < share) for share in (base, head)]
    return values(*sides)


def test_the_measured_modes():
    """The measured values, of which the base was slow in four."""
    ratios = [*SCREENED, *CONFIRMED]
    base = [0.55 if ratio < 0 else 0.0 for ratio in ratios]
    told = describe_modes(values(base, [b + ratio for b, ratio in zip(base, ratios, strict=True)]))
    assert told == "in 4 of 32 processes the base was 1.7× slower than in the others"


def test_the_side_is_known_by_its_seconds():
    """The same ratios may be of a slow head or a fast base, and each side may have its mode."""
    slow = [0.56, 0.57, 0.58, *[0.01 * i for i in range(9)]]
    flat = [0.0] * 12
    assert describe_modes(values(flat, slow)) == "in 3 of 12 processes the head was 1.7× slower than in the others"
    assert describe_modes(values(slow, flat)) == "in 3 of 12 processes the base was 1.7× slower than in the others"
    fast = [-one for one in slow]
    assert describe_modes(values(fast, flat)) == "in 3 of 12 processes the base was 1.7× faster than in the others"
    both = describe_modes(values([*flat, *slow], [*slow, *flat]))
    assert both.startswith("in 3 of 24 processes the base was 1.8× slower and in 3 of 24 processes the head was")
    assert describe_modes(values([one / 2 for one in slow], [-one / 2 for one in slow])) == ""


@pytest.mark.parametrize("sides", [{"base": 1 / 8}, {"head": 1 / 8}, {"base": 1 / 8, "head": 1 / 8}, {"head": 0.3}])
def test_modes_are_found(sides):
    """If one process in eight is slow, 32 pairs tell it in two of three cases: those with three such processes."""
    found = sum(bool(describe_modes(drawn(32, **sides, seed=seed))) for seed in range(200))
    assert found >= 0.65 * 200, found


def told(model, pairs, runs=1000):
    """Return how often noise of this kind is taken for modes."""
    rng = np.random.default_rng(6)
    slots = model(rng, (runs, pairs, 1))[:, :, 0] * 0.025
    turned = rng.random((runs, pairs, 1)) < 0.5
    slots = np.where(turned, slots[..., ::-1], slots)
    return sum(bool(describe_modes(values(run[:, 0].tolist(), run[:, 1].tolist()))) for run in slots)


@pytest.mark.parametrize("pairs", [8, 32])
@pytest.mark.parametrize("model", [model for model in noise.MODELS if model is not noise.modes])
def test_noise_is_not_taken_for_modes(model, pairs):
    """In less than 1 % of the cases."""
    count = told(model, pairs)
    assert not noise.too_many(count, 1000, 0.01), count


@pytest.mark.parametrize("few", [[], [0.0], [0.0, 0.5], [0.0, 0.0, 0.5], [0.0] * 5 + [0.5, 0.5]])
def test_few_values_tell_nothing(few):
    """One or two that lie apart may be any disturbance."""
    assert describe_modes(values([0.0] * len(few), few)) == ""
