"""Decides which cases to measure again, and what the pairs prove about a change in speed.

**What raised a suspicion never counts as its proof.** All cases are screened on a few pairs of processes. A case
that looks slower or faster is then confirmed, on fresh pairs only. So the screen may suspect many cases: the
confirmation alone bounds the false alarms. Its tests are exact (:mod:`gradperf.stats`), and its number of looks is
fixed beforehand. If the time runs out, the next look comes then. A case without suspicion takes no more time.

If the interval of a suspect lies above the smallest effect of interest at the end, but nothing is proven yet, as
many pairs again are taken for it. That look has its own share of alpha.
"""

import itertools
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median
from typing import Any, Literal

from gradperf.stats import holm, interval, location, p_faster, p_slower

SCREEN_P = 0.2
"""A case or group is suspected of a slowdown below this one-sided p. It is large, to miss few slowdowns.

A case is suspected of any slowdown at all, a group only of one above the smallest effect of interest: if a group is
suspected, all its members are measured again."""

SCREEN_FASTER_P = 0.05
"""A case or group is suspected of a speedup above the smallest effect of interest below this p.

Few pairs cannot reach it. Of those, all have to be faster."""

LOOKS = 4
"""The confirming values are tested after each quarter of the pairs."""

HALF, END, EXTRA = 2, 4, 5
"""The looks that can raise an alarm: after half of the pairs, at the end, and after as many pairs again."""

SHARES = {HALF: 0.25, END: 0.55, EXTRA: 0.2}
"""By look: its share of alpha (weighted Bonferroni: Holm 1979, section 4)."""

FUTILE_P = {1: 0.5, 2: 0.2, 3: 0.1}
"""By look: the p above which a suspicion is dropped. This can only prevent alarms, so it costs no alpha.

It is kept while the median is beyond the bound of equivalence: a case that has two speeds needs more pairs."""

CONFIRMED_CONFIDENCE = 0.975
"""Confidence of the interval of confirmed values."""

PLANTED = 0.05
"""The slowdown that every pair contains on purpose, to check that the run detects it."""

PLAUSIBLE = 0.25
"""A planted slowdown was not seen if a larger one than this was measured instead of it."""

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

    @property
    def bound(self) -> float:
        """``equivalence`` as a log-ratio."""
        return math.log1p(self.equivalence)

    @property
    def shares(self) -> Mapping[int, float]:
        """The share of alpha of each look. A look that could not even alarm for a single suspect has none."""
        half = SHARES[HALF] if self._least_p(HALF) <= SHARES[HALF] * self.alpha else 0.0
        return {HALF: half, END: SHARES[HALF] + SHARES[END] - half, EXTRA: SHARES[EXTRA]}

    def _least_p(self, look: int) -> float:
        """Return p if all pairs up to this look are beyond the margin."""
        return 2.0 ** -math.ceil(self.confirm * look / LOOKS)

    def can_alarm(self, suspects: int) -> bool:
        """Return whether any of this many suspects can be proven at the end, by Holm's method."""
        return suspects * self._least_p(END) <= self.shares[END] * self.alpha

    def enough_for(self, suspects: int) -> "Plan":
        """Return the plan, with as many more confirming pairs as it takes to prove any of this many suspects."""
        return self if self.can_alarm(suspects) else replace(self, confirm=least_pairs(self.alpha, suspects))


@dataclass(frozen=True)
class Pair:
    """The values of one fresh pair of processes."""

    log_ratios: Mapping[str, float]
    """Head over base, for every requested case that could be measured."""
    null: float | None
    """The log-ratio of two more processes of the base."""
    planted: float | None
    """The same, with :data:`PLANTED` more work in one of them."""
    not_begun: frozenset[str] = frozenset()
    """The cases that have no value because the time ran out before them. No other pair follows."""


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
    p: float = 1.0
    """One p-value for all looks so far: the smallest of p/share; 1 if the suspicion was dropped."""
    p_adjusted: float = 1.0
    """By Holm, over all suspicions of the same direction. The answer is yes if it is at most alpha."""


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
    plan: Plan
    """What was carried out: it has more confirming pairs than were asked for, if those could prove no suspect."""

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
        self.slower = _Question(self, p_slower, Answer(looks_slower(self.screened, plan, group=len(members) > 1)))
        self.faster = _Question(self, p_faster, Answer(_looks_faster(self.screened, plan)))

    def value(self, pair: Pair) -> float | None:
        """Return the mean log-ratio of the members; None if ``pair`` lacks one of them."""
        values = [pair.log_ratios[case] for case in self.members if case in pair.log_ratios]
        return fmean(values) if len(values) == len(self.members) else None

    @property
    def is_open(self) -> bool:
        return self.slower.is_open or self.faster.is_open

    def needs_more(self, plan: Plan) -> bool:
        """Return whether the interval, or most of the values, shows a slowdown that is not proven."""
        return (
            self.slower.answer.suspected
            and self.slower.answer.p_adjusted > plan.alpha
            and (_is_large(self.confirmed, plan) or interval(self.confirmed, CONFIRMED_CONFIDENCE)[0] > plan.margin)
        )

    @property
    def history(self) -> History:
        return History(tuple(self.screened), tuple(self.confirmed), self.slower.answer, self.faster.answer)


def suspect_margin(plan: Plan, *, group: bool) -> float:
    """Return the log-ratio above which a case or a group is suspected."""
    return plan.margin if group else 0.0


def looks_slower(values: Sequence[float], plan: Plan, *, group: bool) -> bool:
    """Return whether the screen raises a suspicion.

    If most values are beyond the bound of equivalence, it does whatever the others are: p alone would overlook a
    case whose base draws a slow mode in two of eight processes.
    """
    return p_slower(values, suspect_margin(plan, group=group)) < SCREEN_P or _is_large(values, plan)


def _is_large(values: Sequence[float], plan: Plan) -> bool:
    """Return whether at least half of the values are slower by more than the bound of equivalence."""
    return bool(values) and median(values) > plan.bound


def _looks_faster(values: Sequence[float], plan: Plan) -> bool:
    p = p_faster(values, plan.margin)
    return p < 1 and p <= max(SCREEN_FASTER_P, 2.0 ** -len(values))


def least_pairs(alpha: float, suspects: int = 1) -> int:
    """Return the smallest number of confirming pairs that can raise an alarm with this many suspects.

    If all n values lie beyond the margin, p = 2⁻ⁿ.
    """
    return next(count for count in itertools.count(1) if Plan(alpha=alpha, confirm=count).can_alarm(suspects))


def looks(pairs: int) -> dict[int, int]:
    """Return the looks, 1 to 5, by the number of confirming pairs that they follow."""
    return {math.ceil(pairs * look / LOOKS): look for look in range(1, LOOKS + 1)} | {2 * pairs: EXTRA}


def planted_was_seen(values: Sequence[float], plan: Plan) -> bool:
    """Return whether the ``values`` of the planted slowdown prove one, and one of about that size."""
    return p_slower(values, plan.margin) <= plan.alpha and location(values) < math.log1p(PLAUSIBLE)


def run(
    groups: Mapping[str, Sequence[str]],
    plan: Plan,
    measure: Measure,
    *,
    apart: Collection[str] = (),
    confirming: Callable[[Plan], None] = lambda plan: None,
) -> Trial:
    """Screen all cases of ``groups``, then confirm those that look slower or faster.

    ``groups`` has the cases of each group; the group of all cases is added. The cases ``apart``, whose change the
    user accepted, are measured but belong to no group, because the group would alarm for them. ``confirming`` is
    told the plan of the confirmation: more suspects may need more pairs. That follows from the screen alone, so it
    costs no alpha.
    """
    group_of = {case: group for group, cases in groups.items() for case in cases}
    pairs: list[Pair] = []
    while len(pairs) < plan.screen and (pair := measure("screen", tuple(group_of))) is not None:
        pairs.append(pair)
    stopped = len(pairs) < plan.screen or any(pair.not_begun for pair in pairs)

    members = _members(groups, pairs, apart)
    cases = {case: _Subject((case,), pairs, plan) for case in group_of}
    means = {group: _Subject(member_cases, pairs, plan) for group, member_cases in members.items()}
    if not stopped:
        plan = plan.enough_for(sum(subject.slower.is_open for subject in (*cases.values(), *means.values())))
        confirming(plan)
        stopped = _confirm(list(cases.values()), list(means.values()), plan, measure, pairs)
    return Trial(
        cases={case: subject.history for case, subject in cases.items()},
        groups={group: subject.history for group, subject in means.items()},
        group_of=group_of,
        members=members,
        null=tuple(pair.null for pair in pairs if pair.null is not None),
        planted=_planted(pairs),
        stopped=stopped,
        plan=plan,
    )


def _members(
    groups: Mapping[str, Sequence[str]], screen: Sequence[Pair], apart: Collection[str]
) -> dict[str, tuple[str, ...]]:
    """Return the cases of each group that has several, and of the group of all.

    The screen alone decides membership. Otherwise a case that fails at times would change the mean's meaning.
    """

    def belongs(case: str) -> bool:
        return case not in apart and all(case in pair.log_ratios or case in pair.not_begun for pair in screen)

    members = {group: tuple(filter(belongs, cases)) for group, cases in groups.items()}
    if sum(map(bool, members.values())) > 1:
        members[ALL if ALL not in groups else f"{ALL} groups"] = tuple(itertools.chain(*members.values()))
    return {group: cases for group, cases in members.items() if len(cases) > 1}


def _confirm(
    cases: Sequence[_Subject], means: Sequence[_Subject], plan: Plan, measure: Measure, pairs: list[Pair]
) -> bool:
    """Measure the suspects and controls until everything is decided; return whether the time ran out before."""
    subjects = [*cases, *(mean for mean in means if mean.is_open)]
    questions = [q for subject in subjects for q in (subject.slower, subject.faster) if q.is_open]
    families = [[q for q in questions if q.p_value is p_value] for p_value in (p_slower, p_faster)]
    planted_seen = planted_was_seen(_planted(pairs), plan)
    look_after = looks(plan.confirm)
    for count in range(1, 2 * plan.confirm + 1):
        if count == plan.confirm + 1:
            planted_seen = True  # What could be done was done.
            for subject in subjects:
                if subject.needs_more(plan):
                    subject.slower.update(decided_at=None)
        wanted = dict.fromkeys(case for subject in subjects if subject.is_open for case in subject.members)
        if not wanted and (planted_seen or not _planted(pairs)):
            return False
        pair = measure("confirm", tuple(wanted))
        if pair is None:
            _last_look(families, count - 1, plan)
            return True
        pairs.append(pair)
        for subject in subjects:
            if (value := subject.value(pair)) is not None:
                subject.confirmed.append(value)
        if count in look_after:
            for family in families:
                _look(family, look_after[count], count, plan)
            # Repeated looks need no correction here, because the planted slowdown is known to exist.
            planted_seen = planted_seen or planted_was_seen(_planted(pairs), plan)
        if pair.not_begun:
            _last_look(families, count, plan)
            return True
    return False


def _last_look(families: Sequence[Sequence[_Question]], count: int, plan: Plan) -> None:
    """Test what is still open, as the time ran out after ``count`` pairs.

    It takes the place of the next look that can raise an alarm, and has its share of alpha. The time does not
    depend on the values, so neither does the number of pairs.
    """
    look = min(
        (look for after, look in looks(plan.confirm).items() if look >= END and after >= count), default=EXTRA
    )
    if count and count not in looks(plan.confirm):
        for family in families:
            _look(family, look, count, plan)


def _look(family: Sequence[_Question], look: int, count: int, plan: Plan) -> None:
    """Drop hopeless suspicions after ``count`` pairs, and decide those that can be decided.

    An alarm stands: Holm's method goes from the smallest p upwards, and those decided do not change any more.
    """
    share = plan.shares.get(look, 0.0)
    for question in family:
        if question.is_open:
            confirmed = question.subject.confirmed
            p = question.p_value(confirmed, plan.margin)
            if share:
                question.update(p=min(question.answer.p, p / share))
            is_large = question is question.subject.slower and _is_large(confirmed, plan)
            if p > FUTILE_P.get(look, 1.0) and not is_large:
                question.update(dropped_at=count, p=1.0)
    adjusted = holm([question.answer.p for question in family])
    for question, p_adjusted in zip(family, adjusted, strict=True):
        question.update(p_adjusted=p_adjusted)
        if question.is_open and (look >= END or p_adjusted <= plan.alpha):
            question.update(decided_at=count)


def _planted(pairs: Sequence[Pair]) -> tuple[float, ...]:
    return tuple(pair.planted for pair in pairs if pair.planted is not None)
