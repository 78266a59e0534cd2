"""A timed call lasts about a millisecond or one step, and two runs choose the same lengths."""

import itertools
import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gradperf.timing import lengths
from gradperf.timing.lengths import APART_S, LADDER, LEVERAGE, LONGEST_S, STEPS_S, Lengths, leverage
from tests.fake_time import Machine


def chosen(step_s, once_s=0.0, most=10**6, **named):
    """Choose for calls of known cost; also return the number of steps of every call that was made."""
    machine = Machine()
    with pytest.MonkeyPatch.context() as patch:
        machine.replace(patch, lengths)
        return lengths.choose(machine.call(step_s, once_s, **named), most), machine.calls


@pytest.mark.parametrize(
    ("step_s", "once_s", "expected"),
    [
        (1e-5, 0.0, Lengths(100, 10)),
        (1e-6, 0.0, Lengths(1000, 100)),
        (4.5e-7, 2e-6, Lengths(2000, 200)),
        (2.2e-5, 1e-6, Lengths(50, 5)),
        (1e-5, 5e-4, Lengths(100, 10)),  # a third of a call is paid once
        (3e-4, 0.0, Lengths(3, 1)),
        (3.5e-4, 2.9e-4, Lengths(5, 1)),  # with 3 steps, what is paid once would hide them
        (1e-3, 4e-4, Lengths(3, 1)),
        (4e-2, 1e-3, Lengths(2, 1)),
    ],
)
def test_the_steps_of_a_long_call_last_about_a_millisecond(step_s, once_s, expected):
    """Of a round number of steps; the short one has a tenth of them, and never none."""
    found, _ = chosen(step_s, once_s)
    assert found == expected
    assert found.each == (found.short, found.long)


@pytest.mark.parametrize("step_s", [1.01 * APART_S, 2 * APART_S, 7.0])
def test_a_long_step_is_timed_alone(step_s):
    """From 50 ms on one length is enough, as less than 1 % of a call is paid once; two calls find out."""
    found, calls = chosen(step_s)
    assert found == Lengths(1, None)
    assert found.each == (1,)
    assert calls == [1, 1]


def test_a_problem_of_one_step_has_one_length():
    """A product of matrices has no second step. There is nothing to choose, so nothing is tried."""
    assert chosen(1e-6, most=1) == (Lengths(1, None), [])


@given(st.floats(1e-6, 0.3), st.floats(0, 5e-3), st.integers(1, 5000))
def test_any_cost(step_s, once_s, most):
    """No call has more steps than the problem. None is long unless two steps are, and none longer than needed."""
    assume(not math.isclose(once_s + step_s, APART_S, rel_tol=1e-9))  # the clock rounds
    assume(once_s <= 500 * step_s)  # else a step is too short to be seen in one call
    found, calls = chosen(step_s, once_s, most)
    assert max(calls, default=1) <= most
    assert 1 <= found.long <= most
    assert found.long in (*LADDER, most)
    assert (found.short is None) == (most == 1 or once_s + step_s >= APART_S)
    if found.short is not None:
        assert 1 <= found.short < found.long
    if found.short is None:
        return
    steps_s, long_s, short_s = found.long * step_s, once_s + found.long * step_s, once_s + found.short * step_s
    if found.long > 2:
        assert steps_s <= 1.3 * STEPS_S or long_s <= 1.01 * LONGEST_S
    if 2 * step_s < STEPS_S / 3 and found.long < most:
        assert steps_s >= STEPS_S / 3
    if leverage(long_s, short_s) > 1.05 * LEVERAGE and found.long < most:
        longer = next(steps for steps in LADDER if steps > found.long)
        assert once_s + min(longer, most) * step_s >= 0.99 * LONGEST_S


@given(
    st.sampled_from([(1e-5, 1e-4), (5e-5, 0.0), (3e-4, 2e-4), (2e-6, 1e-6), (0.02, 1e-3)]),
    st.lists(st.floats(0, 1e-3), min_size=1, max_size=7),
    st.integers(2, 3),
)
def test_noise_that_adds_time_changes_nothing(cost, noise, quiet_every):
    """The fastest of a few calls decides, so it is enough that one of three calls is undisturbed."""
    step_s, once_s = cost
    extra = itertools.cycle(noise)
    late = (0.0 if number % quiet_every == 0 else next(extra) for number in itertools.count())
    assert chosen(step_s, once_s, most=200_000, noise=late)[0] == chosen(step_s, once_s, most=200_000)[0]


def test_calls_without_the_cpu_do_not_count():
    """Every other call takes twice as long, as the CPU was taken away."""
    assert chosen(1e-5, 1e-4, busy=lambda call: call % 2)[0] == chosen(1e-5, 1e-4)[0]


def test_a_machine_that_is_always_busy_does_not_hang():
    """If the CPU is taken away in every call, their times must do."""
    found, calls = chosen(1e-5, busy=lambda call: True)
    assert found.long in (20, 50)
    assert len(calls) < 10_000


def test_the_first_call_may_compile():
    """The first call in each length does not count."""
    seen = set()
    machine = Machine()
    plain = machine.call(1e-5)

    def compiling(steps):
        machine.now_s += 0 if steps in seen else 5.0
        seen.add(steps)
        plain(steps)

    with pytest.MonkeyPatch.context() as patch:
        machine.replace(patch, lengths)
        assert lengths.choose(compiling, 10**6) == Lengths(100, 10)
    assert len(seen) <= 6
