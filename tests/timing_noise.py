"""Simulated moments: a case of known cost on machines with several kinds of noise. Noise only ever adds time."""

import numpy as np

from gradperf.timing.estimate import estimate
from gradperf.timing.moment import Moment

STEP_S, ONCE_S, LONG, SHORT = 1e-5, 1e-4, 50, 5
REFERENCE_S = 1.2e-5
PROCESSES = ("main", "second", "main", "second")


def moment(rng, process, *, busy=0.0, floor=0.004, slow=1.0, speed=1.0, rounds=80):
    """Return one moment.

    Rounds are late by 2 % on average. ``busy`` is the share of rounds in which the CPU is taken away, which is
    known, so that they are left out. As many calls of the others take twice as long, on average, for reasons that
    are not known.
    No call of the moment is faster than ``floor`` allows, on average. In a ``slow`` moment everything takes so many
    times as long, the reference too; ``speed`` affects the case alone.
    """
    taken_away = rng.random(rounds) < busy
    kept = ~taken_away if not taken_away.all() else taken_away
    least = slow * (1 + rng.exponential(floor))
    times_s = []
    for steps in (SHORT, LONG):
        late = rng.gamma(2.0, 0.01, rounds)
        late += np.where(rng.random(rounds) < busy, rng.exponential(1.0, rounds), 0.0)
        late += np.where(taken_away, rng.uniform(0.5, 3.0, rounds), 0.0)
        times_s.append(float(min((ONCE_S + steps * STEP_S * speed) * least * (1 + late[kept]))))
    reference_s = REFERENCE_S * slow * (1 + abs(rng.normal(0, 0.01)))
    return Moment("", process, times_s[1], times_s[0], rounds, int(taken_away.sum()), 1.0, float(reference_s))


def estimates(seed, runs, each=lambda rng: [{}] * 4):
    """Return an estimate and its moments for each run; ``each(rng)`` returns what is special about its moments."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(runs):
        special = each(rng)
        moments = [moment(rng, process, **one) for process, one in zip(PROCESSES, special, strict=True)]
        found.append((estimate(moments, long=LONG, short=SHORT), moments))
    return found
