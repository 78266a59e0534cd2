"""The smallest slowdown that a run would have called regressed four times out of five.

It is computed from the values that were measured, and not from a normal distribution: values with two modes hide
far larger slowdowns than their ordinary spread tells. From the values, centred, many runs are drawn: a screen and
a confirmation each. Of each such run it is known by how much its values must be shifted to be suspected, and to
be proven. The change that is enough for 80 % of the runs is the answer.
"""

import math
from collections.abc import Sequence

import numpy as np

from gradperf.gate.decision.trial import END, SCREEN_P, Plan
from gradperf.stats import location, lower_bounds

POWER = 0.8
"""Probability with which the smallest visible change would be called regressed."""

RUNS = 200
"""Runs that are drawn. The answer varies by some percent of itself, as it does from screen to screen anyway."""


def smallest_visible_change(
    values: Sequence[float], plan: Plan, *, suspect_margin: float, suspects: int
) -> float | None:
    """Return the slowdown, as a share; None for fewer than two ``values``.

    The half look and the extra look are left out, which find some more. This makes up for values drawn from few
    others, which vary less than those of the machine. (Simulated with both corrected, the promise is kept in 80 %
    of runs with normal noise, but in 70 % with two speeds; as it is, in 83 and 93 %.)
    """
    if len(values) < 2:
        return None
    plan = plan.enough_for(suspects)
    centred = np.asarray(values) - location(values)
    draw = np.random.default_rng(0).choice  # the same values always give the same answer
    screens, confirmations = (draw(centred, (RUNS, pairs)) for pairs in (plan.screen, plan.confirm))
    suspected = np.minimum(
        suspect_margin - lower_bounds(screens, SCREEN_P), plan.bound - np.median(screens, axis=1)
    )
    level = plan.shares[END] * plan.alpha / suspects
    proven = plan.margin - lower_bounds(confirmations, level)
    needed = float(np.quantile(np.maximum(suspected, proven), POWER))
    return math.expm1(max(plan.margin, needed))
