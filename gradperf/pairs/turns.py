"""Makes two children take turns at a benchmark, and returns one value: the log-ratio of their times.

The value is the Hodges-Lehmann estimate of the log-ratios of the turns. It is nearly as robust as their median, and
more precise: on the same turns of 38 cases of identical code, beside other work, it spread by 1.5 %, not 2.1 %.

All turns are taken on one CPU, which is drawn. The CPUs of a shared machine are not equally fast: another virtual
machine may halve the speed of one for seconds. In 10 cases of identical code on two virtual CPUs, the values spread
by 2 to 20 % when the system placed the processes, and by 0.5 to 3 % on one CPU. The system still places a case that
computes in several threads at once.
"""

import math
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from gradperf.pairs.process import OutOfStep, Process
from gradperf.stats import hodges_lehmann, hodges_lehmann_error

TURNS = 60
TURN_S = 0.001
"""Turns of each side, and seconds of a turn (at least one call). On a busy machine there are up to twice as many.

Many short turns, as a machine that changes its speed for some milliseconds then spoils few of them."""

ENOUGH_TURNS = 20
PRECISION = 0.007
"""This many turns are enough if the standard error of their estimate is below the precision.

Pairs of processes differ by more than that, so more turns would add nothing. The spread does not depend on which
side is called the head, so the rule favours neither side."""

CASE_S = 0.5
"""Seconds for the turns of each side. A case with slow calls has fewer turns, but at least one."""

LONGEST_S = 6 * CASE_S
"""After this many seconds no other turn begins, whatever the calls were expected to take."""

CROWDED = 4
"""A case is not kept on one CPU if the calls of a side take this many times as long there."""

UNCOUNTED = 6
"""Turns before those that count: one on any CPU, one on its own, two if that is crowded, two if work is planted."""

AGAIN = 2
"""Turns that are taken to measure a call again. The least counts, which other work disturbed the least."""

LEAST_TURNS = 4
"""Turns that a benchmark with a limited number of calls must allow in each comparison."""

CLOCK_S = 1e-9
"""No call takes less: a coarse clock may report 0 seconds."""


@dataclass(frozen=True)
class Waiting:
    """A child that waits at a benchmark, and what it reported about it."""

    process: Process
    ready: Mapping[str, Any]


@dataclass(frozen=True)
class Schedule:
    """How two children take turns."""

    base_calls: int
    head_calls: int
    """Calls of a turn."""
    turns: int
    """Turns of each side."""
    warms: bool
    """Whether some turns before these do not count."""


@dataclass(frozen=True)
class Turn:
    """One turn of each side."""

    base_s: float
    head_s: float
    """Seconds of one call."""
    disturbed: bool
    """Whether the system took the CPU away from either side."""

    @property
    def log_ratio(self) -> float:
        """How much slower the head was."""
        return math.log(self.head_s / self.base_s)


@dataclass(frozen=True)
class Value:
    """What one pair of processes measured."""

    log_ratio: float
    """Of the seconds of one call, head over base."""
    base_s: float
    head_s: float
    """Seconds of one call: medians of the turns."""
    returned: tuple[Any, Any]
    """Fingerprints of the results of base and head."""


def schedule(
    base: Mapping[str, Any], head: Mapping[str, Any], *, comparisons: int = 1, equal_calls: bool = True
) -> Schedule:
    """Return the schedule for two children that reported ``base`` and ``head`` of their benchmarks.

    ``comparisons`` of this kind must fit into the calls that the benchmarks allow. Both sides make the same number
    of calls, as the sides of one benchmark must. Without ``equal_calls`` their turns have the same length instead.
    """
    sides = (base, head)
    if any(side["call_s"] is None for side in sides):
        return Schedule(1, 1, 1, False)
    call_s = [max(CLOCK_S, side["call_s"]) for side in sides]
    if equal_calls:
        call_s = [fmean(call_s)] * 2
    spent_s = [max(seconds, side["round_s"]) for seconds, side in zip(call_s, sides, strict=True)]
    if equal_calls:
        spent_s = [max(spent_s)] * 2
    # If setup takes longer than the call, turns are shorter: at least four of them.
    calls = [
        max(1, min(round(TURN_S / one_s), round(CASE_S / 4 / all_s)))
        for one_s, all_s in zip(call_s, spent_s, strict=True)
    ]
    longest_s = max(number * seconds for number, seconds in zip(calls, spent_s, strict=True))
    turns = max(1, min(TURNS, int(CASE_S / longest_s)))
    warms = max(spent_s) < CASE_S
    if limits := [side["calls_left"] for side in sides if side["calls_left"] is not None]:
        allowed = min(limits) // comparisons
        calls = [max(1, min(number, allowed // (ENOUGH_TURNS + UNCOUNTED))) for number in calls]
        room = allowed // max(calls)
        warms = warms and room > 2 * UNCOUNTED
        turns = max(1, min(turns, room - UNCOUNTED if warms else room))
    return Schedule(calls[0], calls[1], turns, warms)


def allows(ready: Mapping[str, Any], comparisons: int) -> bool:
    """Return whether a benchmark may be called often enough for this many comparisons."""
    calls_left = ready["calls_left"]
    return calls_left is None or calls_left >= comparisons * LEAST_TURNS


def take_turns(
    base: Waiting,
    head: Waiting,
    coin: random.Random,
    *,
    planted: float = 0.0,
    comparisons: int = 1,
    equal_calls: bool = True,
) -> Value:
    """Have two children that wait at a benchmark take turns.

    ``planted`` is work that is added to the head, as a share of its time. Raise
    :class:`~gradperf.pairs.process.WorkerLost`, and :class:`~gradperf.pairs.process.OutOfStep` if a benchmark ends
    in a turn.
    """
    plan = schedule(base.ready, head.ready, comparisons=comparisons, equal_calls=equal_calls)
    sides = {"base": base, "head": head}
    calls = {"base": plan.base_calls, "head": plan.head_calls}
    returned = {side: sides[side].ready["returned"] for side in sides}
    warm_s = _prepare(sides, calls, plan.warms, coin)
    work = _planted_work(head.process, planted, plan.head_calls, warm_s.get("head")) if planted else {}
    is_unlimited = all(side.ready["calls_left"] is None for side in sides.values())
    is_short = plan.warms and max(calls[side] * warm_s[side] for side in sides) < 2 * TURN_S
    # Who begins is drawn for every two turns, so that each side begins equally often, wherever the turns end.
    base_begins = [begins for _ in range(plan.turns) for begins in coin.sample((True, False), 2)]
    if not (is_unlimited and is_short):
        del base_begins[plan.turns :]
    turns: list[Turn] = []
    start_s = time.monotonic()
    for begins in base_begins:
        seconds: dict[str, float] = {}
        disturbed = False
        for side in ("base", "head") if begins else ("head", "base"):
            answer = _ask(sides[side].process, "turn", calls[side], **(work if side == "head" else {}))
            seconds[side] = max(answer["turn"] / calls[side], CLOCK_S)
            disturbed = disturbed or answer["disturbed"]
            if returned[side] is None:
                returned[side] = answer["returned"]
        turns.append(Turn(seconds["base"], seconds["head"], disturbed))
        if len(turns) >= ENOUGH_TURNS and len(turns) % 2 == 0 and _standard_error(counted(turns)) < PRECISION:
            break
        if time.monotonic() - start_s > LONGEST_S:
            break
    kept = counted(turns)
    return Value(
        hodges_lehmann([turn.log_ratio for turn in kept]),
        median(turn.base_s for turn in kept),
        median(turn.head_s for turn in kept),
        (returned["base"], returned["head"]),
    )


def counted(turns: Sequence[Turn]) -> Sequence[Turn]:
    """Leave out disturbed turns, in which other processes were measured too.

    All turns count if that would leave fewer than half of them, and fewer than :data:`ENOUGH_TURNS`. It does if a
    thread hands over to another on the same CPU: then nearly every turn is disturbed.
    """
    undisturbed = [turn for turn in turns if not turn.disturbed]
    return undisturbed if len(undisturbed) >= min(len(turns) / 2, ENOUGH_TURNS) else turns


def _standard_error(turns: Sequence[Turn]) -> float:
    return hodges_lehmann_error([turn.log_ratio for turn in turns])


def _prepare(
    sides: Mapping[str, Waiting], calls: Mapping[str, int], warms: bool, coin: random.Random
) -> dict[str, float]:
    """Keep both sides on one CPU, drawn from those that both may use, and warm them up there by one turn each.

    Return the seconds of a call by side; none without a warm-up. Release the CPU if it is crowded.
    """
    cpus = set.intersection(*(set(side.ready["cpus"]) for side in sides.values()))
    free_s: dict[str, float] = {}
    if cpus:
        if warms:
            # Both sides warmed up at the same time, and each may have slowed the other down.
            free_s = {name: _call_s(side.process, calls[name]) for name, side in sides.items()}
        cpu = coin.choice(sorted(cpus))
        for side in sides.values():
            _ask(side.process, "cpu", cpu)
    if not warms:
        return {}
    warm_s = {name: _call_s(side.process, calls[name]) for name, side in sides.items()}
    if any(_is_crowded(sides[name], calls[name], warm_s[name], free_s[name]) for name in free_s):
        for side in sides.values():
            _ask(side.process, "cpu", None)
    return warm_s


def _is_crowded(side: Waiting, calls: int, warm_s: float, free_s: float) -> bool:
    """Return whether its calls take much longer on one CPU than elsewhere, also when they are measured again."""
    most_s = CROWDED * max(min(side.ready["call_s"], free_s), CLOCK_S)
    return warm_s > most_s and all(_call_s(side.process, calls) > most_s for _ in range(AGAIN))


def _planted_work(head: Process, share: float, calls: int, warm_s: float | None) -> dict[str, float]:
    """Return the part of an order that adds this share of work to a turn of ``calls`` calls."""
    unit_s = _ask(head, "unit", True)["unit"]
    if warm_s is None:  # Calls are so few or slow that their time is known only afterwards.
        return {"units_per_s": share / unit_s}
    # The least time of a call, as of a unit: both at the full speed of the machine.
    call_s = min(warm_s, *(_call_s(head, calls) for _ in range(AGAIN)))
    return {"units": round(share * call_s * calls / unit_s)}


def _ask(process: Process, what: str, value: Any, **more: Any) -> dict[str, Any]:
    """Send an order, and return the answer to it."""
    answer = process.ask(**{what: value}, **more)
    if what not in answer:
        raise OutOfStep(process, answer)
    return answer


def _call_s(process: Process, calls: int) -> float:
    """Return the seconds of a call, from a turn that does not count."""
    seconds: float = _ask(process, "turn", calls)["turn"]
    return seconds / calls
