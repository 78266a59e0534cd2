"""Each case has several moments, spread over the run, some of them in another process."""

from collections import Counter, defaultdict
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gradperf.timing.plan import LATER, Plan


def executed(order, *, cases=None, until=None):
    """Run cases in this order; return every moment: case, process, and how many cases were begun before it.

    ``cases`` is the number that was expected, and ``until`` the number after which the run ends early.
    """
    plan, moments = Plan(len(order) if cases is None else cases), []
    for tick, case in enumerate(order[:until]):
        plan.begin(case)
        moments.append((case, "main", tick))
        moments += [(*due, tick + 1) for due in plan.due()]
    moments += [(*due, len(order)) for due in plan.rest()]
    assert list(plan.rest()) == list(plan.due()) == []
    return moments


def test_later_moments():
    """Four moments with the first; the main process and a fresh one have at least one each."""
    assert 1 + len(LATER) == 4
    assert {process for _, process in LATER} == {"main", "second"}


@given(st.integers(1, 60).flatmap(lambda n: st.permutations(range(n))), st.integers(1, 80), st.integers(0, 60))
def test_no_moment_is_lost(order, expected, until):
    """Each case that was begun has its moments, however many were expected, and if the run ends early."""
    moments = executed(order, cases=expected, until=until)
    assert Counter(case for case, _, _ in moments) == dict.fromkeys(order[:until], 1 + len(LATER))
    for case in order[:until]:
        assert [process for one, process, _ in moments if one == case] == ["main", "second", "main", "second"]


@given(st.integers(8, 200))
def test_moments_are_spread_over_the_run(cases):
    """A quarter of the run lies between two moments of a case; only what ends with the run is closer."""
    ticks = defaultdict(list)
    for case, _, tick in executed(range(cases)):
        ticks[case].append(tick)
    for case, times in ticks.items():
        planned = [case, *(case + share * cases for share, _ in LATER)]
        for tick, wanted in zip(times, planned, strict=True):
            assert tick - wanted < 1 if wanted <= cases else tick == cases
    first = ticks[0]
    assert all(later - earlier >= cases / 4 - 1 for earlier, later in pairwise(first))


def test_a_slow_quarter_of_a_run_meets_at_most_two_moments_of_most_cases():
    """So a slow minute does not decide the time of a case."""
    cases = 100
    slow = range(40, 60)
    met = Counter(case for case, _, tick in executed(range(cases)) if tick in slow)
    assert max(met.values()) == 1


def test_the_same_order_makes_the_same_plan():
    """The seed draws the order of the cases, and that is all that is drawn."""
    order = [3, 1, 4, 0, 5, 2]
    assert executed(order) == executed(order)
    assert executed(order) != executed(order[::-1])
