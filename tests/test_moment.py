"""A moment: rounds of calls of both lengths, of which the fastest counts that nothing disturbed."""

import gc
import itertools
import os
import threading

import pytest

from gradperf.pairs.child.cpu import usable_cpus
from gradperf.timing import moment, reference
from gradperf.timing.lengths import Lengths
from gradperf.timing.moment import LEAST_ROUNDS, LONG_S, PATIENCE, SECONDS
from tests.fake_time import Machine

BOTH = Lengths(50, 5)


@pytest.fixture
def machine(monkeypatch):
    """Return a machine whose time passes in calls alone; the reference takes no time on it."""
    monkeypatch.setattr(moment, "reference_s", lambda: 1e-5)
    return Machine().replace(monkeypatch, moment)


def test_lengths_take_turns(machine):
    """Other work meets both alike; one call of each comes before, as the caches are cold."""
    found = moment.take(machine.call(1e-5, 1e-4), BOTH, "main", None)
    assert machine.calls == [5, 50] * (found.rounds + 1)
    assert (found.long_s, found.short_s) == pytest.approx((6e-4, 1.5e-4))
    assert found.rounds == pytest.approx(SECONDS / 7.5e-4, abs=1.01)
    assert (found.process, found.disturbed, found.cpu_per_wall) == ("main", 0, pytest.approx(1))


def test_one_length(machine):
    """A long step is timed alone."""
    found = moment.take(machine.call(0.01), Lengths(1, None), "second", None)
    assert set(machine.calls) == {1}
    assert (found.long_s, found.short_s) == (pytest.approx(0.01), None)


def test_the_fastest_calls_count(machine):
    """Most calls are late for a reason that the system does not know."""
    late = itertools.cycle([0.0, *[2e-4] * 10])
    found = moment.take(machine.call(1e-5, 1e-4, noise=late), BOTH, "main", None)
    assert (found.long_s, found.short_s) == pytest.approx((6e-4, 1.5e-4))


def test_disturbed_rounds_are_left_out(machine):
    """The fastest round counts of those in which the CPU was not taken away, even if another was faster."""
    plain, slow = machine.call(1e-5), machine.call(2e-5)

    def call(steps):
        rounds = len(machine.calls) // 2
        (plain if rounds == 20 else slow)(steps)
        machine.preempted += rounds == 20 or rounds % 3 == 0

    found = moment.take(call, BOTH, "main", None)
    assert (found.long_s, found.short_s) == pytest.approx((1e-3, 1e-4))
    assert 0 < found.disturbed < found.rounds
    assert found.disturbed == pytest.approx(found.rounds / 3, abs=2)


def test_a_round_is_left_out_as_a_whole(machine):
    """If the CPU was taken away in the short call, the long one beside it does not count either."""
    found = moment.take(machine.call(1e-5, busy=lambda call: call % 8 == 2), BOTH, "main", None)
    assert found.disturbed == pytest.approx(found.rounds / 4, abs=1)


def test_all_rounds_count_if_all_were_disturbed(machine):
    """A disturbed time is better than none, and the moment says that all were disturbed."""
    found = moment.take(machine.call(1e-5, busy=lambda call: True), BOTH, "main", None)
    assert found.disturbed == found.rounds >= LEAST_ROUNDS
    assert (found.long_s, found.short_s) == pytest.approx((1e-3, 1e-4))


def test_a_busy_machine_ends_a_moment(machine):
    """With the CPU taken away in every round it ends after a few times as long by the clock."""
    start_s = machine.now_s
    waits = (0.0 if number in (2, 3) else 2e-3 for number in itertools.count())  # one round is fast
    moment.take(machine.call(1e-5, noise=waits, busy=lambda call: True), BOTH, "main", None)
    assert machine.now_s - start_s == pytest.approx(PATIENCE * SECONDS, rel=0.2)


def test_rounds_that_are_all_disturbed_end_a_moment(machine):
    """After twice the calls of a quiet moment: on one CPU, threads that take turns disturb every round."""
    start_s = machine.now_s
    moment.take(machine.call(1e-5, busy=lambda call: True), BOTH, "main", None)
    assert machine.now_s - start_s == pytest.approx(2 * SECONDS, rel=0.1)


def test_a_quiet_moment_ends_early(machine):
    """After its undisturbed calls took the time that a moment has."""
    start_s = machine.now_s
    moment.take(machine.call(1e-5), BOTH, "main", None)
    assert machine.now_s - start_s == pytest.approx(SECONDS, rel=0.05)


@pytest.mark.parametrize("cpu", [None, *usable_cpus()[:1]])
def test_long_calls_have_a_few_rounds(machine, cpu):
    """Three of them, however long they take; on one CPU or where the system puts them. Each counts."""
    found = moment.take(machine.call(30.0), Lengths(1, None), "main", cpu)
    assert found.rounds == LEAST_ROUNDS == 3 == len(machine.calls)


@pytest.mark.parametrize("cpu", [None, *usable_cpus()[:1]])
@pytest.mark.parametrize("long_s", [0.9 * LONG_S, 1.1 * LONG_S])
def test_a_short_round_with_cold_caches_does_not_count(machine, cpu, long_s):
    """It comes first, once in each half. From 50 ms on it counts, and there is no other."""
    found = moment.take(machine.call(long_s), Lengths(1, None), "main", cpu)
    cold = (1 if cpu is None else 2) if long_s < LONG_S else 0
    assert found.rounds == LEAST_ROUNDS == len(machine.calls) - cold


def test_a_first_round_that_was_disturbed_is_left_out(machine):
    """However long it is."""
    found = moment.take(machine.call(0.1, busy=lambda call: call == 0), Lengths(1, None), "main", None)
    assert (found.rounds, found.disturbed, found.long_s) == (3, 1, pytest.approx(0.1))


def test_no_garbage_is_collected(machine):
    """Not in the calls; afterwards as before, also if a call raises or nothing was collected before."""
    inside = []
    plain = machine.call(1e-3)

    def call(steps):
        inside.append(gc.isenabled())
        plain(steps)

    assert gc.isenabled()
    moment.take(call, BOTH, "main", None)
    assert not any(inside)
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError):
        moment.take(lambda steps: 1 // 0, BOTH, "main", None)
    assert gc.isenabled()
    gc.disable()
    try:
        moment.take(call, BOTH, "main", None)
        assert not gc.isenabled()
    finally:
        gc.enable()


@pytest.mark.skipif(not usable_cpus(), reason="this system keeps no process on a CPU")
@pytest.mark.parametrize("raises", [False, True])
def test_half_of_the_time_is_spent_on_one_cpu(machine, raises):
    """All threads are kept there, and later put back, also if a call raises."""
    cpu, before, stop = usable_cpus()[-1], os.sched_getaffinity(0), threading.Event()
    other = threading.Thread(target=stop.wait)
    other.start()
    plain, seen = machine.call(1e-3), []

    def call(steps):
        seen.append((os.sched_getaffinity(0), os.sched_getaffinity(other.native_id)))
        if raises and seen[-1][0] == {cpu} and len(seen) > 10:
            raise ZeroDivisionError
        plain(steps)

    try:
        try:
            moment.take(call, Lengths(2, 1), "main", cpu)
        except ZeroDivisionError:
            assert raises
        after = os.sched_getaffinity(0), os.sched_getaffinity(other.native_id)
    finally:
        stop.set()
        other.join()
    assert after == (before, before)
    alone = sum(both == ({cpu}, {cpu}) for both in seen)
    assert alone > 0
    if len(before) > 1:
        assert sum(both == (before, before) for both in seen) > 0
        assert raises or alone == pytest.approx(len(seen) / 2, rel=0.1)


def test_both_halves_count(machine):
    """The fastest call of both halves counts: the CPU that was drawn may be the busy one."""
    cpu = next(iter(usable_cpus()), None)
    for fast_half in (0, 1):
        machine.calls.clear()
        fast, slow, start_s = machine.call(1e-5), machine.call(3e-5), machine.now_s

        def call(steps, fast=fast, slow=slow, start_s=start_s, fast_half=fast_half):
            half = machine.now_s - start_s > SECONDS / 2
            (fast if half == fast_half else slow)(steps)

        assert moment.take(call, BOTH, "main", cpu).long_s == pytest.approx(5e-4)


def test_the_faster_reference_counts(machine, monkeypatch):
    """Of those before and after the calls: noise only adds."""
    for times_s in ([3e-5, 1e-5], [1e-5, 3e-5]):
        left = iter(times_s)
        monkeypatch.setattr(moment, "reference_s", lambda left=left: next(left))
        assert moment.take(machine.call(1e-3), BOTH, "main", None).reference_s == 1e-5


def test_the_reference_is_real():
    """On this machine it takes a plausible time: 524,288 operations."""
    assert all(1e-7 < reference.reference_s() < 1e-1 for _ in range(3))


def test_the_fastest_round_of_the_reference_counts(monkeypatch):
    """Of many rounds of a few products each; here each reading of the clock is a round."""
    readings = iter([0.0, 0.0, 4e-4, 4e-4, 5e-4, 5e-4, 0.004])
    monkeypatch.setattr(reference.time, "perf_counter", lambda: next(readings))
    assert reference.reference_s() == pytest.approx(1e-4 / 4)
