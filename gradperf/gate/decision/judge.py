"""What a trial says about each case, each group and itself.

The law: **a verdict is a statement that was proven, with its error bounded beforehand; the rest is inconclusive.**
A p that is not small never means "unchanged": that takes an interval within the bounds of equivalence, in a run
that has seen a slowdown planted on purpose.

What the interval of a case rests on follows from how it was measured, and simulated runs of the whole trial
(tests/gate/test_judge.py) hold it to its 95 %:

- never measured again: the values of the screen, at 95 %. A screen that came out too high is not reported, but
  measured again; so what is left of the 5 % is mostly the half of those that came out too low;
- measured again: the values of the confirmation alone, at 97.5 %, so that both halves together stay below 5 %. The
  rest also pays for stopping early, which prefers extreme values. The screen's values would pull the ratio up, as
  they were the reason to measure again; and the alarm rests on the confirmation alone, which thus cannot contradict
  its interval;
- measured again, but dropped before half of the confirmation: all values, at 97.5 %. The few new ones alone give no
  interval; what the screen pulls up, they pull down.
"""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from statistics import NormalDist, median
from typing import Literal

from gradperf.doctor.noise import t_quantile
from gradperf.gate.decision.findings import Control, Finding, Overall, Verdict
from gradperf.gate.decision.trial import (
    HALF_WEIGHT,
    PLANTED,
    SCREEN_GROUP_P,
    SCREEN_P,
    Course,
    Plan,
    Trial,
    planted_was_seen,
)
from gradperf.stats import critical, estimate, interval, p_faster, p_of_rank_sum, p_slower

CONFIDENCE = 0.95
CONFIRMED_CONFIDENCE = 0.975
"""Of an interval; see above."""

BLIND = 0.6
BLIND_CONFIDENCE = 0.999
"""The gate is blind if it is that sure to have seen less than this share of the planted slowdown."""

UNSTABLE = 0.10
"""Where not even such a slowdown would be seen, the case is too noisy to be judged."""

POWER = 0.8

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
"""Instead of 0 for an inconclusive run, where the user asked for it."""


def judge(
    trial: Trial,
    plan: Plan,
    *,
    control_case: str,
    seconds: Mapping[str, tuple[float, float]],
    accepted: Mapping[str, str],
) -> tuple[tuple[Finding, ...], tuple[Finding, ...], tuple[Control, ...]]:
    """Give the findings of all cases of the trial, of its groups, and its controls.

    ``seconds`` has the median times of base and head of a case; ``accepted`` the reason why the change of a case,
    or of a group, was accepted: the verdict is the same then, but :func:`overall` passes over it.
    """
    seen = planted_was_seen(trial.planted, plan)
    cases = tuple(
        _finding(
            id_,
            course,
            plan,
            suspect_p=SCREEN_P,
            suspect_margin=0.0,
            rivals=trial.family - course.slower.flagged,
            planted_seen=seen,
            group=trial.group_of[id_],
            seconds=seconds.get(id_, (None, None)),
            accepted=accepted.get(id_, ""),
        )
        for id_, course in trial.cases.items()
    )
    groups = tuple(
        _finding(
            name,
            course,
            plan,
            suspect_p=SCREEN_GROUP_P,
            suspect_margin=plan.margin,
            # Were the group slower, its members would be suspected as well.
            rivals=trial.family
            - course.slower.flagged
            + sum(not trial.cases[case].slower.flagged for case in trial.members[name]),
            planted_seen=seen,
            accepted=accepted.get(name, ""),
        )
        for name, course in trial.groups.items()
    )
    return cases, groups, (_null(trial.null, plan, control_case), _planted(trial.planted, plan, control_case))


def _finding(
    id_: str,
    course: Course,
    plan: Plan,
    *,
    suspect_p: float,
    suspect_margin: float,
    rivals: int,
    planted_seen: bool,
    group: str = "",
    seconds: tuple[float | None, float | None] = (None, None),
    accepted: str = "",
) -> Finding:
    values, confidence = basis(course, plan)
    low, high = interval(values, confidence)
    visible = smallest_visible_change(
        (*course.screened, *course.confirmed),
        plan,
        suspect_p=suspect_p,
        suspect_margin=suspect_margin,
        family=rivals + 1,
    )
    bound = math.log1p(plan.equivalence)
    verdict: Verdict
    if course.slower.p_adjusted <= plan.alpha:
        verdict = "regressed"
    elif course.faster.p_adjusted <= plan.alpha:
        verdict = "improved"
    elif -bound <= low and high <= bound and planted_seen:
        verdict = "unchanged"
    elif visible is not None and visible > UNSTABLE:
        verdict = "unstable"
    else:
        verdict = "inconclusive"
    return Finding(
        id=id_,
        verdict=verdict,
        group=group,
        ratio=math.exp(estimate(values)) if values else None,
        ci_low=_ratio(low),
        ci_high=_ratio(high),
        p_adjusted=course.slower.p_adjusted,
        pairs=len(values),
        smallest_visible_change=visible,
        base_s=seconds[0],
        head_s=seconds[1],
        screened=course.screened,
        confirmed=course.confirmed,
        accepted=accepted,
    )


def basis(course: Course, plan: Plan) -> tuple[tuple[float, ...], float]:
    """Give the values that ratio and interval rest on, and the confidence at which the interval holds its 95 %."""
    if not course.confirmed:
        return course.screened, CONFIDENCE
    if 2 * len(course.confirmed) >= plan.confirm:
        return course.confirmed, CONFIRMED_CONFIDENCE
    return course.screened + course.confirmed, CONFIRMED_CONFIDENCE


def _ratio(log_ratio: float) -> float | None:
    """None where there is no bound."""
    return math.exp(log_ratio) if math.isfinite(log_ratio) else None


def spread(values: Sequence[float]) -> float:
    """Estimate the standard deviation from the median distance of two values; raises ValueError for fewer than two.

    Two values of a normal distribution are 0.9539 σ apart in the median. It bears spikes in 29 % of the values, and
    needs 16 % more of them than the standard deviation where there are none (Shamos 1976; Bickel and Lehmann, 1979,
    Descriptive statistics for nonparametric models IV). It is to differences what Hodges–Lehmann is to means.
    """
    if len(values) < 2:
        raise ValueError(f"{len(values)} value has no spread")
    distances = [abs(a - b) for index, a in enumerate(values) for b in values[:index]]
    return median(distances) / (math.sqrt(2) * NormalDist().inv_cdf(0.75))


def power(effect: float, sigma: float, count: int, level: float) -> float:
    """Probability that ``count`` normal values around ``effect`` have a signed-rank p of at most ``level``.

    It is that of the t test at the p which the signed rank can attain, which simulations match within 3 % (unless
    nearly all values have to lie on one side), by the normal approximation to the noncentral t (Abramowitz and
    Stegun, Handbook of Mathematical Functions, 26.7.10).
    """
    t = _t_to_exceed(count, level)
    if t is None or not sigma:
        return float(t is not None and effect >= 0)
    degrees = count - 1
    shifted = math.sqrt(count) * effect / sigma - t * (1 - 1 / (4 * degrees))
    return NormalDist().cdf(shifted / math.sqrt(1 + t**2 / (2 * degrees)))


@lru_cache(maxsize=256)
def _t_to_exceed(count: int, level: float) -> float | None:
    """None where no signed rank of ``count`` values has a p of at most ``level``."""
    needed = critical(count, level)
    return None if needed is None else t_quantile(1 - p_of_rank_sum(needed, count), count - 1)


def smallest_visible_change(
    values: Sequence[float], plan: Plan, *, suspect_p: float, suspect_margin: float, family: int
) -> float | None:
    """Give the slowdown, as a share, that has a probability of 80 % of passing screen and confirmation.

    Both have to happen, on separate pairs, so their probabilities are multiplied. None if ``values`` are too few to
    have a spread, or the plan could not see any.
    """
    if len(values) < 2:
        return None
    sigma = spread(values)
    final_alpha = plan.alpha * (1 - HALF_WEIGHT) / family

    def caught(effect: float) -> float:
        suspected = power(effect - suspect_margin, sigma, plan.screen, suspect_p)
        return suspected * power(effect - plan.margin, sigma, plan.confirm, final_alpha)

    low, high = plan.margin, plan.margin + 10 * sigma  # at the latter all values lie beyond the margin
    if caught(high) < POWER:
        return None
    for _ in range(25):  # to within a millionth of σ
        middle = (low + high) / 2
        low, high = (low, middle) if caught(middle) >= POWER else (middle, high)
    return math.expm1(high)


def _null(values: Sequence[float], plan: Plan, case: str) -> Control:
    """Base against base: an alarm on either side, by the rule that a single case has to meet, is a false one."""
    p = p_slower(values, plan.margin)
    alarm = min(p, p_faster(values, plan.margin)) <= plan.alpha / 2
    result: Literal["passed", "not seen", "failed"] = "failed" if alarm else "passed" if values else "not seen"
    return _control("base against base", case, 0.0, result, p, values)


def _planted(values: Sequence[float], plan: Plan, case: str) -> Control:
    """Slower on purpose: to miss it for the noise is no failure, to be sure that it is not there is one."""
    p = p_slower(values, plan.margin)
    result: Literal["passed", "not seen", "failed"] = "not seen"
    if planted_was_seen(values, plan):
        result = "passed"
    elif interval(values, BLIND_CONFIDENCE)[1] < BLIND * math.log1p(PLANTED):
        result = "failed"
    return _control("planted slowdown", case, PLANTED, result, p, values)


def _control(
    name: Literal["base against base", "planted slowdown"],
    case: str,
    effect: float,
    result: Literal["passed", "not seen", "failed"],
    p: float,
    values: Sequence[float],
) -> Control:
    low, high = interval(values, CONFIDENCE)
    ratio = math.exp(estimate(values)) if values else None
    return Control(name, case, effect, result, ratio, _ratio(low), _ratio(high), p, tuple(values))


def overall(
    cases: Sequence[Finding], groups: Sequence[Finding], controls: Sequence[Control], *, strict: bool
) -> tuple[Overall, int]:
    """Sum up a run, and give its exit code; what was accepted is passed over.

    The worst comes first: what cannot be believed, what is slower, what is missing, what was not shown. Where
    nothing is left to say, because all was accepted, nothing unaccepted changed.
    """
    verdict = _overall(cases, groups, controls)
    return verdict, STRICT_EXIT_CODE if strict and verdict == "inconclusive" else EXIT_CODES[verdict]


def _overall(cases: Sequence[Finding], groups: Sequence[Finding], controls: Sequence[Control]) -> Overall:
    found = {case.verdict for case in cases if not case.accepted}
    found_of_groups = {group.verdict for group in groups if not group.accepted}
    if "different" in found or any(control.result == "failed" for control in controls):
        return "untrusted"
    if "regressed" in found | found_of_groups:
        return "regressed"
    if found & {"failed", "removed"} or not any(case.verdict == "identical" or case.pairs for case in cases):
        return "incomplete"
    # Not those of groups: a mean of cases that were all shown to be unchanged is so too.
    if found & {"inconclusive", "unstable"}:
        return "inconclusive"
    if "improved" in found | found_of_groups:
        return "improved"
    if "identical" in found and found <= {"identical", "new"}:
        return "identical"
    return "unchanged"
