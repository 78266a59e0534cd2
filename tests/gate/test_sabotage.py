"""The simulations can fail: they detect faults that a gate might have, planted on purpose.

A property is a function that returns whether it holds. Each test asserts that it holds for the gate as it is, and
no longer with the fault.
"""

import math

import numpy as np
import pytest
import scipy.stats

from gradperf.gate.decision import judge, large, modes, trial, visible
from gradperf.gate.decision.trial import Pair, Plan
from gradperf.stats import p_slower
from tests.gate import noise, test_large, test_modes, test_visible
from tests.gate.test_judge import unawaited
from tests.gate.test_trial import follow, level, two_modes

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
        values = noise.log_ratios(noise.normal, np.random.default_rng(22), (runs, 48, 1))[..., 0]
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
    monkeypatch.setattr(judge, "smallest_visible_change", lambda *_, **__: 0.05)  # it takes most of the time
    assert is_rarely_unchanged_at_the_bound()
    monkeypatch.setattr(judge, "interval", lambda values, confidence: (0.0, 0.0))
    assert not is_rarely_unchanged_at_the_bound()


def is_exact(p, runs=1500):
    """Return whether p ≤ .05 in 5 % of all runs without an effect or fewer, with three pairs each."""
    rng = np.random.default_rng(27)
    values = noise.log_ratios(noise.spikes, rng, (runs, 3, 1))[..., 0]
    return not noise.too_many(sum(p(run) <= 0.05 for run in values.tolist()), runs, 0.05)


def test_p_that_leaves_out_what_was_observed():
    """P(W > w) instead of P(W ≥ w) causes too many alarms."""

    def p_too_small(values):
        p = p_slower(values)
        return p - 2.0 ** -len(values)

    assert is_exact(p_slower)
    assert not is_exact(p_too_small)


# Two speeds.


def bears_modes(runs=200):
    """Return whether a slowdown of 20 % is caught in 95 % of all runs if the base has two speeds."""
    rng = np.random.default_rng(28)
    caught = 0
    for _ in range(runs):
        values = (two_modes(rng, 56) + math.log1p(0.2)).tolist()
        done, _ = follow({"g": ["a"]}, {"a": values[:8]}, {"a": values[8:]}, Plan())
        caught += done.cases["a"].slower.p_adjusted <= Plan().alpha
    return caught >= 0.95 * runs


def wilcoxon(values, margin=0.0):
    shifted = [value - margin for value in values]
    return scipy.stats.wilcoxon(shifted, alternative="greater", method="exact").pvalue if shifted else 1.0


def test_ranks_alone(monkeypatch):
    """The signed rank alone overlooks a slowdown of 20 % in a case with two speeds."""
    assert bears_modes()
    monkeypatch.setattr(trial, "p_slower", wilcoxon)
    assert not bears_modes()


def test_suspicions_by_p_alone(monkeypatch):
    """If p alone raises and drops suspicions, too many cases with two speeds are lost."""
    monkeypatch.setattr(trial, "_is_large", lambda values, plan: False)
    assert not bears_modes()


def test_no_more_pairs_for_what_is_likely(monkeypatch):
    """The plan's pairs alone do not prove enough of the cases with two speeds."""
    monkeypatch.setattr(trial._Subject, "needs_more", lambda self, plan: False)
    assert not bears_modes()


def test_two_tests_without_their_joint_distribution():
    """The smaller p of signs and ranks, taken for a p itself, causes too many alarms."""

    def smaller(values):
        above = sum(value > 0 for value in values)
        signs = scipy.stats.binomtest(above, len(values), alternative="greater").pvalue
        return min(signs, wilcoxon(values))

    def is_exact_for(p, runs=2000):
        values = noise.log_ratios(noise.normal, np.random.default_rng(29), (runs, 18, 1))[..., 0]
        return not noise.too_many(sum(p(run) <= 0.05 for run in values.tolist()), runs, 0.05)

    assert is_exact_for(p_slower)
    assert not is_exact_for(smaller)


def promises_what_modes_hide():
    """Return whether the smallest visible change is detected often enough if processes have two speeds."""
    return test_visible.caught_of_what_is_promised(noise.modes) >= 0.65


def test_visible_change_as_if_noise_were_normal(monkeypatch):
    """Normal values of the same ordinary spread promise too much for a case with two speeds."""
    own = visible.smallest_visible_change

    def as_if_normal(values, plan, **options):
        spread = scipy.stats.median_abs_deviation(values, scale="normal")
        quantiles = scipy.stats.norm.ppf((np.arange(len(values)) + 0.5) / len(values))
        return own((spread * quantiles).tolist(), plan, **options)

    assert promises_what_modes_hide()
    monkeypatch.setattr(judge, "smallest_visible_change", as_if_normal)
    assert not promises_what_modes_hide()


@pytest.mark.parametrize(("name", "value"), [("LEAST_VALUES", 1), ("TIGHT", 1.0)])
def test_modes_of_few_or_scattered_values(monkeypatch, name, value):
    """If one value, or any that lie far away, are taken for a mode, noise has modes."""

    def is_quiet():
        return not noise.too_many(test_modes.told(noise.spikes, 32, 500), 500, 0.01)

    assert is_quiet()
    monkeypatch.setattr(modes, name, value)
    if name == "TIGHT":
        monkeypatch.setattr(modes, "APART", 0.3)
    assert not is_quiet()


# Plans that cannot alarm, and what is likely.


def proves_so_many():
    """Return whether a clear slowdown of all cases is proven, though the plan asks for too few pairs."""
    plan = Plan(screen=3, confirm=8)
    values = dict.fromkeys("abcde", level(0.2))
    done, _ = follow({"g": list("abcde")}, values, values, plan, time_for=3 + 10)
    return all(one.slower.p_adjusted <= plan.alpha for one in done.cases.values())


def test_plan_that_cannot_alarm_is_carried_out(monkeypatch):
    """A plan that cannot prove any of its suspects proves nothing of a clear slowdown."""
    assert proves_so_many()
    monkeypatch.setattr(Plan, "can_alarm", lambda self, suspects: True)
    assert not proves_so_many()


def test_share_for_a_half_look_that_cannot_alarm(monkeypatch):
    """If the half look always has its share, eight pairs cannot prove two suspects."""

    def proves_two():
        values = {"a": level(0.2), "b": level(0.2)}
        done, _ = follow({"g": ["a"], "h": ["b"]}, values, values, Plan(screen=3, confirm=8), apart={"a"})
        return done.plan.confirm == 8 and done.cases["a"].slower.p_adjusted <= Plan().alpha

    assert proves_two()
    monkeypatch.setattr(Plan, "shares", property(lambda self: trial.SHARES))
    assert not proves_two()


def passes_nothing_that_looks_slower(runs=60):
    """Return whether no run passes in which an interval lies above the margin."""
    plan = Plan(confirm=10)
    effects = dict.fromkeys(noise.CASES[:4], math.log1p(0.02))
    for measure in noise.machines(noise.normal, 30, runs, plan, effects=effects, sigma=0.015):
        done = trial.run(noise.GROUPS, plan, measure)
        cases, groups, controls = judge.judge(done, plan, control_case="c", seconds={}, accepted={})
        is_above = any(one.ci_low is not None and one.ci_low > 1 + plan.min_effect for one in (*cases, *groups))
        if is_above and judge.overall(cases, groups, controls, strict=False)[1] == 0:
            return False
    return True


def test_what_is_likely_passes(monkeypatch):
    """Without the verdict "suspect", runs pass that print an interval above the margin."""
    assert passes_nothing_that_looks_slower()
    monkeypatch.setattr(judge, "EXIT_CODES", {**judge.EXIT_CODES, "suspect": 0})
    assert not passes_nothing_that_looks_slower()


# Controls and large changes.


def believes_no_nonsense():
    """Return whether a planted slowdown of 5 % that was measured as 20 times does not pass."""
    return not any(
        judge._planted(run, Plan(), "c").result == "passed"
        for pairs in (8, 16)
        for run in unawaited(np.random.default_rng(31), 100, pairs).tolist()
    )


def test_control_that_is_only_seen(monkeypatch):
    """A control that only has to be seen passes on nonsense."""
    assert believes_no_nonsense()
    monkeypatch.setattr(trial, "PLAUSIBLE", math.inf)
    monkeypatch.setattr(judge, "EXCESS", math.inf)
    monkeypatch.setattr(judge, "FACTOR", math.inf)
    assert not believes_no_nonsense()


def test_any_factor_is_large(monkeypatch):
    """If all pairs need only be 1.2 times slower, three slow processes are taken for a proof."""

    def keeps():
        return test_large.alarms(noise.modes, 3, sigma=0.025) <= 3

    assert keeps()
    monkeypatch.setattr(large, "FACTOR", 1.2)
    assert not keeps()


def test_large_without_the_t_test(monkeypatch):
    """If values far apart prove a change, a suite that does not wait for its work alarms."""

    def keeps(runs=300):
        values = np.random.default_rng(32).normal(0, 2.0, (runs, 15, 3)).tolist()
        alarms = sum(any(large.p_large(case, Plan(), 15) <= Plan().alpha for case in run) for run in values)
        return not noise.too_many(alarms, runs, Plan().alpha)

    assert keeps()
    monkeypatch.setattr(large, "p_slower_t", lambda values, margin: 0.0)
    assert not keeps()


def few_pairs_cover(runs=2000):
    """Return whether the intervals of three pairs cover the truth in 95 % of all runs, on any machine."""
    for model in noise.MODELS:
        values = noise.log_ratios(model, np.random.default_rng(33), (runs, 3, 1))[..., 0]
        bounds = [judge.shown_interval(run, judge.CONFIDENCE) for run in values.tolist()]
        if noise.too_many(sum(not low <= 0 <= high for low, high in bounds), runs, 0.05):
            return False
    return True


def test_narrow_intervals_of_few_pairs(monkeypatch):
    """Student's interval at 90 % misses too often."""
    assert few_pairs_cover()
    monkeypatch.setattr(judge, "FEW_CONFIDENCE", 0.9)
    assert not few_pairs_cover()
