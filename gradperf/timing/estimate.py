"""Estimates the time of a step and the cost of a call from the moments of a case.

Other work only adds time. So the fastest call of all moments is the best estimate of the time of a call, and the
difference of a long and a short call is the time of the steps by which they differ. How far the moments agree tells
a little of how far the estimate can be trusted: if only one of them reached the fastest time, perhaps none reached
the true one. How much the speed of the machine changed during the run tells more.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from gradperf.timing.lengths import leverage
from gradperf.timing.moment import Moment

HIDDEN_ERROR = 0.0115
"""Standard error, of the logarithm of a step's time, that the moments of a run do not show.

By experiment, as the share below: with both, about one in a hundred comparisons of equal code calls one of forty
cases slower. ``docs/measuring.md`` has the experiment, and ``gradperf stability`` repeats it.
"""

USUAL_LEVERAGE = 1.4
"""Up to this leverage the error above holds; beyond it the error grows in proportion.

The leverage is large where a call pays more once than for its steps (:func:`gradperf.timing.lengths.leverage`).
"""

LONG_CALL_S, MOST_FOR_LENGTH = 1.8e-3, 4.0
"""Up to this length of a call the error above holds. Beyond it the error grows in proportion, up to four times.

A long call is seldom free of all disturbance, and the caches that it needs are shared with other machines. By
experiment: three quiet runs of 179 cases differed by 0.8 % where calls take less than 2 ms, and by 2 to 15 % where
they take 4 to 20 ms. ``docs/measuring.md`` has the figures.
"""

SPREAD_SHARE = 0.25
"""The share of the spread of the moments that counts as error.

The fastest moment is mostly right, however late the others were. So the spread says little. In a first version all
of it counted, and the slower process too: then a slowdown of 10 % was found in 31 % of the comparisons.
"""

UNREST_SHARE = 0.75
"""The share of the unrest of the machine that counts as error, by experiment: see ``docs/measuring.md``."""

FAST = 0.05
"""This share of the references of a run were as fast as the machine can be; a single one may be fast by chance."""

MOST = 100.0
"""No error is larger: with this one, nothing is known of a time."""

WIDTH = 2.0
"""The interval extends this many standard errors to each side."""

SLOW = 1.1
"""A moment was slow if its reference took this many times as long as the fastest of the case."""

ALONE = 0.4
"""The spread of a single moment, which cannot show it."""


@dataclass(frozen=True)
class Estimate:
    """What the moments of a case show."""

    step_s: float
    """Time of a step."""
    call_s: float | None
    """What a call pays once; None if calls of one length were timed."""
    error: float
    """Standard error of the logarithm of ``step_s``, about the relative one."""
    own_error: float
    """The part of it that is not due to the unrest of the machine."""
    disturbed: float
    """Share of the rounds in which the system took the CPU away."""
    slow: int
    """Moments that were left out, as the reference was slow."""

    @property
    def interval_s(self) -> tuple[float, float]:
        """Return the interval of ``step_s``."""
        return self.step_s * math.exp(-WIDTH * self.error), self.step_s * math.exp(WIDTH * self.error)


def unrest(moments: Iterable[Moment]) -> float:
    """Return how much slower than at its best the machine was during a run, in the mean of its moments.

    ``moments`` are those of all cases. The result is the mean logarithm of the time of the reference, as a multiple
    of a fast one: 0 for a machine of one speed; 0 without moments.
    """
    references_s = [moment.reference_s for moment in moments]
    if not references_s:
        return 0.0
    fast_s = fast_reference_s(references_s)
    return fmean(max(0.0, math.log(second / fast_s)) for second in references_s)


def fast_reference_s(references_s: Iterable[float]) -> float:
    """Return the time of the reference while the machine is as fast as it can be, by all moments of a run."""
    ordered = sorted(references_s)
    return ordered[int(FAST * len(ordered))]


def estimate(moments: Sequence[Moment], *, long: int, short: int | None, unrest: float = 0.0) -> Estimate:
    """Return the estimate from calls of ``long`` and ``short`` steps; raises ValueError without moments.

    ``unrest`` is that of the machine during the run (:func:`unrest`).
    """
    if not moments:
        raise ValueError("no moment to estimate a time from")
    reference_s = min(moment.reference_s for moment in moments)
    used = [moment for moment in moments if moment.reference_s <= SLOW * reference_s]
    step_s, call_s = _times(used, long, short)
    rounds = sum(moment.rounds for moment in moments)
    own_error = math.hypot(HIDDEN_ERROR * _difficulty(used, call_s), SPREAD_SHARE * _spread(used, long, short))
    return Estimate(
        step_s=step_s,
        call_s=call_s,
        error=min(MOST, math.hypot(own_error, UNREST_SHARE * unrest)),
        own_error=min(MOST, own_error),
        disturbed=sum(moment.disturbed for moment in moments) / rounds,
        slow=len(moments) - len(used),
    )


def _times(moments: Sequence[Moment], long: int, short: int | None) -> tuple[float, float | None]:
    """Return the seconds of a step and of what a call pays once."""
    long_s, short_s = _fastest_s(moments)
    if short is None or short_s is None:
        return long_s / long, None
    step_s = (long_s - short_s) / (long - short)
    if not short_s / short >= step_s > 0:  # one of the two was never timed without a disturbance
        return long_s / long, None
    return step_s, short_s - short * step_s


def _fastest_s(moments: Sequence[Moment]) -> tuple[float, float | None]:
    """Return the seconds of the fastest long call and of the fastest short one, each of any moment."""
    long_s = min(moment.long_s for moment in moments)
    return long_s, min((moment.short_s for moment in moments if moment.short_s is not None), default=None)


def _difficulty(moments: Sequence[Moment], call_s: float | None) -> float:
    """Return how many times the usual error a time has: by the length of its calls, and by their difference."""
    long_s, short_s = _fastest_s(moments)
    by_length = min(max(1.0, long_s / LONG_CALL_S), MOST_FOR_LENGTH)
    if call_s is None or short_s is None:
        return by_length
    return by_length * max(1.0, leverage(long_s, short_s) / USUAL_LEVERAGE)


def _spread(moments: Sequence[Moment], long: int, short: int | None) -> float:
    """Return how much the logarithm of a step's time changes, at most, without one moment."""
    if len(moments) < 2:
        return ALONE
    rests = [[*moments[:place], *moments[place + 1 :]] for place in range(len(moments))]
    step_s, _ = _times(moments, long, short)
    return max(abs(math.log(_times(rest, long, short)[0] / step_s)) for rest in rests)
