"""The trial measures what its plan says, keeps its rate of false alarms, and detects real changes."""

import math

import numpy as np
import pytest

from gradperf.gate.decision import trial
from gradperf.gate.decision.trial import Pair, Plan
from gradperf.stats import p_slower
from tests.gate import noise
from tests.test_stats import CONFIRMED, SCREENED

PLAN = Plan()
STEADY = [0.001 * (-1) ** i * (1 + 0.1 * i) for i in range(60)]
"""Pairs without an effect: nothing is suspected."""


def follow(groups, screen, confirm, plan=PLAN, *, planted=0.05, time_for=math.inf, **options):
    """Run a trial of scripted values, case → value of the i-th pair. Return it with the calls that it made."""
    calls = []

    def measure(phase, cases):
        if len(calls) >= time_for:
            return None
        index = sum(phase == earlier for earlier, _ in calls)
        calls.append((phase, cases))
        script = {"screen": screen, "confirm": confirm}[phase]
        values = {case: script[case][index] for case in cases if script[case][index] is not None}
        return Pair(values, STEADY[len(calls) % 60], None if planted is None else planted + STEADY[index])

    return trial.run(groups, plan, measure, **options), calls


def level(value):
    """Return values around ``value``, all different."""
    return [value + noise for noise in STEADY]


def test_unsuspected_cases_are_measured_once():
    """If nothing looks slower and the planted slowdown was seen, nothing follows the screen."""
    done, calls = follow({"g": ["a", "b"]}, {"a": STEADY, "b": STEADY}, {})
    assert calls == [("screen", ("a", "b"))] * 8
    assert done.cases["a"].screened == tuple(STEADY[:8])
    assert done.cases["a"].confirmed == ()
    assert done.cases["a"].slower == trial.Answer()
    assert done.suspects == 0
    assert not done.stopped
    assert len(done.null) == len(done.planted) == 8


def test_suspected_cases_are_confirmed_on_fresh_pairs():
    """A case that looks slower or faster is measured again. It is decided at half, on the fresh values alone."""
    cases = {"a": level(0.1), "b": level(-0.1)}  # their mean is 0, so their group is not suspected
    done, calls = follow({"g": ["a", "b"]}, {"a": level(0.11), "b": level(-0.11)}, cases)
    assert calls[8:] == [("confirm", ("a", "b"))] * 12
    assert done.groups["g"].confirmed == ()
    assert done.cases["a"].confirmed == tuple(level(0.1)[:12])
    assert done.cases["a"].slower.p == 2**-12 / 0.25
    assert done.cases["a"].slower.decided_at == 12


def test_one_case_alone():
    """A single group of one case gets no mean of its own."""
    done, calls = follow({"g": ["a"]}, {"a": level(0.2)}, {"a": level(0.1)})
    assert calls[8:] == [("confirm", ("a",))] * 12
    assert done.groups == {}
    assert done.group_of == {"a": "g"}
    assert done.cases["a"].slower.p_adjusted == 2**-10


def test_what_raised_a_suspicion_is_no_proof():
    """If the confirmation shows nothing, the suspicion is dropped at the first look, however strong it was."""
    done, calls = follow({"g": ["a"]}, {"a": level(5.0)}, {"a": STEADY})
    assert len(calls) == 8 + 6
    assert done.cases["a"].slower.dropped_at == 6
    assert done.cases["a"].slower.p_adjusted == 1


@pytest.mark.parametrize(("good", "dropped_at"), [(3, 6), (7, 12), (11, 18)])
def test_hopeless_suspicions_are_dropped(good, dropped_at):
    """A case that stops looking slower is dropped at the next look. Each look is stricter."""
    values = [*level(0.013)[:good], *[-0.4 + value for value in STEADY]]
    done, _ = follow({"g": ["a"]}, {"a": level(0.05)}, {"a": values})
    assert done.cases["a"].slower.dropped_at == dropped_at
    assert len(done.cases["a"].confirmed) == dropped_at


def test_undecided_until_the_end():
    """A case neither certain nor hopeless is measured to the end, where more than half of alpha is left."""
    values = [*level(0.03)[:5], *STEADY[:3], *level(0.03)]
    done, calls = follow({"g": ["a"]}, {"a": level(0.05)}, {"a": values})
    answer = done.cases["a"].slower
    assert len(calls) == 8 + 24
    assert PLAN.alpha / 4 < p_slower(values[:12], PLAN.margin) < 0.2
    assert answer.decided_at == 24
    assert answer.p == p_slower(values[:24], PLAN.margin) / 0.55 <= PLAN.alpha


def test_the_measured_slowdown_with_two_modes():
    """JAX 0.4.35 against 0.4.31 is a proven regression, although one process in eight of the base is slow."""
    done, _ = follow({"g": ["a"]}, {"a": SCREENED}, {"a": CONFIRMED})
    assert done.cases["a"].slower.p_adjusted <= PLAN.alpha
    assert len(done.cases["a"].confirmed) == 24


def test_what_is_likely_is_measured_further():
    """If most values show a slowdown that is not proven at the end, up to as many pairs again decide it."""
    values = [value - 0.5 * (i % 4 == 1) for i, value in enumerate(level(0.2))]
    done, calls = follow({"g": ["a"]}, {"a": level(0.2)}, {"a": values})
    assert p_slower(values[:24], PLAN.margin) > 0.55 * PLAN.alpha
    assert len(calls) == 8 + 48
    assert done.cases["a"].slower.p == p_slower(values[:48], PLAN.margin) / 0.2 <= PLAN.alpha
    assert done.cases["a"].slower.decided_at == 48


def test_only_what_is_likely_is_measured_further():
    """Other suspects, and the controls, get no pairs beyond the end."""
    likely = [value - 0.5 * (i % 4 == 1) for i, value in enumerate(level(0.2))]
    doubtful = [value - 0.04 * (i % 4 == 1) for i, value in enumerate(level(0.02))]
    screen, confirm = {"a": level(0.2), "b": level(0.02)}, {"a": likely, "b": doubtful}
    done, calls = follow({"g": ["a", "b"]}, screen, confirm, planted=0.0, apart={"a"})
    assert calls[8:32] == [("confirm", ("a", "b"))] * 24
    assert calls[32:] == [("confirm", ("a",))] * 24
    assert done.cases["b"].slower.p_adjusted > PLAN.alpha


def test_faster_cases_are_a_family_of_their_own():
    """A case that became faster is confirmed, and does not affect the p-values of slower ones."""
    changed = {"a": level(-0.1), "b": level(0.1)}
    done, _ = follow({"g": ["a", "b"]}, changed, changed)
    for answer in (done.cases["a"].faster, done.cases["b"].slower):
        assert answer.p_adjusted == answer.p == 2**-10
    assert done.suspects == 1
    assert done.cases["a"].slower.p_adjusted == done.cases["b"].faster.p_adjusted == 1


def test_a_small_shift_everywhere_is_one_of_the_group():
    """If no single case is certain, the mean of all may be. All its members are measured for it."""
    names = list("abcdefgh")
    swing = [0.05 * (-1) ** (i // 2) * (1 + 0.01 * i) for i in range(40)]
    shifted = {
        name: [0.02 + (swing[j] if i % 2 else -swing[j]) + STEADY[j] for j in range(40)]
        for i, name in enumerate(names)
    }
    done, calls = follow({"g": names}, shifted, shifted)
    assert done.groups["g"].slower.p_adjusted <= PLAN.alpha
    assert not any(done.cases[name].slower.p_adjusted <= PLAN.alpha for name in names)
    assert set(calls[8][1]) == set(names)
    assert done.groups["g"].confirmed[0] == pytest.approx(sum(shifted[name][0] for name in names) / 8)


def test_groups_and_all():
    """Several groups get a group of all cases. A group of one case is left out, but its case belongs to all."""
    names = "abcd"
    done, _ = follow({"x": ["a", "b"], "y": ["c"], "z": ["d"]}, dict.fromkeys(names, STEADY), {})
    assert done.members == {"x": ("a", "b"), "all": ("a", "b", "c", "d")}
    done, _ = follow({"all": ["a", "b"], "y": ["c"]}, dict.fromkeys(names, STEADY), {})
    assert done.members == {"all": ("a", "b"), "all groups": ("a", "b", "c")}
    done, _ = follow({"x": ["a", "b"]}, dict.fromkeys(names, STEADY), {})
    assert list(done.members) == ["x"]


def test_accepted_cases_are_in_no_group():
    """A slowdown that the user accepted is still detected, but does not make its group alarm."""
    slow = {"a": level(0.5), "b": STEADY, "c": STEADY}
    done, calls = follow({"g": ["a", "b", "c"]}, slow, slow, apart={"a"})
    assert done.members == {"g": ("b", "c")}
    assert done.cases["a"].slower.p_adjusted <= PLAN.alpha
    assert not done.groups["g"].slower.suspected
    assert calls[8] == ("confirm", ("a",))


def test_a_case_may_be_missing():
    """A pair without a value of a case does not count for it. A case that failed in the screen leaves its group."""
    screen = {"a": [None, *level(0.1)], "b": STEADY, "c": STEADY}
    confirm = {"a": [None, None, *level(0.1)], "b": STEADY, "c": STEADY}
    done, _ = follow({"g": ["a", "b", "c"]}, screen, confirm)
    assert done.members == {"g": ("b", "c")}
    assert len(done.cases["a"].screened) == 7
    assert done.cases["a"].slower.p == 2**-10 / 0.25
    never, calls = follow({"g": ["a"]}, {"a": [None] * 8}, {})
    assert never.cases["a"].screened == ()
    assert never.cases["a"].slower.p_adjusted == 1
    assert len(calls) == 8


def test_confirmation_goes_on_until_the_planted_slowdown_was_seen():
    """With nothing else to confirm, the controls are measured alone, and tested after each quarter."""
    done, calls = follow({"g": ["a"]}, {"a": STEADY}, {}, planted=0.0)
    assert calls[8:] == [("confirm", ())] * 24
    assert len(done.planted) == len(done.null) == 32
    script = iter([-0.05, -0.05, -0.05, -0.05, *[0.05] * 40])
    calls.clear()

    def measure(phase, cases):
        calls.append(phase)
        return Pair(dict.fromkeys(cases, -0.001), 0.0, next(script) + STEADY[len(calls)])

    trial.run({"g": ["a"]}, PLAN, measure)
    assert calls.count("confirm") == 12


def test_no_planted_slowdown_is_not_waited_for():
    """A control that cannot be measured is not repeated."""
    done, calls = follow({"g": ["a"]}, {"a": STEADY}, {}, planted=None)
    assert len(calls) == 8
    assert done.planted == ()


@pytest.mark.parametrize("time_for", [0, 3, 8, 15, 21])
def test_stops_when_the_time_is_spent(time_for):
    """Measured values are kept, undecided cases do not alarm, and the trial is marked as stopped."""
    values = {"a": level(0.06), "b": [*level(0.03)[:9], *level(-0.1)]}
    done, calls = follow({"g": ["a", "b"]}, values, values, time_for=time_for)
    assert done.stopped
    assert len(calls) == time_for
    assert len(done.cases["a"].screened) == min(time_for, 8)
    assert (done.cases["a"].slower.p_adjusted <= PLAN.alpha) == (time_for >= 20)


def test_alarm_at_half_stands():
    """A case that is decided at half is measured no more, and stays decided, whatever the others show."""
    values = {
        "a": level(0.1),
        "b": [*level(0.03)[:5], *STEADY[:3], *level(0.03)[:4], *level(-1.0)],
    }
    done, _ = follow({"g": ["a"], "h": ["b"]}, values, values)
    assert done.cases["a"].slower.decided_at == 12
    assert done.cases["a"].slower.p_adjusted <= PLAN.alpha
    assert done.cases["b"].slower.p_adjusted > PLAN.alpha
    assert p_slower(values["b"][:12], PLAN.margin) < 0.01
    assert len(done.cases["b"].confirmed) == 18


@pytest.mark.parametrize(
    ("pairs", "quarters"),
    [
        (24, {6: 1, 12: 2, 18: 3, 24: 4, 48: 5}),
        (10, {3: 1, 5: 2, 8: 3, 10: 4, 20: 5}),
        (3, {1: 1, 2: 2, 3: 4, 6: 5}),
        (2, {1: 2, 2: 4, 4: 5}),
        (1, {1: 4, 2: 5}),
    ],
)
def test_looks(pairs, quarters):
    """A look follows each quarter, and as many pairs again. If quarters coincide, the later one counts."""
    assert trial.looks(pairs) == quarters


@pytest.mark.parametrize("family", [1, 2, 5, 40])
@pytest.mark.parametrize("alpha", [0.05, 0.01, 0.001])
def test_least_pairs(alpha, family):
    """With this many pairs an alarm is possible, with one less it is not. A plan with fewer is given as many."""
    least = trial.least_pairs(alpha, family)
    assert 2**-least / 0.8 * family <= alpha < 2 ** -(least - 1) / 0.8 * family
    names = [str(number) for number in range(family)]
    values = dict.fromkeys(names, level(1.0))
    for confirm in (least, least - 1):
        plan = Plan(alpha, confirm=confirm)
        done, _ = follow({name: [name] for name in names}, values, values, plan, apart=names)
        assert all(one.slower.p_adjusted <= alpha for one in done.cases.values())
        assert done.plan == Plan(alpha, confirm=least)


@pytest.mark.parametrize("confirm", [7, 8, 16, 17, 18, 24, 60])
def test_shares_of_alpha(confirm):
    """Together the looks have alpha, and a look that cannot alarm has nothing of it."""
    plan = Plan(confirm=confirm)
    assert sum(plan.shares.values()) == pytest.approx(1)
    assert (plan.shares[trial.HALF] > 0) == (2.0 ** -math.ceil(confirm / 2) <= 0.25 * plan.alpha) == (confirm > 16)
    assert plan.can_alarm(1)


def test_a_plan_that_cannot_prove_so_many_suspects():
    """If no suspect could be proven, so many more pairs are taken that one can be. Who confirms is told before."""
    names = list("abcde")
    plan, told = Plan(screen=3, confirm=8), []
    values = dict.fromkeys(names, level(0.2))
    done, calls = follow({"g": names}, values, values, plan, confirming=told.append)
    assert done.suspects == 6
    assert done.plan.confirm == trial.least_pairs(plan.alpha, 6) == 10
    assert told == [done.plan] == [Plan(screen=3, confirm=10)]
    assert len(calls) == 3 + 10
    assert all(done.cases[name].slower.p_adjusted <= plan.alpha for name in names)
    done, _ = follow({"g": names}, values, values, plan, time_for=2, confirming=told.append)
    assert (done.stopped, done.plan, len(told)) == (True, plan, 1)


def test_enough_pairs_stay_as_many():
    """More pairs than asked for are taken only if those can prove nothing."""
    done, _ = follow({"g": ["a"]}, {"a": level(0.2)}, {"a": level(0.2)}, Plan(screen=3, confirm=8))
    assert done.plan.confirm == 8


def cut(at, missing, value=0.2):
    """Run a trial of two cases, slower by ``value``; pair number ``at`` ends before the cases ``missing``."""
    number = 0

    def measure(phase, cases):
        nonlocal number
        number += 1
        if number > at:
            return None
        left = frozenset(missing) & set(cases) if number == at else frozenset()
        values = {case: value + STEADY[number] for case in cases if case not in left}
        return Pair(values, None if left else 0.0, None if left else 0.05 + STEADY[number], left)

    return trial.run({"g": ["a", "b"]}, PLAN, measure)


def test_a_cut_end_of_the_screen():
    """The trial was stopped, though no pair is missing and nothing looks slower."""
    done = cut(8, ["b"], value=0.0)
    assert done.stopped
    assert done.suspects == 0


@pytest.mark.parametrize("at", [1, 4, 8])
def test_a_cut_pair_of_the_screen(at):
    """Values of a pair that the budget cut count. The group is as before, but has no value of that pair."""
    done = cut(at, ["b"])
    assert done.stopped
    assert done.members == {"g": ("a", "b")}
    assert [len(done.cases[case].screened) for case in "ab"] == [at, at - 1]
    assert len(done.groups["g"].screened) == len(done.null) == at - 1
    assert not any(one.confirmed for one in done.cases.values())


@pytest.mark.parametrize("at", [8 + 5, 8 + 12])
def test_a_cut_pair_of_the_confirmation(at):
    """It is the last one, and its values count, also where a look follows it."""
    done = cut(at, ["b"])
    assert done.stopped
    assert [len(done.cases[case].confirmed) for case in "ab"] == [at - 8, at - 9]
    assert (done.cases["a"].slower.p_adjusted <= PLAN.alpha) == (at == 20)


def test_few_pairs_can_raise_a_suspicion():
    """Three pairs that are all faster are confirmed; no p of three pairs is below 0.05."""
    done, _ = follow({"g": ["a"]}, *[{"a": level(-0.1)}] * 2, Plan(screen=3))
    assert done.cases["a"].faster.p_adjusted <= PLAN.alpha


def test_two_modes_raise_a_suspicion():
    """If five of eight values show a large slowdown, the others do not hide it."""
    done, _ = follow({"g": ["a"]}, {"a": [*level(0.2)[:5], -0.4, -0.41, -0.42]}, {"a": level(0.2)})
    assert p_slower(done.cases["a"].screened) > trial.SCREEN_P
    assert done.cases["a"].slower.p_adjusted <= PLAN.alpha


# Simulated machines, twelve cases. tests/gate/test_sabotage.py shows that these simulations can fail.


def alarms(model, runs, plan, *, changed=(), **options):
    """Return the number of runs in which anything but ``changed`` was called slower."""
    return sum(
        any(
            history.slower.p_adjusted <= plan.alpha
            for name, history in (*done.cases.items(), *done.groups.items())
            if name not in changed
        )
        for done in (trial.run(noise.GROUPS, plan, m) for m in noise.machines(model, 5, runs, plan, **options))
    )


@pytest.mark.parametrize("model", noise.MODELS)
def test_false_alarms_without_a_margin(model):
    """Without a margin, with 12 unchanged cases and 3 groups, at most alpha of all runs alarm."""
    plan = Plan(alpha=0.1, min_effect=0.0)
    count = alarms(model, 300, plan)
    assert not noise.too_many(count, 300, plan.alpha), count


@pytest.mark.parametrize("model", noise.MODELS)
def test_false_alarms_at_the_margin(model):
    """If all cases are slower by exactly the margin, at most alpha of all runs alarm."""
    plan = Plan(alpha=0.1)
    count = alarms(model, 200, plan, effects=dict.fromkeys(noise.CASES, plan.margin))
    assert not noise.too_many(count, 200, plan.alpha), count


@pytest.mark.parametrize("model", noise.MODELS)
def test_false_alarms_of_runs_whose_time_ran_out(model):
    """A time that does not depend on the values costs no alpha, though what is open is tested when it ends."""
    plan, coin, count = Plan(alpha=0.1, min_effect=0.0), np.random.default_rng(8), 0
    for measure in noise.machines(model, 8, 300, plan):
        left = iter(range(plan.screen + int(coin.integers(30))))
        done = trial.run(
            noise.GROUPS,
            plan,
            lambda phase, cases, measure=measure, left=left: (
                None if next(left, None) is None else measure(phase, cases)
            ),
        )
        subjects = (*done.cases.values(), *done.groups.values())
        count += any(one.slower.p_adjusted <= plan.alpha for one in subjects)
    assert not noise.too_many(count, 300, plan.alpha), count


@pytest.mark.parametrize(("pairs", "decided"), [(5, False), (9, True), (11, True), (19, True), (30, True)])
def test_what_was_measured_counts_when_the_time_is_spent(pairs, decided):
    """All values are faster: as many pairs as prove that are enough, wherever the looks are."""
    values = {"a": level(-0.1)}
    done, _ = follow({"g": ["a"]}, values, values, time_for=8 + pairs)
    assert (done.cases["a"].faster.p_adjusted <= PLAN.alpha) == decided


@pytest.mark.parametrize("model", noise.MODELS)
def test_false_alarms_by_default(model):
    """With the default plan, 150 runs without a change give no alarm on any machine."""
    assert alarms(model, 150, PLAN) == 0


@pytest.mark.parametrize("model", noise.MODELS)
def test_false_alarms_beside_a_real_one(model):
    """Beside one slower case, the others alarm in at most alpha of all runs."""
    plan = Plan(alpha=0.1)
    count = alarms(model, 100, plan, changed=("torch0", "torch", "all"), effects={"torch0": math.log1p(0.05)})
    assert not noise.too_many(count, 100, plan.alpha), count


@pytest.mark.parametrize(("slowdown", "least"), [(0.03, 0.6), (0.05, 0.95), (0.10, 1.0)])
def test_power_for_one_case(slowdown, least):
    """With a spread of 2.5 %, one slower case of twelve is detected: 3 % mostly, 5 % nearly always, 10 % always."""
    caught = [
        trial.run(noise.GROUPS, PLAN, m).cases["jax3"].slower.p_adjusted <= PLAN.alpha
        for m in noise.machines(noise.normal, 6, 300, PLAN, effects={"jax3": math.log1p(slowdown)})
    ]
    assert sum(caught) >= least * len(caught), sum(caught) / len(caught)


def two_modes(rng, pairs):
    """One process in eight of the base is 1.7 times slower, and the other noise is 2 %."""
    return rng.normal(0, 0.02, pairs) - math.log(1.7) * (rng.random(pairs) < 1 / 8)


@pytest.mark.parametrize("slowdown", [0.1, 0.2])
def test_power_with_two_modes(slowdown):
    """If the base draws a slow mode in one process of eight, a slowdown of 20 % is caught in 95 % of all runs."""
    rng = np.random.default_rng(12)
    caught = 0
    for _ in range(300):
        values = (two_modes(rng, 56) + math.log1p(slowdown)).tolist()
        done, _ = follow({"g": ["a"]}, {"a": values[:8]}, {"a": values[8:]})
        caught += done.cases["a"].slower.p_adjusted <= PLAN.alpha
    assert caught >= 0.95 * 300, caught


def test_power_for_a_group():
    """A slowdown of 2 % in all ten cases of a group is detected in at least 80 % of all runs."""
    groups = {"torch": noise.CASES[:10], "jax": noise.CASES[10:]}
    effects = dict.fromkeys(noise.CASES[:10], math.log1p(0.02))
    caught = [
        trial.run(groups, PLAN, m).groups["torch"].slower.p_adjusted <= PLAN.alpha
        for m in noise.machines(noise.normal, 7, 150, PLAN, effects=effects)
    ]
    assert sum(caught) >= 0.8 * len(caught), sum(caught) / len(caught)


def test_speedups_are_found():
    """A speedup of 10 % is always detected. Without one, 100 runs report none."""
    for slowdown, expected in [(-0.1, 100), (0.0, 0)]:
        runs = noise.machines(noise.normal, 8, 100, PLAN, effects={"jax3": math.log1p(slowdown)})
        answers = [trial.run(noise.GROUPS, PLAN, m).cases["jax3"].faster for m in runs]
        assert sum(answer.p_adjusted <= PLAN.alpha for answer in answers) == expected


def test_costs_few_pairs():
    """Without a change, a case takes at most 13 pairs on average: the screen's 8 and few more."""
    done = [trial.run(noise.GROUPS, PLAN, m) for m in noise.machines(noise.normal, 9, 100, PLAN)]
    pairs = [len(history.screened) + len(history.confirmed) for one in done for history in one.cases.values()]
    assert sum(pairs) / len(pairs) <= 13
