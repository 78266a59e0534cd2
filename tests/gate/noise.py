"""Simulated machines for the tests of the gate: models of the times of two processes.

A machine has two slots: the process launched first, and the one launched second. All noise belongs to the slots:
drift, steps, spikes, a bad memory layout, one slot slower than the other. Which slot the head gets is drawn for
each pair, and is the same for all its cases. Only the effect of the change belongs to the head.
"""

import math

import numpy as np
import scipy.stats

from gradperf.gate.decision.trial import Pair

GROUPS = {"torch": [f"torch{i}" for i in range(6)], "jax": [f"jax{i}" for i in range(6)]}
"""Twelve cases."""

CASES = [case for cases in GROUPS.values() for case in cases]


def normal(rng, shape):
    """Independent processes. Returns log times of slots, (runs, pairs, columns, 2), in units of a pair's spread."""
    return rng.normal(size=(*shape, 2)) / math.sqrt(2)


def drift(rng, shape):
    """The machine slows down, ever faster, and the second slot always runs a bit later."""
    time = np.linspace(0, 3, shape[1])[None, :, None, None] + np.array([0.0, 0.5])
    return 0.5 * normal(rng, shape) + time**2


def steps(rng, shape):
    """The machine changes its speed now and then. In the middle of a pair, this affects one slot more."""
    change = np.where(rng.random(shape[:2]) < 0.15, rng.normal(size=shape[:2]) * 8, 0.0)
    speed = np.cumsum(change, axis=1)[:, :, None, None]
    uneven = (change * rng.random(shape[:2]))[:, :, None, None] * np.array([0.0, 0.5])
    return 0.7 * normal(rng, shape) + speed + uneven


def spikes(rng, shape):
    """One process in ten is disturbed heavily."""
    disturbed = rng.random((*shape, 2)) < 0.1
    return 0.7 * normal(rng, shape) + np.where(disturbed, rng.exponential(10, (*shape, 2)), 0.0)


def autocorrelated(rng, shape):
    """A slower slot stays slower for several pairs."""
    fresh = rng.normal(size=shape)
    state = fresh.copy()
    for pair in range(1, shape[1]):
        state[:, pair] = 0.9 * state[:, pair - 1] + math.sqrt(1 - 0.81) * fresh[:, pair]
    return np.stack([np.zeros(shape), state], axis=-1)


def skewed(rng, shape):
    """The first slot is mostly fast and sometimes very slow. The second is steady, and slower than a fast first."""
    first = rng.gamma(0.5, 1.0, shape) * 2
    return np.stack([first, 1.5 + 0.3 * rng.normal(size=shape)], axis=-1)


def modes(rng, shape):
    """One process in eight is 1.7 times slower, at the usual spread of 2.5 %."""
    is_slow = rng.random((*shape, 2)) < 1 / 8
    return 0.7 * normal(rng, shape) + np.where(is_slow, math.log(1.7) / 0.025, 0.0)


MODELS = [normal, drift, steps, spikes, autocorrelated, skewed, modes]


def log_ratios(model, rng, shape, *, sigma=0.025, roles="drawn"):
    """Return log-ratios of an unchanged head, (runs, pairs, columns). ``roles`` "fixed": it is always second."""
    slots = model(rng, shape) * sigma
    second = np.ones(shape[:2]) if roles == "fixed" else rng.choice([-1.0, 1.0], size=shape[:2])
    return second[:, :, None] * (slots[..., 1] - slots[..., 0])


def machines(model, seed, runs, plan, *, effects=None, sigma=0.025, felt=1.0, roles="drawn"):
    """Yield ``runs`` machines, each a ``measure`` function for :func:`gradperf.gate.decision.trial.run`.

    ``effects``: the log-ratio of each changed case. ``felt``: the share of any slowdown that is measured.
    """
    rng = np.random.default_rng(seed)
    pairs = plan.screen + 2 * plan.enough_for(2 * len(CASES)).confirm
    noise = log_ratios(model, rng, (runs, pairs, len(CASES) + 2), sigma=sigma, roles=roles)
    # The two controls share their base, and so half of their noise.
    noise[..., -1] = (noise[..., -1] + noise[..., -2]) / math.sqrt(2)
    noise[..., : len(CASES)] += felt * np.array([(effects or {}).get(case, 0.0) for case in CASES])
    noise[..., -1] += felt * math.log1p(0.05)
    for run in noise:
        yield machine(run.tolist())


def machine(rows):
    """Return a ``measure`` function that reads row after row: values of :data:`CASES`, then two controls."""
    left = iter(rows)

    def measure(phase, cases):
        row = next(left)
        values = dict(zip(CASES, row, strict=False))
        return Pair({case: values[case] for case in cases}, row[-2], row[-1])

    return measure


def too_many(count, runs, probability):
    """Return whether chance reaches ``count`` of ``runs`` in fewer than 1 of 1000 tests."""
    return scipy.stats.binom.sf(count - 1, runs, probability) < 0.001
