"""Two children that wait at a benchmark take turns; the result is one value, the log-ratio of their times.

The value is the Hodges-Lehmann estimate of the log-ratios of the turns. It is nearly as robust as their median, and
sharper: on the same turns of 38 cases of identical code, beside other work, it spread by 1.5 % instead of 2.1 %.

All turns are taken on one CPU, which is drawn. The system keeps each process where it last ran, and the CPUs of a
shared machine are not equally fast: another virtual machine may halve the speed of one for seconds. In 10 cases of
identical code on two virtual CPUs, the values spread by 2 to 20 % where the system placed the processes, and by 0.5
to 3 % on one CPU. Cases that compute in several threads at once stay where the system places them.
"""

import math
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from gradperf.pairs.process import Process
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
"""A case is not kept on one CPU if its calls take this many times as long there, on both sides."""

UNCOUNTED = 3
"""Turns before those that count: one to warm up, and two more to measure a call where work is planted."""

LEAST_TURNS = 4
"""Turns that a benchmark with a limited number of calls must allow in each comparison."""

CLOCK_S = 1e-9
"""No call takes less: a coarse clock may report 0 seconds."""


@dataclass(frozen=True)
class Waiting:
    """A child that waits at a benchmark, and what it reported of it."""

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
    """Fingerprints of what base and head returned."""


def schedule(
    base: Mapping[str, Any], head: Mapping[str, Any], *, comparisons: int = 1, equal_calls: bool = True
) -> Schedule:
    """Return the schedule for two children that reported ``base`` and ``head`` of their benchmarks.

    ``comparisons`` of this kind must fit into the calls that the benchmarks allow. Both sides make the same number
    of calls, as the sides of one benchmark must. Without ``equal_calls`` both have turns of the same length
    instead.
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
    :class:`~gradperf.pairs.process.WorkerLost`.
    """
    plan = schedule(base.ready, head.ready, comparisons=comparisons, equal_calls=equal_calls)
    calls = {"base": plan.base_calls, "head": plan.head_calls}
    processes = {"base": base.process, "head": head.process}
    returned = {"base": base.ready["returned"], "head": head.ready["returned"]}
    _share_one_cpu(base, head, coin)
    warm_s = _warm_up(base, head, plan) if plan.warms else {}
    work = _planted_work(head.process, planted, plan.head_calls, warm_s.get("head")) if planted else {}
    is_unlimited = base.ready["calls_left"] is None and head.ready["calls_left"] is None
    is_short = plan.warms and max(calls[side] * warm_s[side] for side in calls) < 2 * TURN_S
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
            answer = processes[side].ask(turn=calls[side], **(work if side == "head" else {}))
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

    All turns count if that would leave fewer than half of them, and fewer than :data:`ENOUGH_TURNS`. It does where
    a thread hands over to another on the same CPU: then nearly every turn is disturbed.
    """
    undisturbed = [turn for turn in turns if not turn.disturbed]
    return undisturbed if len(undisturbed) >= min(len(turns) / 2, ENOUGH_TURNS) else turns


def _share_one_cpu(base: Waiting, head: Waiting, coin: random.Random) -> None:
    """Keep both on one CPU, which is drawn from those that both may be kept on."""
    if cpus := _common_cpus(base, head):
        cpu = coin.choice(sorted(cpus))
        for side in (base, head):
            side.process.ask(cpu=cpu)


def _common_cpus(base: Waiting, head: Waiting) -> set[int]:
    return set(base.ready["cpus"]) & set(head.ready["cpus"])


def _warm_up(base: Waiting, head: Waiting, plan: Schedule) -> dict[str, float]:
    """Take one turn each that does not count; return the seconds of a call. Release the CPU if it is crowded."""
    base_s = base.process.ask(turn=plan.base_calls)["turn"] / plan.base_calls
    head_s = head.process.ask(turn=plan.head_calls)["turn"] / plan.head_calls
    is_crowded = all(
        taken_s > CROWDED * max(side.ready["call_s"], CLOCK_S) for taken_s, side in ((base_s, base), (head_s, head))
    )
    if is_crowded and _common_cpus(base, head):
        for side in (base, head):
            side.process.ask(cpu=None)
    return {"base": base_s, "head": head_s}


def _planted_work(head: Process, share: float, calls: int, warm_s: float | None) -> dict[str, float]:
    """Return the order that adds this share of work to a turn of ``calls`` calls."""
    unit_s = head.ask(unit=True)["unit"]
    if warm_s is None:  # Calls are so few or slow that their time is known only afterwards.
        return {"units_per_s": share / unit_s}
    # The least time of a call, as of a unit: both at the full speed of the machine.
    more_s = [head.ask(turn=calls)["turn"] / calls for _ in range(UNCOUNTED - 1)]
    return {"units": round(share * min(warm_s, *more_s) * calls / unit_s)}


def _standard_error(turns: Sequence[Turn]) -> float:
    return hodges_lehmann_error([turn.log_ratio for turn in turns])
