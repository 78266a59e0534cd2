"""Changes so large that a few pairs of processes prove them, though too few for the exact test.

Of n pairs the exact test proves at most p = 2⁻ⁿ, so three or four pairs prove nothing, even of a case that became
30 times slower. Two conditions together do instead. Every value lies beyond a factor of two on the same side: no
pair of equal code does that, because the speeds that a process may draw are up to 1.7 apart. And Student's t,
which takes the spread of the values for normal, is beyond the smallest effect of interest at alpha, divided by
the number of cases and groups. tests/gate/test_large.py simulates how rarely both hold by chance.
"""

import math
from collections.abc import Sequence

from gradperf.gate.decision.trial import Plan
from gradperf.stats import p_slower_t

FACTOR = 2.0
"""Every pair is slower, or faster, by more than this factor."""

LEAST_PAIRS = 3


def p_large(values: Sequence[float], plan: Plan, subjects: int) -> float:
    """Return the p-value of a large slowdown, adjusted for the number of cases and groups; 1 if it is not large."""
    if len(values) < LEAST_PAIRS or min(values) <= math.log(FACTOR):
        return 1.0
    return min(1.0, subjects * p_slower_t(values, plan.margin))
