"""The simulations can fail: they detect faults that a gate might have, planted on purpose.

A property is a function that returns whether it holds. Each test asserts that it holds for the gate as it is, and
no longer with the fault.
"""

import math

import pytest

from gradperf.gate.decision import judge, trial
from gradperf.gate.decision.trial import Pair, Plan
from gradperf.stats import p_slower
from tests.gate import noise

PLAN = Plan(alpha=0.1, min_effect=0.0)
"""Any slowdown alarms, and one run in ten alarms by chance. So few runs show a fault."""


def keeps_alpha(
    *, model=noise.normal, plan=PLAN, runs=150, tampered=lambda measure: measure, roles="drawn", **options
):
    """Return whether runs without a change alarm no more often than alpha."""
    alarms = 0
    for measure in noise.machines(model, 21, runs, plan, roles=roles, **options):
        done = trial.run(noise.GROUPS, plan, tampered(measure))
        histories = (*done.cases.values(), *done.groups.values())
        alarms += any(history.slower.p_adjusted <= plan.alpha for history in histories)
    return not noise.too_many(alarms, runs, plan.alpha)


def suspect_all(measure):
    """Make all cases look slower in the screen."""

    def measured(phase, cases):
        pair = measure(phase, cases)
        return Pair(dict.fromkeys(cases, 1.0), pair.null, pair.planted) if phase == "screen" else pair

    return measured


def test_without_holm(monkeypatch):
    """Many suspects that each get all of alpha cause too many alarms."""
    assert keeps_alpha(tampered=suspect_all)
    monkeypatch.setattr(trial, "holm", list)
    assert not keeps_alpha(tampered=suspect_all)


def test_pairs_pooled(monkeypatch):
    """Pooling the turns of all pairs, as if a pair had no speed of its own, causes too many alarms."""
    own = trial.p_slower

    def pooled(values, margin=0.0):
        turns = [value + 1e-5 * turn for value in values for turn in range(-2, 3)]
        return own(turns, margin)

    assert keeps_alpha()
    monkeypatch.setattr(trial, "p_slower", pooled)
    assert not keeps_alpha()


def screen_again(measure):
    """Confirm with the pairs of the screen first, then with fresh ones."""
    seen = []

    def measured(phase, cases):
        if phase == "screen":
            seen.append(measure(phase, cases))
            return seen[-1]
        return seen.pop(0) if seen else measure(phase, cases)

    return measured


def test_screen_counted_as_proof():
    """A screen that chooses the suspects and then counts as their proof causes too many alarms."""
    assert keeps_alpha()
    assert not keeps_alpha(tampered=screen_again)


@pytest.mark.parametrize("model", [noise.drift, noise.skewed])
def test_base_always_first(model):
    """Fixed roles on a machine with a slower second process cause too many alarms, with or without a margin."""
    for plan in (PLAN, Plan()):
        assert keeps_alpha(model=model, plan=plan, runs=50)
        assert not keeps_alpha(model=model, plan=plan, runs=50, roles="fixed")


def test_alarm_at_every_look(monkeypatch):
    """Two looks with all of alpha each, instead of shares of it, cause too many alarms for a single case."""

    def keeps(runs=3000):
        plan = PLAN
        values = noise.log_ratios(noise.normal, noise.np.random.default_rng(22), (runs, 48, 1))[..., 0]
        alarms = 0
        for run in values.tolist():
            p = [
                p_slower(run[:pairs]) / share
                for pairs, share in zip((12, 24, 48), plan.shares.values(), strict=True)
            ]
            alarms += min(p) <= plan.alpha
        return not noise.too_many(alarms, runs, plan.alpha)

    assert keeps()
    monkeypatch.setattr(trial, "SHARES", {trial.HALF: 1.0, trial.END: 1.0, trial.EXTRA: 1.0})
    monkeypatch.setattr(Plan, "shares", property(lambda self: trial.SHARES))
    assert not keeps()


def is_never_blind(runs=40):
    """Return whether a measurement without any effect of slowdowns never passes: neither unchanged, nor success."""
    plan = Plan()
    effects = {"jax3": math.log1p(0.5)}
    for measure in noise.machines(noise.normal, 23, runs, plan, effects=effects, sigma=0.01, felt=0.0):
        done = trial.run(noise.GROUPS, plan, measure)
        cases, groups, controls = judge.judge(done, plan, control_case="c", seconds={}, accepted={})
        if any(case.verdict == "unchanged" for case in cases):
            return False
        if judge.overall(cases, groups, controls, strict=False) != ("untrusted", 12):
            return False
    return True


def test_planted_slowdown_ignored(monkeypatch):
    """A gate that ignores its planted slowdown calls a slowdown of 50 % unchanged when it is blind."""
    assert is_never_blind()
    monkeypatch.setattr(judge, "planted_was_seen", lambda values, plan: True)
    assert not is_never_blind()


def notices_a_bias(runs=40):
    """Return whether a measurement in which the head's role costs 5 % never passes."""
    plan = Plan()
    for measure in noise.machines(noise.normal, 24, runs, plan, sigma=0.01):

        def biased(phase, cases, measure=measure):
            pair = measure(phase, cases)
            slower = {case: value + 0.05 for case, value in pair.log_ratios.items()}
            return Pair(slower, pair.null + 0.05, pair.planted + 0.05)

        done = trial.run(noise.GROUPS, plan, biased)
        judged = judge.judge(done, plan, control_case="c", seconds={}, accepted={})
        if judge.overall(*judged, strict=False) != ("untrusted", 12):
            return False
    return True


def test_base_against_base_ignored(monkeypatch):
    """A gate that ignores base against base reports its own bias as a regression."""
    assert notices_a_bias()
    monkeypatch.setattr(judge, "p_faster", lambda values, margin: 1.0)
    monkeypatch.setattr(judge, "p_slower", lambda values, margin: 1.0)
    assert not notices_a_bias()


def covers(runs=200):
    """Return whether the intervals of cases that are 2 % slower cover that in 95 % of all runs."""
    missed = total = 0
    effects = dict.fromkeys(noise.CASES, 0.02)
    for measure in noise.machines(noise.normal, 25, runs, Plan(), effects=effects):
        for history in trial.run(noise.GROUPS, Plan(), measure).cases.values():
            low, high = judge.shown_interval(*judge.basis(history, Plan()))
            missed += not low <= 0.02 <= high
            total += 1
    return not noise.too_many(missed, total, 0.05)


def test_intervals_as_if_nothing_had_been_selected(monkeypatch):
    """Intervals of 90 % instead of 97.5 %, after the data decided how much to measure, miss too often."""
    assert covers()
    monkeypatch.setattr(judge, "CONFIRMED_CONFIDENCE", 0.90)
    assert not covers()


def is_rarely_unchanged_at_the_bound(runs=100):
    """Return whether a case slower by the bound of equivalence is called unchanged in 5 % of all runs or fewer."""
    plan = Plan()
    effects = {"jax3": math.log1p(plan.equivalence)}
    wrong = 0
    for measure in noise.machines(noise.normal, 26, runs, plan, effects=effects):
        done = trial.run(noise.GROUPS, plan, measure)
        cases, _, _ = judge.judge(done, plan, control_case="c", seconds={}, accepted={})
        wrong += any(case.id == "jax3" and case.verdict == "unchanged" for case in cases)
    return not noise.too_many(wrong, runs, 0.05)


def test_no_proof_of_a_difference_taken_for_proof_of_none(monkeypatch):
    """A gate that calls every unproven case unchanged does so far too often."""
    assert is_rarely_unchanged_at_the_bound()
    monkeypatch.setattr(judge, "interval", lambda values, confidence: (0.0, 0.0))
    assert not is_rarely_unchanged_at_the_bound()


def is_exact(p, runs=1500):
    """Return whether p ≤ .05 in 5 % of all runs without an effect or fewer, with three pairs each."""
    rng = noise.np.random.default_rng(27)
    values = noise.log_ratios(noise.spikes, rng, (runs, 3, 1))[..., 0]
    return not noise.too_many(sum(p(run) <= 0.05 for run in values.tolist()), runs, 0.05)


def test_p_that_leaves_out_what_was_observed():
    """P(W > w) instead of P(W ≥ w) causes too many alarms."""

    def p_too_small(values):
        p = p_slower(values)
        return p - 2.0 ** -len(values)

    assert is_exact(p_slower)
    assert not is_exact(p_too_small)
