"""Judges the measured pairs: the verdict on each case, each group and the run, and the result of the controls.

**A verdict is a proven statement whose error is bounded beforehand; everything else is inconclusive.** A large p
never means "unchanged". That needs an interval within the bounds of equivalence, in a run that detected its planted
slowdown.

Which values the interval of a case rests on depends on how the case was measured. Simulations of the whole trial
(tests/gate/test_judge.py) check that it covers the true change in 95 % of the runs:

- **Screened only**: the values of the screen, at 95 %. Screens that come out too high lead to a confirmation, so
  most of the 5 % that miss are too low.
- **Confirmed**: the values of the confirmation alone, at 97.5 %, so that both kinds together miss in less than 5 %.
  This also pays for early stopping, which prefers extreme values. The screen's values raised the suspicion, so they
  tend to be too high. Alarm and interval rest on the same values and cannot contradict each other.
- **Dropped before half of the confirmation**: all values, at 97.5 %. The confirming values alone are too few for an
  interval. They tend to be too low, and the screen's values too high.
"""

import math
from collections.abc import Mapping, Sequence

from gradperf.gate.decision.findings import Control, ControlName, ControlResult, Finding, Overall, Verdict
from gradperf.gate.decision.trial import HALF_WEIGHT, PLANTED, SCREEN_P, History, Plan, Trial, planted_was_seen
from gradperf.stats import (
    bisect,
    hodges_lehmann,
    p_faster,
    p_slower,
    shamos_sigma,
    signed_rank_interval,
    signed_rank_power,
)

CONFIDENCE, CONFIRMED_CONFIDENCE = 0.95, 0.975
"""Confidence of the intervals: see above."""

BLIND, BLIND_CONFIDENCE = 0.6, 0.999
"""The gate is blind if, with this confidence, it detected less than this share of the planted slowdown."""

UNSTABLE = 0.10
"""A case is too noisy to be judged if its smallest visible change is larger than this."""

POWER = 0.8
"""Probability with which the smallest visible change would be called regressed."""

EXIT_CODES: Mapping[Overall, int] = {
    "unchanged": 0,
    "improved": 0,
    "identical": 0,
    "inconclusive": 0,
    "regressed": 10,
    "untrusted": 12,
    "incomplete": 13,
}
STRICT_EXIT_CODE = 11
"""Exit code of an inconclusive run if the user asked for strictness; 0 otherwise."""


def judge(
    trial: Trial,
    plan: Plan,
    *,
    control_case: str,
    seconds: Mapping[str, tuple[float, float]],
    accepted: Mapping[str, str],
) -> tuple[tuple[Finding, ...], tuple[Finding, ...], tuple[Control, ...]]:
    """Return the findings of the cases, the findings of the groups, and the controls.

    ``seconds`` has the median times of base and head, by case. ``accepted`` has the user's reason to accept a
    change, by case or group. It does not alter the verdict, but :func:`overall` ignores accepted findings.
    """
    cases = tuple(
        _finding(
            id_,
            history,
            trial,
            plan,
            group=trial.group_of[id_],
            seconds=seconds.get(id_, (None, None)),
            accepted=accepted.get(id_, ""),
        )
        for id_, history in trial.cases.items()
    )
    groups = tuple(
        _finding(name, history, trial, plan, members=trial.members[name], accepted=accepted.get(name, ""))
        for name, history in trial.groups.items()
    )
    return cases, groups, (_null(trial.null, plan, control_case), _planted(trial.planted, plan, control_case))


def _finding(
    id_: str,
    history: History,
    trial: Trial,
    plan: Plan,
    *,
    members: Sequence[str] = (),
    group: str = "",
    seconds: tuple[float | None, float | None] = (None, None),
    accepted: str = "",
) -> Finding:
    """Return the finding of a case, or of a group of ``members``."""
    values, confidence = basis(history, plan)
    low, high = signed_rank_interval(values, confidence)
    # If a group were slower, its members would be suspected as well.
    would_be_suspected = [history, *(trial.cases[case] for case in members)]
    visible = smallest_visible_change(
        (*history.screened, *history.confirmed),
        plan,
        suspect_margin=plan.margin if members else 0.0,
        suspects=trial.suspects + sum(not one.slower.suspected for one in would_be_suspected),
    )
    bound = math.log1p(plan.equivalence)
    verdict: Verdict
    if history.slower.p_adjusted <= plan.alpha:
        verdict = "regressed"
    elif history.faster.p_adjusted <= plan.alpha:
        verdict = "improved"
    elif -bound <= low and high <= bound and planted_was_seen(trial.planted, plan):
        verdict = "unchanged"
    elif visible is not None and visible > UNSTABLE:
        verdict = "unstable"
    else:
        verdict = "inconclusive"
    return Finding(
        id=id_,
        verdict=verdict,
        group=group,
        ratio=_ratio(values),
        ci_low=_bound(low),
        ci_high=_bound(high),
        p_adjusted=history.slower.p_adjusted,
        pairs=len(values),
        smallest_visible_change=visible,
        base_s=seconds[0],
        head_s=seconds[1],
        screened=history.screened,
        confirmed=history.confirmed,
        accepted=accepted,
    )


def basis(history: History, plan: Plan) -> tuple[tuple[float, ...], float]:
    """Return the values that ratio and interval rest on, and the confidence that makes the interval cover 95 %."""
    if not history.confirmed:
        return history.screened, CONFIDENCE
    if 2 * len(history.confirmed) >= plan.confirm:
        return history.confirmed, CONFIRMED_CONFIDENCE
    return history.screened + history.confirmed, CONFIRMED_CONFIDENCE


def _ratio(values: Sequence[float]) -> float | None:
    return math.exp(hodges_lehmann(values)) if values else None


def _bound(log_ratio: float) -> float | None:
    """Return the bound as a ratio; None if it is infinite."""
    return math.exp(log_ratio) if math.isfinite(log_ratio) else None


def smallest_visible_change(
    values: Sequence[float], plan: Plan, *, suspect_margin: float, suspects: int
) -> float | None:
    """Return the slowdown, as a share, that is suspected and then confirmed with probability :data:`POWER`.

    The two probabilities are multiplied, because screen and confirmation use separate pairs. None if there are too
    few ``values`` to estimate their spread, or if no slowdown reaches that probability.
    """
    if len(values) < 2:
        return None
    sigma = shamos_sigma(values)
    final_alpha = plan.alpha * (1 - HALF_WEIGHT) / suspects

    def detected(effect: float) -> float:
        suspected = signed_rank_power(effect - suspect_margin, sigma, plan.screen, SCREEN_P)
        return suspected * signed_rank_power(effect - plan.margin, sigma, plan.confirm, final_alpha)

    largest = plan.margin + 10 * sigma  # all values lie beyond the margin
    if detected(largest) < POWER:
        return None
    return math.expm1(bisect(lambda effect: detected(effect) - POWER, plan.margin, largest, steps=25))


def _null(values: Sequence[float], plan: Plan, case: str) -> Control:
    """Return the control "base against base". It fails if it alarms by the rule for a single case, either way."""
    alarm = min(p_slower(values, plan.margin), p_faster(values, plan.margin)) <= plan.alpha / 2
    result: ControlResult = "failed" if alarm else "passed" if values else "not seen"
    return _control("base against base", case, 0.0, result, values, plan)


def _planted(values: Sequence[float], plan: Plan, case: str) -> Control:
    """Return the control "planted slowdown".

    It fails only if its interval excludes a share of :data:`BLIND` of the slowdown. Too much noise is no failure.
    """
    blind = signed_rank_interval(values, BLIND_CONFIDENCE)[1] < BLIND * math.log1p(PLANTED)
    result: ControlResult = "passed" if planted_was_seen(values, plan) else "failed" if blind else "not seen"
    return _control("planted slowdown", case, PLANTED, result, values, plan)


def _control(
    name: ControlName, case: str, effect: float, result: ControlResult, values: Sequence[float], plan: Plan
) -> Control:
    low, high = signed_rank_interval(values, CONFIDENCE)
    p = p_slower(values, plan.margin)
    return Control(name, case, effect, result, _ratio(values), _bound(low), _bound(high), p, tuple(values))


def overall(
    cases: Sequence[Finding], groups: Sequence[Finding], controls: Sequence[Control], *, strict: bool
) -> tuple[Overall, int]:
    """Return the verdict on the run and its exit code. Accepted findings do not count.

    The worst counts: results that cannot be trusted, then a slowdown, a missing result, an unproven result. If
    everything that changed was accepted, the run is unchanged.
    """
    verdict = _overall(cases, groups, controls)
    return verdict, STRICT_EXIT_CODE if strict and verdict == "inconclusive" else EXIT_CODES[verdict]


def _overall(cases: Sequence[Finding], groups: Sequence[Finding], controls: Sequence[Control]) -> Overall:
    verdicts = {case.verdict for case in cases if not case.accepted}
    group_verdicts = {group.verdict for group in groups if not group.accepted}
    if "different" in verdicts or any(control.result == "failed" for control in controls):
        return "untrusted"
    if "regressed" in verdicts | group_verdicts:
        return "regressed"
    if verdicts & {"failed", "removed"} or not any(case.verdict == "identical" or case.pairs for case in cases):
        return "incomplete"
    # Groups do not count here: the mean of cases that are all proven unchanged is unchanged too.
    if verdicts & {"inconclusive", "unstable"}:
        return "inconclusive"
    if "improved" in verdicts | group_verdicts:
        return "improved"
    if "identical" in verdicts and verdicts <= {"identical", "new"}:
        return "identical"
    return "unchanged"
