"""Which pairs of processes to measure, and what may be concluded from them about a change in speed.

The law: **what raised a suspicion is never counted as its proof.** All cases are screened on a few pairs, and what
looks slower or faster is confirmed, on fresh pairs only. So the screen may be as generous as it likes: false alarms
are bounded by the confirmation alone, whose tests are exact (:mod:`.signed_rank`) and which is told beforehand how
often it may look. What was screened without suspicion costs no more time.

How things are measured is not decided here: :func:`run` is given a function that brings one pair at a time.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from statistics import fmean
from typing import Any, Literal

from gradperf.stats import p_faster, p_slower

SCREEN_P = 0.2
"""A case is suspected of being slower from this one-sided p on: of any slowdown at all, to miss few."""

SCREEN_GROUP_P = 0.2
"""A group likewise, but of more than the smallest effect of interest. The mean of many cases is precise, so without
a change it almost never looks like that; and if it does, all its members have to be measured again."""

SCREEN_FASTER_P = 0.05
"""A case or group is suspected of being faster, by more than the smallest effect of interest, from this p on."""

LOOKS = 4
"""The confirmation is looked at after each quarter of its pairs."""

HALF = 2
HALF_WEIGHT = 0.25
"""Alarms are given at the second look, with this share of alpha, and at the end with the rest of it."""

FUTILE_P = {1: 0.5, 2: 0.2, 3: 0.1}
"""Look by look, the p above which a suspicion is dropped. That can only prevent alarms, so it costs no alpha."""

PLANTED = 0.05
"""The slowdown made on purpose in every pair, to see whether the run sees it."""

ALL = "all"
"""The group of all cases."""

Phase = Literal["screen", "confirm"]


@dataclass(frozen=True)
class Plan:
    """What is asked, and with how many pairs of processes. Effects are shares: 0.01 is 1 %."""

    alpha: float = 0.01
    """Probability that a run in which nothing became slower by more than ``min_effect`` is called regressed."""
    min_effect: float = 0.01
    """Slowdowns up to this one are of no interest."""
    equivalence: float = 0.03
    """What certainly changed by less than this may be called unchanged."""
    screen: int = 8
    confirm: int = 24

    @property
    def margin(self) -> float:
        """``min_effect`` as a log-ratio."""
        return math.log1p(self.min_effect)


@dataclass(frozen=True)
class Pair:
    """What one fresh pair of processes gave."""

    log_ratios: Mapping[str, float]
    """Head over base, for every case that was asked for and could be measured."""
    null: float | None
    """Of two more processes of the base, one over the other."""
    planted: float | None
    """The same, with :data:`PLANTED` of work added on purpose to one."""


Measure = Callable[[Phase, Sequence[str]], Pair | None]
"""Measure these cases and the controls in one fresh pair of processes; None if there is no time left."""


@dataclass(frozen=True)
class Answer:
    """What became of one question about one case or group: is it slower, or: is it faster?"""

    p_screen: float = 1.0
    flagged: bool = False
    """The screen saw reason to ask: it is one of the family that the confirmation decides on."""
    dropped_at: int | None = None
    """After how many pairs of the confirmation it was hopeless to go on."""
    decided_at: int | None = None
    """After how many pairs it was certain."""
    p_half: float = 1.0
    p_end: float = 1.0
    """p at the two looks that may give alarm; 1 if it did not come to that."""
    p_adjusted: float = 1.0
    """By Holm, over its family. No larger than alpha: yes, it is."""

    @property
    def q(self) -> float:
        """One p for both looks, by weighted Bonferroni: P(q ≤ α) ≤ ¼·α + ¾·α.

        (Holm, Scandinavian Journal of Statistics 6, 1979, section 4, on weights.)
        """
        if self.dropped_at is not None:
            return 1.0
        return min(1.0, self.p_half / HALF_WEIGHT, self.p_end / (1 - HALF_WEIGHT))


@dataclass(frozen=True)
class Course:
    """All that was measured of one case or group, in order, and what came of it."""

    screened: tuple[float, ...]
    confirmed: tuple[float, ...]
    slower: Answer
    faster: Answer


@dataclass(frozen=True)
class Trial:
    """A whole run, as measured."""

    cases: Mapping[str, Course]
    groups: Mapping[str, Course]
    group_of: Mapping[str, str]
    """Of each case."""
    members: Mapping[str, tuple[str, ...]]
    """The cases whose mean is a group's value: those that every pair of the screen has a value of."""
    null: tuple[float, ...]
    planted: tuple[float, ...]
    """The controls, over both phases."""
    stopped: bool
    """The time was spent before everything was decided."""

    @property
    def family(self) -> int:
        """How many are suspected of being slower; Holm's correction is for so many."""
        return sum(course.slower.flagged for course in (*self.cases.values(), *self.groups.values()))


@dataclass(eq=False)
class _Question:
    """An answer in the making."""

    subject: "_Subject"
    p_beyond: Callable[[Sequence[float], float], float]
    """:func:`p_slower` or :func:`p_faster`."""
    answer: Answer

    @property
    def open(self) -> bool:
        return self.answer.flagged and self.answer.dropped_at is None and self.answer.decided_at is None

    def note(self, **change: Any) -> None:
        self.answer = replace(self.answer, **change)


class _Subject:
    """A case, or a group of them, while the run goes on."""

    def __init__(self, members: tuple[str, ...], screen: Sequence[Pair], margin: float, plan: Plan) -> None:
        self.members = members
        self.screened = [value for pair in screen if (value := self.value(pair)) is not None]
        self.confirmed: list[float] = []
        p_screen = p_slower(self.screened, margin)
        suspect_p = SCREEN_P if len(members) == 1 else SCREEN_GROUP_P
        self.slower = _Question(self, p_slower, Answer(p_screen, p_screen < suspect_p))
        p_screen = p_faster(self.screened, plan.margin)
        self.faster = _Question(self, p_faster, Answer(p_screen, p_screen < SCREEN_FASTER_P))

    def value(self, pair: Pair) -> float | None:
        """Give the log of the geometric mean over the members; None if ``pair`` lacks one of them."""
        if any(case not in pair.log_ratios for case in self.members):
            return None
        return fmean(pair.log_ratios[case] for case in self.members)

    @property
    def open(self) -> bool:
        return self.slower.open or self.faster.open

    @property
    def course(self) -> Course:
        return Course(tuple(self.screened), tuple(self.confirmed), self.slower.answer, self.faster.answer)


def least_pairs(alpha: float, family: int = 1) -> int:
    """Give the least number of pairs of a confirmation that could ever alarm, were ``family`` suspected.

    All n values beyond the margin have p = 2⁻ⁿ, which has to be at most ¾·α/family.
    """
    return max(1, math.ceil(-math.log2(alpha * (1 - HALF_WEIGHT) / family)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust ``p_values`` for there being many of them: at most α of the runs without an effect have any below α.

    The smallest times their number, the next times one less, and so on; never less than the one before (Holm,
    Scandinavian Journal of Statistics 6, 1979).
    """
    adjusted = [1.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def looks(pairs: int) -> dict[int, int]:
    """After how many pairs of the confirmation it is looked at, and which quarter has then been reached."""
    return {math.ceil(pairs * quarter / LOOKS): quarter for quarter in range(1, LOOKS + 1)}


def planted_was_seen(values: Sequence[float], plan: Plan) -> bool:
    """Whether the slowdown made on purpose would have been called one."""
    return p_slower(values, plan.margin) <= plan.alpha


def run(groups: Mapping[str, Sequence[str]], plan: Plan, measure: Measure, *, apart: Collection[str] = ()) -> Trial:
    """Screen all cases of ``groups``, then confirm what looks slower or faster.

    ``groups`` has the cases of each group; that of all cases is added. Cases named in ``apart``, whose change the
    user accepted, are measured like any, but are in no group's mean: or else the group would alarm for them.
    """
    group_of = {case: group for group, cases in groups.items() for case in cases}
    pairs: list[Pair] = []
    while len(pairs) < plan.screen and (pair := measure("screen", tuple(group_of))) is not None:
        pairs.append(pair)
    stopped = len(pairs) < plan.screen

    members = _members(groups, pairs, apart)
    cases = {case: _Subject((case,), pairs, 0.0, plan) for case in group_of}
    means = {name: _Subject(its_cases, pairs, plan.margin, plan) for name, its_cases in members.items()}
    if not stopped:
        stopped = _confirm(list(cases.values()), list(means.values()), plan, measure, pairs)
    return Trial(
        cases={case: subject.course for case, subject in cases.items()},
        groups={name: subject.course for name, subject in means.items()},
        group_of=group_of,
        members=members,
        null=tuple(pair.null for pair in pairs if pair.null is not None),
        planted=_planted(pairs),
        stopped=stopped,
    )


def _members(
    groups: Mapping[str, Sequence[str]], screen: Sequence[Pair], apart: Collection[str]
) -> dict[str, tuple[str, ...]]:
    """Cases of each group that has several, and of all.

    Who is a member is settled by the screen, or else a case that fails now and then would change what a mean is of.
    """
    settled = {
        name: tuple(case for case in cases if case not in apart and all(case in p.log_ratios for p in screen))
        for name, cases in groups.items()
    }
    if sum(map(bool, settled.values())) > 1:
        settled[ALL if ALL not in groups else f"{ALL} groups"] = tuple(chain(*settled.values()))
    return {name: cases for name, cases in settled.items() if len(cases) > 1}


def _confirm(
    cases: Sequence[_Subject], means: Sequence[_Subject], plan: Plan, measure: Measure, pairs: list[Pair]
) -> bool:
    """Measure what is suspected, and the controls, until all is decided; whether the time was spent before that."""
    suspected = [mean for mean in means if mean.open]
    questions = [q for subject in (*cases, *means) for q in (subject.slower, subject.faster) if q.open]
    families = [[q for q in questions if q.p_beyond is beyond] for beyond in (p_slower, p_faster)]
    seen = planted_was_seen(_planted(pairs), plan)
    quarter_at = looks(plan.confirm)
    for count in range(1, plan.confirm + 1):
        wanted = dict.fromkeys(case for subject in (*cases, *means) if subject.open for case in subject.members)
        if not wanted and (seen or not _planted(pairs)):
            return False
        pair = measure("confirm", tuple(wanted))
        if pair is None:
            return True
        pairs.append(pair)
        for subject in (*cases, *suspected):
            if (value := subject.value(pair)) is not None:
                subject.confirmed.append(value)
        if count in quarter_at:
            for family in families:
                _look(family, quarter_at[count], count, plan)
            # A few looks only, and at a slowdown that is there: so its own repeated test needs no correction.
            seen = seen or planted_was_seen(_planted(pairs), plan)
    return False


def _look(family: Sequence[_Question], quarter: int, count: int, plan: Plan) -> None:
    """Drop what is hopeless after ``count`` pairs, and decide what can be decided.

    What alarms at half stands at the end: Holm asks for the smallest q of all, and these do not change any more.
    """
    for question in family:
        if not question.open:
            continue
        p = question.p_beyond(question.subject.confirmed, plan.margin)
        if quarter == HALF:
            question.note(p_half=p)
        elif quarter == LOOKS:
            question.note(p_end=p)
        if p > FUTILE_P.get(quarter, 1.0):
            question.note(dropped_at=count)
    for question, p_adjusted in zip(family, holm([question.answer.q for question in family]), strict=True):
        question.note(p_adjusted=p_adjusted)
        if question.open and (quarter == LOOKS or p_adjusted <= plan.alpha):
            question.note(decided_at=count)


def _planted(pairs: Sequence[Pair]) -> tuple[float, ...]:
    return tuple(pair.planted for pair in pairs if pair.planted is not None)
