"""What a comparison of two runs calls slower, by simulation: how often it is wrong, and what it finds.

All seeds are fixed. A run has forty cases, as the set that the gate times.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
from hypothesis import example, given
from hypothesis import strategies as st

from gradperf.comparison.changes import LENGTHS_ERROR, POWER, REFERENCE_ERROR, SLOWER_MACHINE, changes
from gradperf.records.facts import read_benchmark
from tests.records import record

CASES = 40
PAIRS = 300
BASELINE = "numpy.by_hand"


UNKNOWN = {"step_error": None, "step_interval_s": None}


def template(label, *, step_s=1e-5, **info):
    stored = record(label, step_s=step_s, **info)
    stored["extra_info"]["step_s"] = None  # as the call says
    return read_benchmark(stored)


STYLES = [template(BASELINE), *(template(f"torch.style{number}") for number in range(1, CASES))]


def baseline_of(problem):
    return BASELINE


def timed(one, step_s, error=0.01, reference_s=1e-5, lengths=(50, 5)):
    """Return a benchmark with this time, and the same reference at each moment."""
    steps, short_steps = lengths
    moments = ({"reference_s": reference_s},) * 4 if reference_s else ()
    facts = replace(
        one.facts, step_s=step_s, step_error=error, moments=moments, steps=steps, short_steps=short_steps
    )
    return replace(one, facts=facts)


def run(rng, *, error=0.01, effects=(), speed=1.0, reference_error=0.0, reference=None):
    """Return a run on a machine of this speed, whose errors are as large as it says. ``effects``: of some cases."""
    factors = np.ones(CASES)
    factors[1 : 1 + len(effects)] += effects
    times_s = 1e-5 * speed * factors * np.exp(rng.normal(0, error, CASES))
    references_s = 1e-5 * (reference or speed) * np.exp(rng.normal(0, reference_error, CASES))
    return [
        timed(one, float(step_s), error, float(reference_s))
        for one, step_s, reference_s in zip(STYLES, times_s, references_s, strict=True)
    ]


def compared(then, now, basis="seconds"):
    return changes(then, now, basis, baseline_of)


def alarms(seed, basis="seconds", then=None, now=None, pairs=PAIRS):
    """Return how many of the pairs of unchanged runs call any case slower, and how many call any faster."""
    rng = np.random.default_rng(seed)
    verdicts = [compared(run(rng, **(then or {})), run(rng, **(now or {})), basis) for _ in range(pairs)]
    return [sum(bool(found.with_verdict(verdict)) for found in verdicts) for verdict in ("slower", "faster")]


def power(seed, effect, error, pairs=200):
    """Return the share of the changed cases that are found: five in each pair."""
    rng = np.random.default_rng(seed)
    found = [compared(run(rng, error=error), run(rng, error=error, effects=[effect] * 5)) for _ in range(pairs)]
    return sum(len(one.with_verdict("slower")) for one in found) / (5 * pairs)


def at_most(probability, pairs=PAIRS):
    """Return the number that chance exceeds in 1 of 1000 tests."""
    return scipy.stats.binom.isf(0.001, pairs, probability)


@pytest.mark.parametrize("error", [0.01, 0.05])
def test_unchanged_runs_raise_no_alarm(error):
    """At most 1 % of the pairs call any of their forty cases slower; the same holds for faster."""
    assert max(alarms(1, then={"error": error}, now={"error": error})) <= at_most(0.01)


def test_unchanged_runs_of_unequal_errors():
    """A quiet run and one beside other work."""
    assert max(alarms(2, then={"error": 0.01}, now={"error": 0.08})) <= at_most(0.01)


@pytest.mark.parametrize("basis", ["reference", "baseline"])
def test_unchanged_runs_of_two_machines(basis):
    """What the times are divided by has an error of its own, and that counts."""
    noisy = {"reference_error": REFERENCE_ERROR}
    assert max(alarms(3, basis, noisy, {**noisy, "speed": 1.7})) <= at_most(0.01)


def test_unchanged_runs_of_a_slower_machine():
    """The same machine in a slow hour; the reference does not feel it exactly as the cases do."""
    rng = np.random.default_rng(4)
    count = 0
    for _ in range(PAIRS):
        felt = 1.3 * math.exp(rng.normal(0, REFERENCE_ERROR))
        found = compared(run(rng), run(rng, speed=1.3, reference=felt))
        count += bool(found.with_verdict("slower"))
    assert count <= at_most(0.01)


@pytest.mark.parametrize(
    ("effect", "error", "at_least"), [(0.10, 0.01, 0.95), (0.05, 0.01 / math.sqrt(2), 0.8), (0.20, 0.02, 0.95)]
)
def test_slowdowns_are_found(effect, error, at_least):
    """10 % of work added, at an error of 1 % in each run; 5 %, at an error of 1 % of the ratio."""
    assert power(5, effect, error) >= at_least


@pytest.mark.parametrize("error", [0.007, 0.01, 0.03])
def test_visible_is_what_is_found_in_four_of_five(error):
    """The slowdown that a comparison names as the smallest visible one is found with just that probability."""
    rng = np.random.default_rng(6)
    visible = compared(run(rng, error=error), run(rng, error=error)).cases[STYLES[1].case].visible
    assert power(7, visible, error) == pytest.approx(POWER, abs=0.05)


def test_more_cases_take_a_larger_change():
    """The more cases a run has, the wider is each interval."""
    rng = np.random.default_rng(8)
    then, now = run(rng), run(rng)
    few, all_ = compared(then[:3], now[:3]), compared(then, now)
    assert few.cases[then[1].case].visible < 0.9 * all_.cases[then[1].case].visible


def test_calls_of_other_lengths_widen_the_interval():
    """Calls of two lengths may differ by a little for reasons of their own."""
    then, now = timed(STYLES[0], 1e-5), timed(STYLES[0], 1.05e-5)
    other = timed(STYLES[0], 1.05e-5, lengths=(100, 10))
    same, differs = (compared([then], [one]).cases[then.case] for one in (now, other))
    assert same.ratio == differs.ratio == pytest.approx(1.05)
    assert differs.interval[0] < same.interval[0] < same.interval[1] < differs.interval[1]
    widths = [math.log(one.interval[1] / one.interval[0]) for one in (same, differs)]
    assert widths[1] / widths[0] == pytest.approx(math.hypot(0.01, 0.01, LENGTHS_ERROR) / math.hypot(0.01, 0.01))


def test_a_slower_machine_is_divided_out():
    """If the reference took longer by 3 % or more; below that it may be chance, and nothing is divided."""
    then = [timed(one, 1e-5) for one in STYLES]
    for factor, divided in ((2.0, True), (1.01 * SLOWER_MACHINE, True), (0.5, True), (1.01, False)):
        now = [timed(one, factor * 1e-5, reference_s=factor * 1e-5) for one in STYLES]
        found = compared(then, now)
        assert found.factor == pytest.approx(factor)
        ratios = {round(change.ratio, 6) for change in found.cases.values()}
        assert ratios == {1.0 if divided else factor}
        assert not found.with_verdict("slower")


def test_a_slower_case_on_a_slower_machine():
    """The machine takes twice as long, and one case three times: that is a slowdown of one half."""
    then = [timed(one, 1e-5) for one in STYLES]
    now = [timed(one, 2e-5, reference_s=2e-5) for one in STYLES]
    now[7] = timed(STYLES[7], 3e-5, reference_s=2e-5)
    found = compared(then, now)
    assert found.with_verdict("slower") == [STYLES[7].case]
    assert found.cases[STYLES[7].case].ratio == pytest.approx(1.5)


def test_a_machine_that_was_slow_for_some_cases():
    """Each case is divided by its own reference: the machine was slow while five of them were timed."""
    then = [timed(one, 1e-5) for one in STYLES]
    slow = [1.4 if place < 5 else 1.0 for place in range(CASES)]
    now = [timed(one, factor * 1e-5, reference_s=factor * 1e-5) for one, factor in zip(STYLES, slow, strict=True)]
    found = compared(then, now)
    assert found.factor == 1
    assert {round(change.ratio, 6) for change in found.cases.values()} == {1.0}
    assert found.cases[STYLES[0].case].visible > found.cases[STYLES[-1].case].visible


def test_one_odd_reference_is_no_slower_machine():
    """The median over the cases decides."""
    then = [timed(one, 1e-5) for one in STYLES[:5]]
    now = [timed(one, 1e-5, reference_s=2e-5 if place == 0 else 1e-5) for place, one in enumerate(STYLES[:5])]
    assert compared(then, now).factor == 1


def test_basis_reference():
    """Each case beside the reference of its own moments; without one there is no ratio."""
    then = [timed(STYLES[0], 1e-5, reference_s=1e-5), timed(STYLES[1], 1e-5, reference_s=None)]
    now = [timed(STYLES[0], 3e-5, reference_s=2e-5), timed(STYLES[1], 3e-5)]
    found = compared(then, now, "reference")
    known, unknown = (found.cases[one.case] for one in STYLES[:2])
    assert (known.ratio, known.verdict) == (pytest.approx(1.5), "slower")
    assert (unknown.ratio, unknown.interval, unknown.verdict) == (None, None, "unknown")


def test_basis_baseline():
    """Each case beside the baseline of its problem, which itself never changes; without it nothing is known."""
    then = [timed(one, 1e-5) for one in STYLES[:2]]
    now = [timed(STYLES[0], 2e-5), timed(STYLES[1], 4e-5)]
    found = compared(then, now, "baseline")
    baseline, other = (found.cases[one.case] for one in STYLES[:2])
    assert (baseline.ratio, baseline.verdict) == (1, "nothing seen")
    assert (other.ratio, other.verdict) == (pytest.approx(2), "slower")
    in_seconds = compared(then, [now[0], timed(STYLES[1], 4e-5)]).cases[STYLES[1].case]
    assert other.visible > 1.4 * in_seconds.visible
    (alone,) = compared(then[1:], now[1:], "baseline").cases.values()
    assert alone.verdict == "unknown"


def test_runs_without_a_common_case():
    """What only one of them has is named; a half of a step is no case."""
    then, now = [timed(STYLES[1], 1e-5)], [timed(STYLES[2], 1e-5)]
    half = replace(then[0], facts=replace(then[0].facts, part="forward"))
    found = compared(then, [*now, half])
    assert found.cases == {}
    assert (found.only_then, found.only_now) == ((STYLES[1].case,), (STYLES[2].case,))
    assert found.factor == 1
    assert compared([], []).cases == {}


def test_records_before_schema_2_have_a_ratio_alone():
    """They have the median of the calls, and no error: the ratio is shown, and nothing is claimed."""
    old = template("torch.style1", step_s=2e-5, schema=1)
    for then, now, ratio in ((old, timed(STYLES[1], 1e-5), 0.5), (timed(STYLES[1], 1e-5), old, 2), (old, old, 1)):
        (change,) = compared([then], [now]).cases.values()
        assert (change.ratio, change.interval, change.visible) == (pytest.approx(ratio), None, None)
        assert change.verdict == "unknown"
    (change,) = compared([old], [old]).cases.values()
    assert change.shown == "1.00 ±?"
    with_baseline = [template(BASELINE, schema=1), old]
    assert {one.ratio for one in compared(with_baseline, with_baseline, "baseline").cases.values()} == {1}


def test_a_time_that_is_not_known():
    """Without a time there is no ratio."""
    none = replace(template("torch.style1", schema=1), median_call_s=None)
    (change,) = compared([none], [timed(STYLES[1], 1e-5)]).cases.values()
    assert (change.ratio, change.verdict, change.shown) == (None, "unknown", None)


def benchmarks(seconds, errors):
    one = st.tuples(
        seconds, st.none() | errors, st.none() | seconds, st.sampled_from([(50, 5), (100, 10), (1, None)])
    )
    runs = st.lists(one, min_size=1, max_size=6)
    return runs.map(lambda facts: [timed(style, *known) for style, known in zip(STYLES, facts, strict=False)])


ordinary = benchmarks(st.floats(1e-7, 1e-2), st.floats(0.001, 1.0))
anything = benchmarks(st.floats(5e-324, 1.7e308), st.floats(0, 1.7e308))
bases = st.sampled_from(["seconds", "reference", "baseline"])
OPPOSITE = {"slower": "faster", "faster": "slower", "nothing seen": "nothing seen", "unknown": "unknown"}


@given(ordinary, ordinary, bases)
def test_exchanging_the_runs_inverts_everything(then, now, basis):
    """Ratio, interval, verdict and the factor of the machine."""
    forth, back = compared(then, now, basis), compared(now, then, basis)
    assert (forth.only_then, forth.only_now) == (back.only_now, back.only_then)
    assert forth.factor == pytest.approx(1 / back.factor)
    for name, change in forth.cases.items():
        other = back.cases[name]
        assert change.verdict == OPPOSITE[other.verdict]
        assert change.visible == other.visible or change.visible == pytest.approx(other.visible)
        if change.ratio is not None:
            assert change.ratio == pytest.approx(1 / other.ratio)
        if change.interval is not None:
            assert change.interval == pytest.approx(tuple(1 / bound for bound in reversed(other.interval)))


@given(anything, anything, bases)
@example([timed(STYLES[0], 1.0, 1e300)], [timed(STYLES[0], 1.0, 1e300)], "seconds")
@example([timed(STYLES[0], 5e-324, 0.0)], [timed(STYLES[0], 1e308, 0.0)], "seconds")
def test_no_record_ends_in_an_error(then, now, basis):
    """A file may hold any number. What comes of it is a number too, and never too large for one."""
    found = compared(then, now, basis)
    numbers = [found.factor]
    for change in found.cases.values():
        numbers += [one for one in (change.ratio, change.visible, *(change.interval or ())) if one is not None]
    assert all(map(math.isfinite, numbers))
