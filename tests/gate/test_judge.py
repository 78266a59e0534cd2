"""Intervals cover the true change, "unchanged" is proven, and the exit code shows the worst result."""

import math
import statistics

import numpy as np
import pytest
import scipy.stats

from gradperf.gate.decision import judge as judging
from gradperf.gate.decision import trial
from gradperf.gate.decision.findings import Control, Finding
from gradperf.gate.decision.judge import basis, judge, overall, shown_interval
from gradperf.gate.decision.trial import Answer, History, Plan, Trial
from tests.gate import noise

PLAN = Plan()
YES = Answer(suspected=True, decided_at=12, p=2**-10, p_adjusted=2**-10)


def level(value, count, width=0.005):
    """Return values around ``value``, all different."""
    return tuple(value + width * (-1) ** i * (1 + 0.1 * i) for i in range(count))


QUIET = level(0.0, 8)
SEEN = level(0.05, 20)
SLOWER = math.log1p(0.05)


def judged(case=None, *, groups=None, null=QUIET, planted=SEEN, seconds=None, accepted=None):
    """Judge a trial of one case "a" in the group "g", with these groups' histories."""
    case = case or history(QUIET)
    groups = groups or {}
    done = Trial({"a": case}, groups, {"a": "g"}, dict.fromkeys(groups, ("a",)), null, planted, False, PLAN)
    return judge(done, PLAN, control_case="c", seconds=seconds or {}, accepted=accepted or {})


def history(screened, confirmed=(), slower=Answer(), faster=Answer()):  # noqa: B008 - frozen
    return History(screened, confirmed, slower, faster)


def verdict(*arguments, **options):
    ((finding,), _, _) = judged(*arguments, **options)
    return finding.verdict


def test_regressed_and_improved():
    """Holm's p alone decides. Ratio and interval are those of the confirmation."""
    ((finding,), _, _) = judged(history(level(0.2, 8), level(0.1, 12), slower=YES), seconds={"a": (1.0, 1.1)})
    assert finding.verdict == "regressed"
    assert finding.ratio == pytest.approx(math.exp(0.1), abs=1e-3)
    assert 1.01 < finding.ci_low < finding.ratio < finding.ci_high
    assert (finding.pairs, len(finding.screened), len(finding.confirmed)) == (12, 8, 12)
    assert (finding.base_s, finding.head_s, finding.group, finding.p_adjusted) == (1.0, 1.1, "g", 2**-10)
    assert verdict(history(level(-0.2, 8), level(-0.1, 12), faster=YES)) == "improved"
    hopeless = Answer(suspected=True, dropped_at=6)
    assert verdict(history(level(0.02, 8), level(0.01, 6), slower=hopeless)) != "regressed"


def test_unchanged_takes_an_interval_within_the_bounds():
    """An interval that reaches beyond ±3 % does not prove "unchanged", however large p is."""
    assert verdict(history(level(0.0, 8, 0.005))) == "unchanged"
    assert verdict(history(level(0.0, 8, 0.025))) == "inconclusive"
    assert verdict(history(level(-0.028, 8, 0.005))) == "inconclusive"
    assert verdict(history(level(0.0, 5, 0.0005))) == "inconclusive"


def test_unchanged_takes_a_planted_slowdown_that_was_seen():
    """A run that did not detect 5 % of planted work might not detect a slowdown either."""
    assert verdict(planted=level(0.05, 8, 0.2)) == "inconclusive"
    assert verdict(planted=()) == "inconclusive"
    assert verdict(planted=level(0.0, 20, 0.005)) == "inconclusive"


def test_unstable():
    """If only slowdowns of more than 10 % are visible, the case is unstable."""
    ((finding,), _, _) = judged(history(level(0.0, 8, 0.2)))
    assert finding.verdict == "unstable"
    assert finding.smallest_visible_change > 0.1


def test_without_values():
    """A case without a pair is inconclusive, and does not affect the rest."""
    ((finding,), _, controls) = judged(history(()), null=(), planted=())
    assert finding.verdict == "inconclusive"
    assert (finding.ratio, finding.ci_low, finding.ci_high, finding.pairs) == (None, None, None, 0)
    assert finding.smallest_visible_change is None
    assert [(c.result, c.ratio, c.ci_low) for c in controls] == [("not seen", None, None)] * 2
    ((finding,), _, _) = judged(history((0.01,)))
    assert finding.ratio == pytest.approx(math.exp(0.01))
    assert (finding.ci_low, finding.ci_high) == (None, None)


@pytest.mark.parametrize("pairs", [2, 3, 5])
def test_few_pairs_have_an_interval(pairs):
    """It is Student's, at 99 %. It proves nothing, but what lies above the margin as a whole is suspect."""
    values = level(0.0, pairs, 0.0001)
    ((finding,), _, _) = judged(history(values))
    bounds = scipy.stats.ttest_1samp(values, 0.0).confidence_interval(0.99)
    assert (finding.ci_low, finding.ci_high) == pytest.approx((math.exp(bounds.low), math.exp(bounds.high)))
    assert finding.verdict == "inconclusive"
    assert verdict(history(level(0.3, pairs, 0.001))) == "suspect"
    assert verdict(history(level(0.3, pairs, 0.3))) != "suspect"
    ((finding,), _, _) = judged(history((-30.0, 30.0)))
    assert (finding.ci_low, finding.ci_high) == (None, None)


def test_suspect():
    """What lies above the margin as a whole, and is not proven, is suspect; a group likewise."""
    slow = history(level(0.02, 8), level(0.02, 24), slower=Answer(suspected=True, p=0.009, p_adjusted=0.018))
    (case,), (group,), _ = judged(slow, groups={"g": slow})
    assert case.verdict == group.verdict == "suspect"
    assert case.ci_low > 1 + PLAN.min_effect
    assert verdict(history(level(0.02, 8), level(0.012, 24), slower=Answer(suspected=True))) == "unchanged"


def test_groups_are_judged_likewise():
    """A group has its own verdict, interval and smallest visible change, but no seconds."""
    _, (finding,), _ = judged(groups={"g": history(level(0.1, 8), level(0.1, 12), slower=YES)})
    assert (finding.id, finding.verdict, finding.pairs, finding.base_s) == ("g", "regressed", 12, None)
    assert finding.smallest_visible_change > PLAN.min_effect


def test_accepted_keeps_its_verdict():
    """An accepted finding keeps its verdict, and has the reason."""
    slow = history(level(0.1, 8), level(0.1, 12), slower=YES)
    (case,), (group,), _ = judged(slow, groups={"g": slow}, accepted={"a": "checks more", "g": "so it does"})
    assert (case.verdict, case.accepted) == ("regressed", "checks more")
    assert (group.verdict, group.accepted) == ("regressed", "so it does")


@pytest.mark.parametrize(
    ("values", "result"),
    [
        (level(0.0, 8), "passed"),
        (level(0.0, 8, 0.5), "passed"),
        (level(0.05, 8), "failed"),
        (level(-0.05, 8), "failed"),
        (level(0.008, 32, 0.002), "passed"),
    ],
)
def test_base_against_base(values, result):
    """It fails if it alarms, either way. A bias below the smallest effect of interest is harmless."""
    _, _, (null, _) = judged(null=values)
    assert (null.name, null.effect, null.result, null.case) == ("base against base", 0.0, result, "c")
    assert null.values == values


@pytest.mark.parametrize(
    ("values", "result"),
    [
        (level(0.05, 8), "passed"),
        (level(0.03, 8), "passed"),
        (level(0.05, 8, 0.2), "not seen"),
        (level(0.0, 8), "not seen"),  # too few for an interval of 99.9 %
        (level(0.0, 20), "failed"),
        (level(-0.05, 20), "failed"),
        (level(0.0, 20, 0.2), "not seen"),
        (level(0.2, 20), "failed"),  # four times what was planted
        (level(0.11, 20), "failed"),
        (level(0.09, 20), "passed"),
        (level(0.2, 8), "passed"),  # too few for an interval of 99.9 %
        (level(0.3, 8), "not seen"),
        (level(3.0, 3), "failed"),  # 20 times, in each of three pairs
        (level(3.0, 2), "not seen"),
        ((3.0, 3.1, 0.05), "not seen"),
    ],
)
def test_planted_slowdown(values, result):
    """It is seen, or hidden by noise, or excluded although it is there: then the gate is blind."""
    _, _, (_, planted) = judged(planted=values)
    assert (planted.name, planted.effect, planted.result) == ("planted slowdown", 0.05, result)
    assert planted.ci_low < planted.ratio < planted.ci_high


def test_modes_are_passed_on():
    """What is known of two speeds of a case is in its finding."""
    done = Trial({"a": history(QUIET)}, {}, {"a": "g"}, {}, QUIET, SEEN, False, PLAN)
    told = {"a": "in 4 of 32 processes the base was 1.7× slower than in the others"}
    ((finding,), _, _) = judge(done, PLAN, control_case="c", seconds={}, accepted={}, modes=told)
    assert finding.modes == told["a"]


@pytest.mark.usefixtures("quick")
def test_controls_do_not_fail_by_chance():
    """Of 180 runs without a fault, 30 on each kind of machine, no control fails."""
    for model in noise.MODELS:
        for measure in noise.machines(model, 11, 30, PLAN):
            done = trial.run(noise.GROUPS, PLAN, measure)
            _, _, controls = judge(done, PLAN, control_case="c", seconds={}, accepted={})
            assert "failed" not in {control.result for control in controls}


@pytest.mark.parametrize("pairs", [3, 14])
@pytest.mark.parametrize("model", noise.MODELS)
def test_a_right_control_does_not_fail(model, pairs):
    """A planted slowdown that was measured rightly fails in at most 0.1 % of all runs, however noisy they are."""
    sigma = 0.025 if model is noise.modes else 0.08  # the size of these modes is known
    runs = 2000
    values = noise.log_ratios(model, np.random.default_rng(18), (runs, pairs, 1), sigma=sigma)[..., 0]
    failed = sum(judging._planted(run, PLAN, "c").result == "failed" for run in (values + SLOWER).tolist())
    assert not noise.too_many(failed, runs, 0.001), failed


def unawaited(rng, runs, pairs):
    """Return what a suite that does not wait for its work measured of 5 % of planted work: 5 to 90 times."""
    return rng.normal(math.log(20.9), 0.8, (runs, pairs))


@pytest.mark.parametrize("pairs", [3, 8, 16])
def test_a_wrong_control_never_passes(pairs):
    """If something else was measured than was planted, the control never passes, and mostly it fails."""
    results = [
        judging._planted(run, PLAN, "c").result for run in unawaited(np.random.default_rng(19), 300, pairs).tolist()
    ]
    assert "passed" not in results
    assert results.count("failed") >= 0.9 * len(results)


# The results of whole trials on simulated machines.


@pytest.fixture
def quick(monkeypatch):
    """Leave out the smallest visible change, which takes most of the time and alters only "unstable"."""
    monkeypatch.setattr(judging, "smallest_visible_change", lambda *_, **__: 0.05)


EFFECTS = [0.0, 0.01, 0.02, 0.03, 0.05, -0.01, -0.03]
MIXED = {case: math.log1p(EFFECTS[i % 7]) for i, case in enumerate(noise.CASES)}


def missed(model, runs, *, sigma=0.025, effects=MIXED, rule=basis):
    """Return, by effect, how many reported intervals miss the true log-ratio, and how many there are."""
    counts = {}
    for measure in noise.machines(model, 12, runs, PLAN, effects=effects, sigma=sigma):
        done = trial.run(noise.GROUPS, PLAN, measure)
        members = {**{case: (case,) for case in done.cases}, **done.members}
        for name, history in (*done.cases.items(), *done.groups.items()):
            truth = statistics.fmean(effects.get(case, 0.0) for case in members[name])
            low, high = shown_interval(*rule(history, PLAN))
            key = f"{math.expm1(truth):.4f}"
            out, total = counts.get(key, (0, 0))
            counts[key] = (out + (not low <= truth <= high), total + 1)
    return counts


@pytest.mark.parametrize("model", noise.MODELS)
def test_intervals_cover(model):
    """Whatever was suspected, dropped or stopped early, 95 % of the reported intervals cover the true change."""
    for effect, (out, total) in missed(model, 200).items():
        assert not noise.too_many(out, total, 0.05), (effect, out, total)


@pytest.mark.parametrize("sigma", [0.008, 0.015, 0.05])
def test_intervals_cover_at_any_spread(sigma):
    """The same on quieter and noisier machines."""
    for effect, (out, total) in missed(noise.normal, 200, sigma=sigma).items():
        assert not noise.too_many(out, total, 0.05), (effect, out, total)


def called(word, measures, subject, plan=PLAN):
    """Return in how many runs ``subject`` has the verdict ``word``, and the number of runs."""
    answers = []
    for measure in measures:
        cases, groups, _ = judge(
            trial.run(noise.GROUPS, plan, measure), plan, control_case="c", seconds={}, accepted={}
        )
        answers += [finding.verdict == word for finding in (*cases, *groups) if finding.id == subject]
    return sum(answers), len(answers)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("sigma", [0.008, 0.025])
@pytest.mark.parametrize("model", noise.MODELS)
def test_slower_by_three_percent_is_not_called_unchanged(model, sigma):
    """A true change at the bound of equivalence is called unchanged in 5 % of all runs or fewer."""
    effects = {"jax3": math.log1p(PLAN.equivalence)}
    count, runs = called("unchanged", noise.machines(model, 13, 100, PLAN, effects=effects, sigma=sigma), "jax3")
    assert not noise.too_many(count, runs, 0.05), count


@pytest.mark.usefixtures("quick")
def test_unchanged_cases_are_called_unchanged():
    """On a quiet machine, most cases without a change are called unchanged."""
    count, runs = called("unchanged", noise.machines(noise.normal, 14, 100, PLAN, sigma=0.012), "jax3")
    assert count >= 0.9 * runs, count


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("sigma", [0.025, 0.08])
@pytest.mark.parametrize("model", noise.MODELS)
def test_false_suspicions(model, sigma):
    """Of the runs without a change, with 12 cases and 3 groups, at most 1 % is called suspect."""
    runs = 100
    suspect = 0
    for measure in noise.machines(model, 17, runs, PLAN, sigma=sigma):
        cases, groups, _ = judge(
            trial.run(noise.GROUPS, PLAN, measure), PLAN, control_case="c", seconds={}, accepted={}
        )
        suspect += any(one.verdict == "suspect" for one in (*cases, *groups))
    assert not noise.too_many(suspect, runs, 0.01), suspect


def finding(verdict, *, accepted="", pairs=None):
    timed = verdict not in {"identical", "new", "removed", "failed"}
    return Finding("x", verdict, pairs=timed * 8 if pairs is None else pairs, accepted=accepted)


def control(result):
    return Control("planted slowdown", "c", 0.05, result, None, None, None, None, ())


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        (["unchanged"], ("unchanged", 0)),
        (["identical", "unchanged"], ("unchanged", 0)),
        (["unchanged", "new"], ("unchanged", 0)),
        (["identical"], ("identical", 0)),
        (["identical", "new"], ("identical", 0)),
        (["improved", "unchanged", "identical"], ("improved", 0)),
        (["improved", "inconclusive"], ("inconclusive", 0)),
        (["unstable", "unchanged"], ("inconclusive", 0)),
        (["new"], ("incomplete", 13)),
        ([], ("incomplete", 13)),
        (["removed", "unchanged"], ("incomplete", 13)),
        (["failed", "improved", "inconclusive"], ("incomplete", 13)),
        (["failed"], ("incomplete", 13)),
        (["regressed", "failed", "inconclusive", "improved"], ("regressed", 10)),
        (["different", "regressed", "failed"], ("untrusted", 12)),
        (["suspect", "inconclusive", "improved"], ("suspect", 11)),
        (["suspect", "failed"], ("incomplete", 13)),
        (["suspect", "regressed"], ("regressed", 10)),
    ],
)
def test_overall(verdicts, expected):
    """The worst verdict is the run's. A run that compared nothing is no success."""
    assert overall([finding(v) for v in verdicts], [], [control("passed")], strict=False) == expected


def test_overall_without_measurements():
    """A case without a single pair was not compared."""
    assert overall([finding("inconclusive", pairs=0)], [], [], strict=False) == ("incomplete", 13)
    both = [finding("inconclusive", pairs=0), finding("identical")]
    assert overall(both, [], [], strict=False) == ("inconclusive", 0)


def test_overall_strict():
    """With strictness, inconclusive runs fail and proven ones do not."""
    for verdict, code in [
        ("inconclusive", 11),
        ("unstable", 11),
        ("unchanged", 0),
        ("identical", 0),
        ("regressed", 10),
    ]:
        assert overall([finding(verdict)], [], [], strict=True)[1] == code


def test_overall_by_its_controls():
    """A failed control makes the run untrusted; one that was too noisy does not."""
    cases = [finding("regressed"), finding("unchanged")]
    assert overall(cases, [], [control("passed"), control("failed")], strict=False) == ("untrusted", 12)


def test_overall_if_nothing_was_shown():
    """A run that did not see its planted slowdown is inconclusive, also if a case improved."""
    for verdict in ("unchanged", "improved", "inconclusive"):
        assert overall([finding(verdict)], [], [control("not seen")], strict=False) == ("inconclusive", 0)
        assert overall([finding(verdict)], [], [control("not seen")], strict=True) == ("inconclusive", 11)
    assert overall([finding("regressed")], [], [control("not seen")], strict=False) == ("regressed", 10)
    assert overall([finding("suspect")], [], [control("not seen")], strict=False) == ("suspect", 11)


def test_overall_of_a_run_that_was_cut_short():
    """A run that had to end before its sides were checked is incomplete; what was proven before counts more."""
    assert overall([finding("inconclusive")], [], [], strict=False, incomplete=True) == ("incomplete", 13)
    assert overall([finding("suspect")], [], [], strict=False, incomplete=True) == ("incomplete", 13)
    assert overall([finding("regressed")], [], [], strict=False, incomplete=True) == ("regressed", 10)


def test_overall_by_its_groups():
    """A group that regressed fails the run although no case did; one that is inconclusive does not."""
    cases = [finding("unchanged")]
    assert overall(cases, [finding("regressed")], [], strict=True) == ("regressed", 10)
    assert overall(cases, [finding("regressed", accepted="yes")], [], strict=True) == ("unchanged", 0)
    assert overall(cases, [finding("inconclusive")], [], strict=True) == ("unchanged", 0)
    assert overall(cases, [finding("improved")], [], strict=True) == ("improved", 0)
    assert overall(cases, [finding("suspect")], [], strict=False) == ("suspect", 11)
    assert overall(cases, [finding("suspect", accepted="yes")], [], strict=False) == ("unchanged", 0)


@pytest.mark.parametrize("verdict", ["regressed", "different", "failed", "removed", "suspect", "unstable"])
def test_overall_ignores_accepted_findings(verdict):
    """An accepted case does not fail the run. But a run without any pairs compared nothing."""
    accepted = finding(verdict, accepted="known")
    assert overall([accepted, finding("unchanged")], [], [], strict=True) == ("unchanged", 0)
    assert overall([accepted, finding("identical")], [], [], strict=True) == ("identical", 0)
    assert overall([accepted], [], [], strict=True)[1] == (0 if accepted.pairs else 13)
