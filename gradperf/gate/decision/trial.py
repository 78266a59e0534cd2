"""Decides which cases to measure again, and what the pairs prove about a change in speed.

**What raised a suspicion never counts as its proof.** All cases are screened on a few pairs of processes. A case
that looks slower or faster is then confirmed, on fresh pairs only. So the screen may suspect many cases: the
confirmation alone bounds the false alarms. Its tests are exact (:mod:`gradperf.stats`), and its number of looks is
fixed beforehand. A case without suspicion takes no more time.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from statistics import fmean
from typing import Any, Literal

from gradperf.stats import holm, p_faster, p_slower

SCREEN_P = 0.2
"""A case or group is suspected of a slowdown below this one-sided p. It is large, to miss few slowdowns.

A case is suspected of any slowdown at all, a group only of one above the smallest effect of interest: if a group is
suspected, all its members are measured again."""

SCREEN_FASTER_P = 0.05
"""A case or group is suspected of a speedup above the smallest effect of interest below this p."""

LOOKS = 4
"""The confirming values are tested after each quarter of the pairs."""

HALF = 2
HALF_WEIGHT = 0.25
"""An alarm is possible at the second look, with this share of alpha, and at the last, with the rest of it."""

FUTILE_P = {1: 0.5, 2: 0.2, 3: 0.1}
"""By look: the p above which a suspicion is dropped. This can only prevent alarms, so it costs no alpha."""

PLANTED = 0.05
"""The slowdown that every pair contains on purpose, to check that the run detects it."""

ALL = "all"
"""The group of all cases."""

Phase = Literal["screen", "confirm"]


@dataclass(frozen=True)
class Plan:
    """The thresholds of a run, and its numbers of pairs. Effects are shares: 0.01 is 1 %."""

    alpha: float = 0.01
    """Largest probability of a false alarm: "regressed" though nothing slowed by more than ``min_effect``."""
    min_effect: float = 0.01
    """Changes up to this one are of no interest."""
    equivalence: float = 0.03
    """A case is unchanged if its whole interval lies within this change, either way."""
    screen: int = 8
    confirm: int = 24

    @property
    def margin(self) -> float:
        """``min_effect`` as a log-ratio."""
        return math.log1p(self.min_effect)


@dataclass(frozen=True)
class Pair:
    """The values of one fresh pair of processes."""

    log_ratios: Mapping[str, float]
    """Head over base, for every requested case that could be measured."""
    null: float | None
    """The log-ratio of two more processes of the base."""
    planted: float | None
    """The same, with :data:`PLANTED` more work in one of them."""


Measure = Callable[[Phase, Sequence[str]], Pair | None]
"""Measure these cases and the controls in one fresh pair of processes; return None if no time is left."""


@dataclass(frozen=True)
class Answer:
    """The answer to one question about one case or group: is it slower, or is it faster?"""

    suspected: bool = False
    """Whether the screen raised a suspicion, so that the confirmation decides."""
    dropped_at: int | None = None
    """Confirming pairs after which the suspicion was dropped as hopeless."""
    decided_at: int | None = None
    """Confirming pairs after which it was decided."""
    p_half: float = 1.0
    p_end: float = 1.0
    """p at the two looks that can raise an alarm; 1 before them."""
    p_adjusted: float = 1.0
    """By Holm, over all suspicions of the same direction. The answer is yes if it is at most alpha."""

    @property
    def p_both_looks(self) -> float:
        """One p-value for both looks, by weighted Bonferroni: P(p ≤ α) ≤ ¼·α + ¾·α (Holm 1979, section 4)."""
        if self.dropped_at is not None:
            return 1.0
        return min(1.0, self.p_half / HALF_WEIGHT, self.p_end / (1 - HALF_WEIGHT))


@dataclass(frozen=True)
class History:
    """The log-ratios of one case or group, in the order measured, and both answers."""

    screened: tuple[float, ...]
    confirmed: tuple[float, ...]
    slower: Answer
    faster: Answer


@dataclass(frozen=True)
class Trial:
    """Everything that a run measured."""

    cases: Mapping[str, History]
    groups: Mapping[str, History]
    group_of: Mapping[str, str]
    """By case."""
    members: Mapping[str, tuple[str, ...]]
    """By group: the cases whose mean is its value. Every pair of the screen measured them all."""
    null: tuple[float, ...]
    planted: tuple[float, ...]
    """The controls, over both phases."""
    stopped: bool
    """Whether the time ran out before everything was decided."""

    @property
    def suspects(self) -> int:
        """The number of cases and groups suspected of being slower, for which Holm's method corrects."""
        return sum(history.slower.suspected for history in (*self.cases.values(), *self.groups.values()))


@dataclass(eq=False)
class _Question:
    """One question about a subject during the run, with its answer so far."""

    subject: "_Subject"
    p_value: Callable[[Sequence[float], float], float]
    answer: Answer

    @property
    def is_open(self) -> bool:
        return self.answer.suspected and self.answer.dropped_at is None and self.answer.decided_at is None

    def update(self, **changes: Any) -> None:
        self.answer = replace(self.answer, **changes)


class _Subject:
    """A case or a group during the run."""

    def __init__(self, members: tuple[str, ...], screen: Sequence[Pair], plan: Plan) -> None:
        self.members = members
        self.screened = [value for pair in screen if (value := self.value(pair)) is not None]
        self.confirmed: list[float] = []
        margin = plan.margin if len(members) > 1 else 0.0
        self.slower = _Question(self, p_slower, Answer(p_slower(self.screened, margin) < SCREEN_P))
        self.faster = _Question(self, p_faster, Answer(p_faster(self.screened, plan.margin) < SCREEN_FASTER_P))

    def value(self, pair: Pair) -> float | None:
        """Return the mean log-ratio of the members; None if ``pair`` lacks one of them."""
        values = [pair.log_ratios[case] for case in self.members if case in pair.log_ratios]
        return fmean(values) if len(values) == len(self.members) else None

    @property
    def is_open(self) -> bool:
        return self.slower.is_open or self.faster.is_open

    @property
    def history(self) -> History:
        return History(tuple(self.screened), tuple(self.confirmed), self.slower.answer, self.faster.answer)


def least_pairs(alpha: float, suspects: int = 1) -> int:
    """Return the smallest number of confirming pairs that can raise an alarm with this many suspects.

    If all n values lie beyond the margin, p = 2⁻ⁿ. It must be at most ¾·α/suspects.
    """
    return max(1, math.ceil(-math.log2(alpha * (1 - HALF_WEIGHT) / suspects)))


def looks(pairs: int) -> dict[int, int]:
    """Return the looks, 1 to 4, by the number of confirming pairs that they follow."""
    return {math.ceil(pairs * look / LOOKS): look for look in range(1, LOOKS + 1)}


def planted_was_seen(values: Sequence[float], plan: Plan) -> bool:
    """Return whether a slowdown is proven by the ``values`` of the planted one."""
    return p_slower(values, plan.margin) <= plan.alpha


def run(groups: Mapping[str, Sequence[str]], plan: Plan, measure: Measure, *, apart: Collection[str] = ()) -> Trial:
    """Screen all cases of ``groups``, then confirm those that look slower or faster.

    ``groups`` has the cases of each group; the group of all cases is added. The cases ``apart``, whose change the
    user accepted, are measured but belong to no group, because the group would alarm for them.
    """
    group_of = {case: group for group, cases in groups.items() for case in cases}
    pairs: list[Pair] = []
    while len(pairs) < plan.screen and (pair := measure("screen", tuple(group_of))) is not None:
        pairs.append(pair)
    stopped = len(pairs) < plan.screen

    members = _members(groups, pairs, apart)
    cases = {case: _Subject((case,), pairs, plan) for case in group_of}
    means = {group: _Subject(member_cases, pairs, plan) for group, member_cases in members.items()}
    if not stopped:
        stopped = _confirm(list(cases.values()), list(means.values()), plan, measure, pairs)
    return Trial(
        cases={case: subject.history for case, subject in cases.items()},
        groups={group: subject.history for group, subject in means.items()},
        group_of=group_of,
        members=members,
        null=tuple(pair.null for pair in pairs if pair.null is not None),
        planted=_planted(pairs),
        stopped=stopped,
    )


def _members(
    groups: Mapping[str, Sequence[str]], screen: Sequence[Pair], apart: Collection[str]
) -> dict[str, tuple[str, ...]]:
    """Return the cases of each group that has several, and of the group of all.

    The screen alone decides membership. Otherwise a case that fails at times would change the mean's meaning.
    """
    members = {
        group: tuple(case for case in cases if case not in apart and all(case in p.log_ratios for p in screen))
        for group, cases in groups.items()
    }
    if sum(map(bool, members.values())) > 1:
        members[ALL if ALL not in groups else f"{ALL} groups"] = tuple(chain(*members.values()))
    return {group: cases for group, cases in members.items() if len(cases) > 1}


def _confirm(
    cases: Sequence[_Subject], means: Sequence[_Subject], plan: Plan, measure: Measure, pairs: list[Pair]
) -> bool:
    """Measure the suspects and controls until everything is decided; return whether the time ran out before."""
    suspected_means = [mean for mean in means if mean.is_open]
    questions = [q for subject in (*cases, *means) for q in (subject.slower, subject.faster) if q.is_open]
    families = [[q for q in questions if q.p_value is p_value] for p_value in (p_slower, p_faster)]
    planted_seen = planted_was_seen(_planted(pairs), plan)
    look_after = looks(plan.confirm)
    for count in range(1, plan.confirm + 1):
        wanted = dict.fromkeys(case for subject in (*cases, *means) if subject.is_open for case in subject.members)
        if not wanted and (planted_seen or not _planted(pairs)):
            return False
        pair = measure("confirm", tuple(wanted))
        if pair is None:
            return True
        pairs.append(pair)
        for subject in (*cases, *suspected_means):
            if (value := subject.value(pair)) is not None:
                subject.confirmed.append(value)
        if count in look_after:
            for family in families:
                _look(family, look_after[count], count, plan)
            # Repeated looks need no correction here, because the planted slowdown is known to exist.
            planted_seen = planted_seen or planted_was_seen(_planted(pairs), plan)
    return False


def _look(family: Sequence[_Question], look: int, count: int, plan: Plan) -> None:
    """Drop hopeless suspicions after ``count`` pairs, and decide those that can be decided.

    An alarm at half stands at the end: Holm's method goes from the smallest p upwards, and those decided at half do
    not change any more.
    """
    for question in family:
        if question.is_open:
            p = question.p_value(question.subject.confirmed, plan.margin)
            if look == HALF:
                question.update(p_half=p)
            elif look == LOOKS:
                question.update(p_end=p)
            if p > FUTILE_P.get(look, 1.0):
                question.update(dropped_at=count)
    adjusted = holm([question.answer.p_both_looks for question in family])
    for question, p_adjusted in zip(family, adjusted, strict=True):
        question.update(p_adjusted=p_adjusted)
        if question.is_open and (look == LOOKS or p_adjusted <= plan.alpha):
            question.update(decided_at=count)


def _planted(pairs: Sequence[Pair]) -> tuple[float, ...]:
    return tuple(pair.planted for pair in pairs if pair.planted is not None)
