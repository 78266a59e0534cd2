"""A replicate measures the ratio, even if the machine changes for both sides, and its orders are drawn."""

import math
import random
from collections import Counter
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import pytest

from gradperf.gate.decision.trial import PLANTED
from gradperf.gate.measuring import replicate
from gradperf.gate.measuring.replicate import Setting
from gradperf.machine import threads
from gradperf.pairs import turns
from gradperf.pairs.process import PADDING
from gradperf.pairs.turns import CASE_S, ENOUGH_TURNS, TURNS, Schedule, schedule
from tests.gate.suites import faked, side

CASES = ("test_x.py::a", "test_x.py::b", "test_x.py::c")
HEAD = 1.1
"""In the tests the head takes this many times as long."""


def measured(seed=0, cases=CASES, control=CASES[1], planted=None, repeats=False, **environment):
    """Measure once, with whatever stands for processes."""
    setting = Setting(
        base=side(Path("/base"), **environment),
        head=side(Path("/head"), "head", **environment),
        arguments=(),
        control=control,
        planted=planted or {},
        foreign=None,
        changes_code=False,
        folder=Path("/folder"),
        janitor=None,
        patience_s=1,
    )
    return replicate.replicate(cases, setting, random.Random(seed), repeats=repeats)  # noqa: S311


def slower(name, clock):
    """The head is slower, and the machine the same all the time."""
    return 1e-3 * (HEAD if name == "head" else 1)


def drifting(name, clock):
    """The same on a machine that becomes 2 % slower with every turn."""
    return slower(name, clock) * 1.02**clock


def spiky(name, clock):
    """The same on a machine that is three times slower for a few turns."""
    return slower(name, clock) * (3 if clock % 40 < 8 else 1)


def finds_the_ratio(within=0.03):
    """Whether the values of all cases and of the control are what they should be."""
    found = [measured(seed) for seed in range(10)]
    values = [value.log_ratio for one in found for value in one.values.values()]
    nulls = [one.null for one in found]
    return all(abs(value - math.log(HEAD)) < within for value in values) and max(map(abs, nulls)) < within


@pytest.mark.parametrize("model", [slower, drifting, spiky])
def test_value(monkeypatch, model):
    """Head over base comes out as it is, and base over base as 1, on a machine that drifts or has spikes."""
    faked(monkeypatch, seconds=staticmethod(model))
    assert finds_the_ratio()


def test_planted(monkeypatch):
    """The planted control is slower by what was planted, and so is a head in which something was."""
    faked(monkeypatch, seconds=staticmethod(slower))
    found = measured(planted={CASES[0]: 0.2})
    assert abs(found.planted - math.log(1 + PLANTED)) < 1e-4
    assert abs(found.values[CASES[0]].log_ratio - math.log(1.2 * HEAD)) < 1e-4
    assert abs(found.values[CASES[2]].log_ratio - math.log(HEAD)) < 1e-4


def test_sides_swapped(monkeypatch):
    """Were base and head exchanged, the value would be wrong."""
    faked(monkeypatch, seconds=staticmethod(slower))
    assert finds_the_ratio()
    own = replicate.take_turns

    def swapped(base, head, *rest, **options):
        return own(head, base, *rest, **options)

    monkeypatch.setattr(replicate, "take_turns", swapped)
    assert not finds_the_ratio()


def drifting_fast(name, clock):
    """A machine that becomes 3 % slower with every turn."""
    return slower(name, clock) * 1.03**clock


def test_turns_in_blocks(monkeypatch):
    """Were all turns of one side taken before the other's, a drift of the machine would be the value."""
    faked(monkeypatch, seconds=staticmethod(drifting_fast))
    assert finds_the_ratio(within=0.1)
    own = replicate.take_turns

    class Later:
        """The head, of which only the turns after the base's are believed."""

        def __init__(self, process):
            self.process = process

        def __getattr__(self, name):
            return getattr(self.process, name)

        def ask(self, **order):
            type(self.process).clock += TURNS if "turn" in order else 0
            try:
                return self.process.ask(**order)
            finally:
                type(self.process).clock -= TURNS if "turn" in order else 0

    def in_blocks(base, head, *rest, **options):
        return own(base, replace(head, process=Later(head.process)), *rest, **options)

    monkeypatch.setattr(replicate, "take_turns", in_blocks)
    assert not finds_the_ratio(within=0.1)


def one_slow_half(name, clock):
    """A machine that is twice as slow from a certain turn on: in one turn of the base more than of the head."""
    return slower(name, clock) * (1 if clock % 43 < 20 else 2)


def test_medians_unpaired(monkeypatch):
    """Were the medians of each side compared, instead of the turns in pairs, a step of the machine would show."""
    faked(monkeypatch, seconds=staticmethod(one_slow_half))
    assert finds_the_ratio(within=0.01)
    own = replicate.take_turns

    def unpaired(*arguments, **options):
        value = own(*arguments, **options)
        return replace(value, log_ratio=math.log(value.head_s / value.base_s))

    monkeypatch.setattr(replicate, "take_turns", unpaired)
    assert not finds_the_ratio(within=0.2)


def test_value_is_an_estimate_of_all_turns(monkeypatch):
    """The value is the median of the means of any two turns, which differs from that of the turns themselves."""
    ratios = [1.0, 1.0, 1.0, 1.1, 1.4]
    head_s = iter(cycle(ratios))
    faked(monkeypatch, seconds=staticmethod(lambda name, clock: 1e-3 * (next(head_s) if name == "head" else 1)))
    value = measured(cases=CASES[:1], control=None).values[CASES[0]]
    assert value.log_ratio == pytest.approx((math.log(1.0) + math.log(1.1)) / 2, abs=1e-3)


@pytest.mark.parametrize(
    ("disturbed", "counting"), [((3, 7), 38), (range(19), 21), (range(21), 40), (range(40), 40)]
)
def test_disturbed_turns(disturbed, counting):
    """Turns in which the system took the CPU away do not count, unless there are hardly any others."""
    taken = [turns.Turn(1.0, 1.0, number in disturbed) for number in range(40)]
    assert len(turns.counted(taken)) == counting


def on_unequal_cpus(self, name, clock):
    """A machine whose second CPU is half as fast, and whose system places only the base on the first."""
    cpu = (name != "base") if self.cpu is None else self.cpu
    return slower(name, clock) * (1 + cpu)


def test_one_cpu(monkeypatch):
    """Unequal CPUs do not show, as both sides have the same; they would, were the sides not kept on one."""
    faked(monkeypatch, seconds=on_unequal_cpus)
    assert finds_the_ratio(within=0.01)
    faked(monkeypatch, seconds=on_unequal_cpus, cpus=())
    assert not finds_the_ratio(within=0.2)


def test_cpu_is_drawn(monkeypatch):
    """Every case is on a CPU that all of its processes may have, and each of them gets its share of cases."""
    fake = faked(monkeypatch, cpus=(3, 5))
    for seed in range(20):
        measured(seed)
    kept = {
        role: [
            order["cpu"]
            for process in fake.launched
            if process.role == role
            for order in process.orders
            if "cpu" in order
        ]
        for role in ("base", "head", "control", "twin")
    }
    assert len(kept["head"]) == 20 * len(CASES)
    assert len(kept["control"]) == 20 * 2
    assert 15 < kept["head"].count(3) < 45
    assert kept["base"] == kept["head"]
    assert kept["control"] == kept["twin"]

    def begin(self):
        own(self)
        if "ready" in self.answers[-1]:
            self.answers[-1]["cpus"] = {"base": [3, 5], "head": [5, 7], "control": [5], "twin": []}[self.role]

    fake = faked(monkeypatch)
    own = fake._begin
    fake._begin = begin
    measured()
    on = {process.role: process.cpu for process in fake.launched}
    assert on == {"base": 5, "head": 5, "control": None, "twin": None}


def crowded(self, name, clock):
    """Threads that spin while they wait for each other: on one CPU all takes ten times as long, and uncertainly."""
    return slower(name, clock) if self.cpu is None else 1e-2 * (1 + clock % 7)


@pytest.mark.parametrize("names", [("base", "head", *replicate.CONTROLS), ("base", "control"), ("head", "twin")])
def test_crowded_cpu(monkeypatch, names):
    """What is slow on one CPU, on one side or both, is not kept there."""
    fake = faked(monkeypatch)
    fake.seconds = lambda self, name, clock: crowded(self, name, clock) if name in names else slower(name, clock)
    assert finds_the_ratio(within=0.01)
    assert all(process.cpu is None for process in fake.launched)


def test_a_slow_moment_is_not_a_crowded_cpu(monkeypatch):
    """A side whose first turn alone is slow is kept, and so is one that is slow wherever it runs."""
    spoiled = faked(monkeypatch, seconds=staticmethod(lambda name, clock: 1e-3 * (30 if clock % 50 == 1 else 1)))
    measured(cases=CASES[:1], control=None)
    assert all(process.cpu is not None for process in spoiled.launched)
    fake = faked(monkeypatch, seconds=staticmethod(lambda name, clock: 1e-3 * (30 if name == "head" else 1)))
    fake.call_s = property(lambda self: 1e-3 * (30 if self.role == "head" else 1))
    assert measured().values[CASES[0]].log_ratio == pytest.approx(math.log(30))
    assert all(process.cpu is not None for process in fake.launched)


def test_long_turns_end(monkeypatch):
    """Turns that take far longer than calls took before are given up after a while."""
    now = iter(range(10**6))
    monkeypatch.setattr(turns.time, "monotonic", lambda: next(now))
    fake = faked(monkeypatch, cpus=(), seconds=staticmethod(drifting))
    measured(cases=CASES[:1], control=None)
    taken = sum("turn" in order for order in fake.launched[0].orders)
    assert taken <= turns.LONGEST_S + 3


def launches(monkeypatch, seeds):
    """Count the orders of launching, and return the sizes of the environments."""
    orders, padding = Counter(), set()
    for seed in seeds:
        fake = faked(monkeypatch)
        measured(seed)
        orders[tuple(process.role for process in fake.launched)] += 1
        padding |= {process.padding for process in fake.launched}
    return orders, padding


def is_mixed(orders):
    """Whether each of the four is first about as often: of 60 at most 29 are, with all but a chance of 0.02 %."""
    first = Counter()
    for order, count in orders.items():
        first[order[0]] += count
    return set(first) == {"base", "head", "control", "twin"} and max(first.values()) <= 29


def test_launch_order(monkeypatch):
    """Who is launched first is drawn, as is the size of each environment; a fixed order would be noticed."""
    orders, padding = launches(monkeypatch, range(60))
    assert len(orders) > 12
    assert is_mixed(orders)
    assert len(padding) > 100
    assert max(padding) < PADDING

    class Fixed(random.Random):
        def shuffle(self, what):
            pass

    monkeypatch.setattr(random, "Random", Fixed)
    orders, _ = launches(monkeypatch, range(60))
    assert not is_mixed(orders)


@pytest.mark.parametrize("seed", range(5))
def test_turns_are_balanced(monkeypatch, seed):
    """Each side begins one of every two turns, and which one is drawn."""
    log = []

    def noted(name, clock):
        log.append(name)
        return 1e-3

    faked(monkeypatch, seconds=staticmethod(noted))
    measured(seed, cases=CASES[:1], control=None)
    assert log[:4] == ["base", "head"] * 2  # warming up, then on one CPU
    begins = log[4::2]
    assert len(begins) >= ENOUGH_TURNS
    assert all(set(two) == {"base", "head"} for two in zip(begins[::2], begins[1::2], strict=True))
    assert len(set(begins[::2])) == 2


def test_seed(monkeypatch):
    """The same seed draws the same orders; another seed draws others."""

    def all_of(seed):
        log = []

        def noted(name, clock):
            log.append(name)
            return 1e-3

        fake = faked(monkeypatch, seconds=staticmethod(noted))
        measured(seed)
        return [(process.role, process.padding) for process in fake.launched], log

    assert all_of(7) == all_of(7)
    assert all_of(7)[0] != all_of(8)[0]
    assert all_of(7)[1] != all_of(8)[1]


def test_stage(monkeypatch):
    """The first processes of each side, and those that only repeat, know their stage."""
    stages = []
    fake = faked(monkeypatch)

    def noted(self, *arguments, environment, **more):
        stages.append(environment["GRADPERF_GATE"])
        type(self).__base__.__init__(self, *arguments, environment=environment, **more)

    fake.__init__ = noted
    measured()
    measured(repeats=True)
    assert stages == ["first"] * 4 + ["repeat"] * 4


def reported(call_s, round_s=None, calls_left=None):
    """Return what a worker reports of a benchmark."""
    return {"call_s": call_s, "round_s": round_s or call_s, "calls_left": calls_left}


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        (reported(1e-7), (10_000, TURNS, True)),
        (reported(1e-4), (10, TURNS, True)),
        (reported(3e-3), (1, TURNS, True)),
        (reported(0.02), (1, 25, True)),
        (reported(20), (1, 1, False)),
        (reported(1e-6, round_s=0.01), (12, 4, True)),
        (reported(1e-6, round_s=20), (1, 1, False)),
        (reported(None, None, 1), (1, 1, False)),
        (reported(1e-6, calls_left=2), (1, 2, False)),
        (reported(1e-6, calls_left=30), (1, 24, True)),
        (reported(1e-6, calls_left=2600), (100, ENOUGH_TURNS, True)),
    ],
    ids=str,
)
def test_schedule(base, expected):
    """From 100 ns to 20 s a benchmark has turns of a length that suits it, within what it allows."""
    calls, count, warms = expected
    assert schedule(base, base) == Schedule(calls, calls, count, warms)
    assert schedule(base, reported(None, None, 1)) == Schedule(1, 1, 1, False)


@pytest.mark.parametrize("call_s", [1e-9, 1e-7, 1e-4, 0.01, 0.1, 1, 20])
@pytest.mark.parametrize("setup_s", [0, 1e-3, 0.5])
def test_time_is_bounded(call_s, setup_s):
    """A case takes each side no longer than it is given, unless one call already does."""
    spent_s = call_s + setup_s
    plan = schedule(reported(call_s, spent_s), reported(call_s, spent_s))
    assert plan.base_calls == plan.head_calls
    assert (plan.turns + plan.warms) * plan.base_calls * spent_s <= max(1.6 * CASE_S, spent_s)


def called(fake, role):
    return next(process.calls for process in fake.launched if process.role == role)


@pytest.mark.parametrize("calls_left", [1, 2, 5, 7, 8, 9, 13, 20, 24, 60, 1000])
@pytest.mark.parametrize("planted", [False, True])
def test_limited_control(monkeypatch, calls_left, planted):
    """A control's case is compared twice, and still no process calls it more often than it allows."""
    fake = faked(monkeypatch, seconds=staticmethod(slower), calls_left=calls_left, call_s=1e-3)
    found = measured(cases=CASES[:1], control=CASES[0], planted={CASES[0]: 0.5} if planted else {})
    assert all(process.calls <= calls_left for process in fake.launched)
    assert called(fake, "base") >= 1
    assert abs(found.values[CASES[0]].log_ratio - math.log(HEAD * (1.5 if planted else 1))) < 0.01
    few = calls_left < 8
    assert (CASES[0] in found.few_calls) == few
    assert (found.null is None) == few
    assert (found.planted is None) == few


def test_called_once(monkeypatch):
    """A benchmark that may be called once is, as the control's case as well; and work can be planted in it."""
    fake = faked(monkeypatch, seconds=staticmethod(slower), calls_left=1, call_s=None)
    found = measured(cases=CASES[:1], control=CASES[0], planted={CASES[0]: 0.5})
    calls = {process.role: process.calls for process in fake.launched}
    assert calls == {"base": 1, "head": 1, "control": 0, "twin": 0}
    assert abs(found.values[CASES[0]].log_ratio - math.log(HEAD * 1.5)) < 0.01


def test_slow_control(monkeypatch):
    """In calls of seconds, that have no warm-up, the planted slowdown is there as well."""
    faked(monkeypatch, seconds=staticmethod(lambda name, clock: 20 * slower(name, clock)), call_s=20.0)
    found = measured(cases=CASES[:1], control=CASES[0])
    assert abs(found.planted - math.log(1 + PLANTED)) < 1e-6
    assert found.null == 0


def test_control_alone(monkeypatch):
    """Where the control's case is not asked for it is run, but is no value; where none is, nothing else runs."""
    fake = faked(monkeypatch)
    found = measured(cases=CASES[:1], control=CASES[2])
    assert set(found.values) == {CASES[0]}
    assert found.null is not None
    assert len(fake.launched) == 4
    fake = faked(monkeypatch)
    found = measured(cases=(), control=CASES[2])
    assert not found.values
    assert found.null is not None
    assert {process.role for process in fake.launched} == {"control", "twin"}


def test_control_is_compared_with_its_like(monkeypatch):
    """Both run the control's case alone: that others are slower, having imported more, is no finding."""
    loaded = {"base": 1.02, "head": 1.02}
    fake = faked(monkeypatch, seconds=staticmethod(lambda name, clock: 1e-3 * loaded.get(name, 1)))
    found = measured(control=CASES[0])
    assert found.null == 0
    assert found.planted == pytest.approx(math.log(1 + PLANTED), abs=1e-4)
    reported = {process.role: next(o["cases"] for o in process.orders if "cases" in o) for process in fake.launched}
    assert reported == {"base": list(CASES), "head": list(CASES), "control": [CASES[0]], "twin": [CASES[0]]}


def test_clock_of_nothing(monkeypatch):
    """A clock that says 0 is no division by zero."""
    faked(monkeypatch, seconds=staticmethod(lambda name, clock: 0.0))
    assert measured().values[CASES[0]].log_ratio == 0


@pytest.mark.parametrize("own", [{}, {"OMP_WAIT_POLICY": "ACTIVE"}])
def test_idle_threads_sleep(monkeypatch, own):
    """The processes of the gate let idle threads sleep soon, but where the user decides it."""
    fake = faked(monkeypatch)
    for name in (*threads.WAITING, "OMP_WAIT_POLICY", "KMP_LIBRARY"):
        monkeypatch.delenv(name, raising=False)
    measured(**own)
    for process in fake.launched:
        assert process.environment["OPENBLAS_THREAD_TIMEOUT"] == threads.WAITING["OPENBLAS_THREAD_TIMEOUT"]
        assert ("GOMP_SPINCOUNT" in process.environment) == (not own)
