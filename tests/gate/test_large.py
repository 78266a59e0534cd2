"""A few pairs prove a change beyond a factor of two, and speeds that processes draw are not taken for one."""

import math

import numpy as np
import pytest

from gradperf.gate.decision import judge, trial
from gradperf.gate.decision.large import p_large
from gradperf.gate.decision.trial import Plan
from tests.gate import noise

PLAN = Plan()
SUBJECTS = 15


@pytest.mark.parametrize("pairs", [3, 4, 6])
@pytest.mark.parametrize("factor", [3.4, 7.6, 32.0])
def test_large_changes_are_proven_by_few_pairs(factor, pairs):
    """At a spread of 5 %, three pairs prove a factor of 3.4 among twelve cases."""
    values = math.log(factor) + np.random.default_rng(1).normal(0, 0.03, (200, pairs))
    proven = sum(p_large(run.tolist(), PLAN, SUBJECTS) <= PLAN.alpha for run in values)
    assert proven >= 0.95 * len(values), proven


def test_both_conditions_count():
    """All values lie beyond a factor of two, and they agree; two pairs prove nothing."""
    assert p_large([1.2, 1.21, 1.22], PLAN, 1) < 0.001
    assert p_large([1.2, 1.21, 0.69], PLAN, 1) == 1
    assert p_large([-1.2, -1.21, -1.22], PLAN, 1) == 1
    assert p_large([0.7, 3.0, 9.0], PLAN, 1) > PLAN.alpha
    assert p_large([1.2, 1.2], PLAN, 1) == 1
    assert p_large([1.2, 1.21, 1.25], PLAN, 40) == pytest.approx(40 * p_large([1.2, 1.21, 1.25], PLAN, 1))
    assert p_large([], PLAN, 1) == 1


def alarms(model, pairs, *, sigma, runs=3000):
    """Return in how many runs without a change a case alarms, either way."""
    values = noise.log_ratios(model, np.random.default_rng(2), (runs, pairs, SUBJECTS), sigma=sigma)
    return sum(
        any(
            min(p_large(column, PLAN, SUBJECTS), p_large([-value for value in column], PLAN, SUBJECTS))
            <= PLAN.alpha
            for column in run.T.tolist()
        )
        for run in values
    )


@pytest.mark.parametrize(("pairs", "sigma"), [(3, 0.025), (4, 0.06)])
@pytest.mark.parametrize("model", noise.MODELS)
def test_few_pairs_raise_no_false_alarm(model, pairs, sigma):
    """Of 3000 runs of fifteen cases at most 0.1 % alarm, also if one process in eight is 1.7 times slower."""
    if model is noise.modes:
        sigma = 0.025  # the size of these modes is known
    assert alarms(model, pairs, sigma=sigma) <= 3


def judged(factor, pairs):
    """Return the finding of a case whose run was stopped after so many pairs, and the verdict on the run."""
    rng = np.random.default_rng(3)
    left = iter(rng.normal(0, 0.03, (pairs, 2)).tolist())

    def measure(phase, cases):
        row = next(left, None)
        values = {case: row[0] + math.log(factor) for case in cases} if row else {}
        return trial.Pair(values, row[1], 0.05 + row[1] / 10) if row else None

    done = trial.run({"g": ["a"]}, PLAN, measure)
    assert done.stopped
    findings = judge.judge(done, PLAN, control_case="c", seconds={}, accepted={})
    return findings[0][0], judge.overall(*findings, strict=False)


@pytest.mark.parametrize("pairs", [4, 7, 10])
def test_stopped_by_the_budget(pairs):
    """A large slowdown is a regression though the time ran out, and a large speedup an improvement."""
    slow, overall = judged(3.4, pairs)
    assert (slow.verdict, overall) == ("regressed", ("regressed", 10))
    assert slow.p_adjusted <= PLAN.alpha
    assert 2 < slow.ci_low < 3.4 < slow.ci_high
    fast, overall = judged(1 / 7.6, pairs)
    assert fast.verdict == "improved"
    assert overall == (("inconclusive", 0) if pairs < 7 else ("improved", 0))  # the planted slowdown was not seen
    assert judged(1.5, pairs)[0].verdict == "suspect"
