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

**Of few pairs** (fewer than 6 or 7) the exact interval is infinite. Student's t is shown instead, at 99 % because
it takes the noise for normal. It can make a case suspect, but it proves nothing: not that a case is unchanged
either.
"""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from gradperf.gate.decision.findings import Control, ControlName, ControlResult, Finding, Overall, Verdict
from gradperf.gate.decision.large import FACTOR, LEAST_PAIRS, p_large
from gradperf.gate.decision.trial import (
    CONFIRMED_CONFIDENCE,
    PLANTED,
    History,
    Plan,
    Trial,
    planted_was_seen,
    suspect_margin,
)
from gradperf.gate.decision.visible import smallest_visible_change
from gradperf.stats import interval, location, p_faster, p_slower, t_interval

CONFIDENCE, FEW_CONFIDENCE = 0.95, 0.99
"""Confidence of the intervals: see above."""

BLIND, EXCESS, CONTROL_CONFIDENCE = 0.6, 2.0, 0.999
"""The planted slowdown fails if, with this confidence, less
than the first share of it was measured, or more than the second. The gate would be blind, or what it times is not
the work that was planted."""

UNSTABLE = 0.10
"""A case is too noisy to be judged if its smallest visible change is larger than this."""

LARGEST_BOUND = 100.0
"""Log-ratios beyond this are no bound of an interval."""

EXIT_CODES: Mapping[Overall, int] = {
    "unchanged": 0,
    "improved": 0,
    "identical": 0,
    "inconclusive": 0,
    "regressed": 10,
    "suspect": 11,
    "untrusted": 12,
    "incomplete": 13,
}
STRICT_EXIT_CODE = 11
"""Exit code of an inconclusive run if the user asked for strictness; 0 otherwise. A suspect run always has it."""


def judge(
    trial: Trial,
    plan: Plan,
    *,
    control_case: str,
    seconds: Mapping[str, tuple[float, float]],
    accepted: Mapping[str, str],
    modes: Mapping[str, str] = MappingProxyType({}),
) -> tuple[tuple[Finding, ...], tuple[Finding, ...], tuple[Control, ...]]:
    """Return the findings of the cases, the findings of the groups, and the controls.

    ``seconds`` has the median times of base and head, by case. ``accepted`` has the user's reason to accept a
    change, by case or group. It does not alter the verdict, but :func:`overall` ignores accepted findings.
    ``modes`` has what is known of several speeds, by case.
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
            modes=modes.get(id_, ""),
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
    modes: str = "",
) -> Finding:
    """Return the finding of a case, or of a group of ``members``."""
    values, confidence = basis(history, plan)
    exact = interval(values, confidence)
    low, high = shown_interval(values, confidence)
    all_values = (*history.screened, *history.confirmed)
    # If a group were slower, its members would be suspected as well.
    would_be_suspected = [history, *(trial.cases[case] for case in members)]
    visible = smallest_visible_change(
        all_values,
        plan,
        suspect_margin=suspect_margin(plan, group=bool(members)),
        suspects=trial.suspects + sum(not one.slower.suspected for one in would_be_suspected),
    )
    subjects = len(trial.cases) + len(trial.groups)
    p_regressed = min(history.slower.p_adjusted, p_large(all_values, plan, subjects))
    p_improved = min(history.faster.p_adjusted, p_large([-value for value in all_values], plan, subjects))
    verdict: Verdict
    if p_regressed <= plan.alpha:
        verdict = "regressed"
    elif p_improved <= plan.alpha:
        verdict = "improved"
    elif low > plan.margin:
        verdict = "suspect"
    elif -plan.bound <= exact[0] and exact[1] <= plan.bound and planted_was_seen(trial.planted, plan):
        verdict = "unchanged"
    elif visible is not None and visible > UNSTABLE:
        verdict = "unstable"
    else:
        verdict = "inconclusive"
    return Finding(
        id=id_,
        verdict=verdict,
        group=group,
        ratio=_ratio(values, confidence),
        ci_low=_bound(low),
        ci_high=_bound(high),
        p_adjusted=p_regressed,
        pairs=len(values),
        smallest_visible_change=visible,
        base_s=seconds[0],
        head_s=seconds[1],
        screened=history.screened,
        confirmed=history.confirmed,
        modes=modes,
        accepted=accepted,
    )


def basis(history: History, plan: Plan) -> tuple[tuple[float, ...], float]:
    """Return the values that ratio and interval rest on, and the confidence that makes the interval cover 95 %."""
    if not history.confirmed:
        return history.screened, CONFIDENCE
    if 2 * len(history.confirmed) >= plan.confirm:
        return history.confirmed, CONFIRMED_CONFIDENCE
    return history.screened + history.confirmed, CONFIRMED_CONFIDENCE


def shown_interval(values: Sequence[float], confidence: float) -> tuple[float, float]:
    """Return the exact interval, or Student's of few values."""
    exact = interval(values, confidence)
    return exact if math.isfinite(exact[0]) else t_interval(values, FEW_CONFIDENCE)


def _ratio(values: Sequence[float], confidence: float) -> float | None:
    return math.exp(location(values, confidence)) if values else None


def _bound(log_ratio: float) -> float | None:
    """Return the bound as a ratio; None if it is infinite, or as good as that."""
    return math.exp(log_ratio) if abs(log_ratio) < LARGEST_BOUND else None


def _null(values: Sequence[float], plan: Plan, case: str) -> Control:
    """Return the control "base against base". It fails if it alarms by the rule for a single case, either way."""
    alarm = min(p_slower(values, plan.margin), p_faster(values, plan.margin)) <= plan.alpha / 2
    result: ControlResult = "failed" if alarm else "passed" if values else "not seen"
    return _control("base against base", case, 0.0, result, values, plan)


def _planted(values: Sequence[float], plan: Plan, case: str) -> Control:
    """Return the control "planted slowdown". It fails if what was measured is certainly not what was planted.

    So it does if the gate is blind: its interval excludes a share of :data:`BLIND` of the slowdown. And it does if
    :data:`EXCESS` times the slowdown lies below the interval. Of few values all must be larger than :data:`FACTOR`,
    because some cases have two speeds. Too much noise is no failure.
    """
    low, high = interval(values, CONTROL_CONFIDENCE)
    is_blind = high < BLIND * math.log1p(PLANTED)
    is_too_much = low > math.log1p(EXCESS * PLANTED)
    few = math.isinf(low) and len(values) >= LEAST_PAIRS and min(values) > math.log(FACTOR)
    result: ControlResult = "failed" if is_blind or is_too_much or few else "not seen"
    if result != "failed" and planted_was_seen(values, plan):
        result = "passed"
    return _control("planted slowdown", case, PLANTED, result, values, plan)


def _control(
    name: ControlName, case: str, effect: float, result: ControlResult, values: Sequence[float], plan: Plan
) -> Control:
    low, high = shown_interval(values, CONFIDENCE)
    p = p_slower(values, plan.margin)
    ratio = _ratio(values, CONFIDENCE)
    return Control(name, case, effect, result, ratio, _bound(low), _bound(high), p, tuple(values))


def overall(
    cases: Sequence[Finding],
    groups: Sequence[Finding],
    controls: Sequence[Control],
    *,
    strict: bool,
    incomplete: bool = False,
) -> tuple[Overall, int]:
    """Return the verdict on the run and its exit code. Accepted findings do not count.

    The worst counts: results that cannot be trusted, then a slowdown, a missing result, a slowdown that is only
    likely, an unproven result. If everything that changed was accepted, the run is unchanged. ``incomplete``: the
    run had to end before it could prove anything.
    """
    verdict = _overall(cases, groups, controls, incomplete)
    return verdict, STRICT_EXIT_CODE if strict and verdict == "inconclusive" else EXIT_CODES[verdict]


def _overall(
    cases: Sequence[Finding], groups: Sequence[Finding], controls: Sequence[Control], incomplete: bool
) -> Overall:
    verdicts = {case.verdict for case in cases if not case.accepted}
    group_verdicts = {group.verdict for group in groups if not group.accepted}
    results = {control.result for control in controls}
    if "different" in verdicts or "failed" in results:
        return "untrusted"
    if "regressed" in verdicts | group_verdicts:
        return "regressed"
    is_compared = any(case.verdict == "identical" or case.pairs for case in cases)
    if incomplete or verdicts & {"failed", "removed"} or not is_compared:
        return "incomplete"
    if "suspect" in verdicts | group_verdicts:
        return "suspect"
    # Groups do not count here: the mean of cases that are all proven unchanged is unchanged too. A run that did not
    # see its own slowdown shows nothing, whatever it measured.
    if verdicts & {"inconclusive", "unstable"} or "not seen" in results:
        return "inconclusive"
    if "improved" in verdicts | group_verdicts:
        return "improved"
    if "identical" in verdicts and verdicts <= {"identical", "new"}:
        return "identical"
    return "unchanged"
