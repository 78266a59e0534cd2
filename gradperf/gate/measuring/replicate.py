"""One replicate: fresh processes of both sides that go through the same cases side by side, in turns.

Case by case, both processes come to the case's benchmark and wait there. Then base and head take turns, in an order
that is drawn, with equal numbers of calls. After them two more processes of the base do the same on the control's
case alone, and differ in nothing. (Against the base itself, which had imported four frameworks, a process that ran
the control's case alone was 1 % faster: 16 pairs of two_layer_784x30x10-numpy.by_hand, beside other work.)

The value of a case is the Hodges-Lehmann estimate of the log-ratios of its turns: nearly as robust as their median,
and sharper (38 cases, identical code, 4 to 8 pairs of the same turns on a machine with busy neighbours: the values
spread by 1.5 % instead of 2.1 %).

All turns of a case are taken on one CPU, which is drawn. A system keeps each process where it last ran, and the
CPUs of a shared machine are not equally fast: another machine's work may halve the speed of one for seconds. Two
processes that stay on two CPUs then differ by all of that, on one CPU by none of it (10 cases of numpy, identical
code, 10 pairs on two virtual CPUs: the values spread by 2 to 20 % where the system placed the processes, by 0.5 to
3 % on one CPU). Cases that compute in several threads at once stay where the system places them.

Who is launched first is drawn, and so is the size of each process's environment: where a stack begins alone can
make one program some percent faster than another (Mytkowicz et al., "Producing wrong data without doing anything
obviously wrong", ASPLOS 2009).
"""

import math
import random
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from gradperf.gate.decision.trial import PLANTED
from gradperf.gate.janitor import Janitor
from gradperf.gate.sides.prepare import Side
from gradperf.pairs import stage
from gradperf.pairs.process import Lost, Process
from gradperf.stats import estimate

TURNS = 60
TURN_S = 0.001
"""Each side has so many turns of about so many seconds, one call at least; on a busy machine up to twice as many.

Many short ones, as a machine that changes its speed for some milliseconds then spoils few of them."""

ENOUGH_TURNS = 20
PRECISION = 0.007
"""So many turns suffice where the estimate from their log-ratios has a standard error below this. Pairs of
processes differ by more than that, so more turns would tell nothing more. How far the values spread does not depend
on which side is called the head: so this rule takes no side."""

CASE_S = 0.5
"""A case whose calls are slow has fewer turns: so many seconds for each side, but one turn at least."""

LONGEST_S = 6 * CASE_S
"""No comparison begins another turn after so long, whatever the calls were expected to take."""

CROWDED = 4
"""Calls that take so many times as long on one CPU as before, on both sides, are not kept there after all."""

UNCOUNTED = 3
"""So many turns before these do not count: one is a warm-up, and where work is planted two more tell how much."""

LEAST_TURNS = 4
"""Of the control's case in each comparison; one that does not allow them is no control."""

CLOCK_S = 1e-9
"""No call takes less; a clock that ticks slowly may say 0."""

COMPARISONS = 2
"""The control's case is compared so often in each pair, and all of it has to be within the calls it allows."""

CONTROLS = ("control", "twin")
"""The two processes of the base that run the control's case alone."""

PADDING = 4096
"""Bytes by which an environment is longer, at most."""


@dataclass(frozen=True)
class Setting:
    """What all replicates of a run have in common."""

    base: Side
    head: Side
    arguments: Sequence[str]
    """Of pytest."""
    control: str | None
    """The case that is compared with itself."""
    planted: Mapping[str, float]
    """By case: a slowdown planted in the head, to see whether the gate catches it."""
    foreign: Path | None
    """The user's checkout, where neither side runs in it: no module may come from there."""
    changes_code: bool
    """Whether the sides differ in a file of Python that is no test: then somebody has to import it."""
    folder: Path
    """For what the processes print."""
    janitor: Janitor
    patience_s: float


@dataclass(frozen=True)
class Turn:
    """One turn of each side."""

    base_s: float
    head_s: float
    """Seconds of one call."""
    disturbed: bool
    """Whether the system took the CPU from either meanwhile."""

    @property
    def log_ratio(self) -> float:
        """How much slower the head was."""
        return math.log(self.head_s / self.base_s)


@dataclass(frozen=True)
class Value:
    """What one replicate says of one comparison."""

    log_ratio: float
    base_s: float
    head_s: float
    """Seconds of one call, medians of the turns."""


@dataclass
class Replicate:
    """What one replicate found."""

    values: dict[str, Value] = field(default_factory=dict)
    null: Value | None = None
    planted: Value | None = None
    returned: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    """What a call returned on base and head, described."""
    failed: dict[str, str] = field(default_factory=dict)
    """By case: why it has no value."""
    skipped: dict[str, str] = field(default_factory=dict)
    """By case: why both sides skipped it."""
    few_calls: set[str] = field(default_factory=set)
    """Cases that may not be called often enough to be the control."""
    own_modules: bool = True
    """Whether each side imported anything of its own but tests."""
    broken: bool = False
    """Whether a process was lost, so that later cases have no value."""


class Cannot(Exception):
    """A side that cannot run at all: no case is to blame."""


def collected(side: Side, setting: Setting) -> list[dict[str, Any]]:
    """List the benchmarks of one side: id, group, and why it is skipped, if it is; raises :class:`Cannot`."""
    return collected_both([side], setting)[0]


def collected_both(sides: Iterable[Side], setting: Setting) -> list[list[dict[str, Any]]]:
    """List the benchmarks of several sides, at the same time; raises :class:`Cannot`."""
    lists = []
    with ExitStack() as stack:
        processes = []
        for number, side in enumerate(sides):
            process = _start(side, setting, f"collect-{number}", {stage.VARIABLE: "list"})
            stack.callback(process.close)
            process.tell(do="list")
            processes.append(process)
        for process in processes:
            try:
                found = process.answer()
            except Lost as lost:
                raise Cannot(str(lost)) from None
            if found["errors"]:
                raise Cannot(
                    f"the tests of the {process.side.name} cannot be collected:\n" + "\n".join(found["errors"])
                )
            if "collected" not in found:
                raise Cannot(
                    f"pytest did not get as far as collecting on the {process.side.name} "
                    f"(exit code {found['bye']}):\n{process.printed()}"
                )
            lists.append(found["collected"])
    return lists


def _start(side: Side, setting: Setting, name: str, environment: Mapping[str, str]) -> Process:
    cache = setting.folder / "pytest-cache"
    return Process(
        side,
        [*setting.arguments, "-o", f"cache_dir={cache}"],
        setting.folder / f"{name}.txt",
        setting.janitor,
        environment,
        setting.patience_s,
    )


def replicate(cases: Sequence[str], setting: Setting, coin: random.Random, *, repeats: bool) -> Replicate:
    """Measure ``cases`` once, with fresh processes; raises :class:`Cannot` where a side cannot run."""
    found = Replicate()
    roles = {"base": setting.base, "head": setting.head} if cases else {}
    if setting.control is not None:
        roles |= dict.fromkeys(CONTROLS, setting.base)
    order = list(roles)
    coin.shuffle(order)
    with ExitStack() as stack:
        processes: dict[str, Process] = {}
        for name in order:
            environment = {
                stage.VARIABLE: "repeat" if repeats else "first",
                "GRADPERF_GATE_PADDING": "x" * coin.randrange(PADDING),
            }
            processes[name] = process = _start(roles[name], setting, name, environment)
            stack.callback(process.close)
        for name, process in processes.items():
            own = str(setting.head.folder if name == "head" else setting.base.folder)
            mine = [setting.control] if name in CONTROLS else list(cases)
            process.tell(do="time", cases=mine, own=own, foreign=setting.foreign and str(setting.foreign))
        sides = {name: process for name, process in processes.items() if name not in CONTROLS}
        for case in cases:
            try:
                _case(case, sides, setting, coin, found)
            except Lost as lost:
                found.failed[case] = f"at this case {lost}"
                found.broken = True
                return found
        if sides:
            found.own_modules = _end(sides.values())
        if setting.control is not None:
            try:
                _control(setting.control, {name: processes[name] for name in CONTROLS}, coin, found)
            except Lost as lost:
                found.failed[setting.control] = f"at this case, as the control, {lost}"
    return found


def _end(processes: Iterable[Process]) -> bool:
    """Check that each process was what it was taken for; tell whether any imported what is to be compared."""
    own = False
    for process in processes:
        try:
            told = process.answer()
        except Lost as lost:
            raise Cannot(f"after its last case {lost}") from None
        if told["errors"]:
            raise Cannot(f"the tests of the {process.side.name} cannot be collected:\n" + "\n".join(told["errors"]))
        own = own or told["own_modules"] != 0
        if strays := told.get("strays"):
            raise Cannot(
                f"the {process.side.name} imported modules from your checkout instead of its own files, so it was "
                f"not what it was taken for: {', '.join(strays[:5])}. Is the project installed in a way that "
                "PYTHONPATH does not override? --base-python with an environment of its own avoids that"
            )
    return own


def _case(
    case: str, processes: Mapping[str, Process], setting: Setting, coin: random.Random, found: Replicate
) -> None:
    """Bring both sides to their benchmark, take turns, and let them go on."""
    ready, ended = _met(case, processes)
    if not ended:
        if not _allows(ready.values(), COMPARISONS):
            found.few_calls.add(case)
        planted = setting.planted.get(case, 0.0)
        value = _turns(processes["base"], processes["head"], ready, planted, coin, 1, found, case)
        found.values[case] = value
    ended |= _left(case, ready, processes)
    if {told["outcome"] for told in ended.values()} == {"skipped"}:
        found.skipped[case] = ended["base"]["reason"]
    elif failure := _failure(ended, {"base": "base", "head": "head"}):
        found.values.pop(case, None)
        found.failed[case] = failure


def _control(case: str, processes: Mapping[str, Process], coin: random.Random, found: Replicate) -> None:
    """Compare the base with itself, as it is and with work planted in one of the two."""
    ready, ended = _met(case, processes)
    if not ended:
        if _allows(ready.values(), COMPARISONS):
            one, other = (processes[name] for name in CONTROLS)
            told = dict(zip(("base", "head"), (ready[name] for name in CONTROLS), strict=True))
            found.null = _turns(one, other, told, 0.0, coin, COMPARISONS)
            found.planted = _turns(one, other, told, PLANTED, coin, COMPARISONS)
        else:
            found.few_calls.add(case)
    ended |= _left(case, ready, processes)
    was_skipped = {told["outcome"] for told in ended.values()} == {"skipped"}  # by the base too, which tells it
    if not was_skipped and (failure := _failure(ended, dict.fromkeys(CONTROLS, "base, as a control"))):
        found.null = found.planted = None
        found.failed[case] = failure
    _end(processes.values())


Told = dict[str, Mapping[str, Any]]
"""By process: what it answered."""


def _met(case: str, processes: Mapping[str, Process]) -> tuple[Told, Told]:
    """Wait until all processes are at the benchmark of ``case``, or ended it already; give those, and these."""
    ready: Told = {}
    ended: Told = {}
    for name, process in processes.items():
        told = process.answer()
        if told.get("ready") == case:
            ready[name] = told
        elif told.get("ended") == case:
            ended[name] = told
        else:
            raise Cannot(_unexpected(case, process, told))
    return ready, ended


def _left(case: str, ready: Iterable[str], processes: Mapping[str, Process]) -> Told:
    """Let those that are ``ready`` go on, and give how the case ended for them."""
    ended: Told = {}
    for name in ready:
        processes[name].tell(leave=True)
    for name in ready:
        told = processes[name].answer()
        if told.get("ended") != case:
            raise Cannot(_unexpected(case, processes[name], told))
        ended[name] = told
    return ended


def _failure(ended: Mapping[str, Mapping[str, Any]], called: Mapping[str, str]) -> str:
    """Tell of each process that did not pass what became of it; empty if all passed."""
    return "; ".join(
        f"{told['outcome']} on the {called[name]}: {told['reason']}"
        for name, told in ended.items()
        if told["outcome"] != "passed"
    )


def _unexpected(case: str, process: Process, told: Mapping[str, Any]) -> str:
    if "bye" in told:
        errors = "\n".join(told["errors"])
        return f"the {process.side.name} does not run {case}: {errors or process.printed()}"
    return f"the {process.side.name} ran {told} instead of {case}"


def _turns(
    base: Process,
    head: Process,
    ready: Mapping[str, Mapping[str, Any]],
    planted: float,
    coin: random.Random,
    comparisons: int,
    found: Replicate | None = None,
    case: str = "",
) -> Value:
    """Let two processes that wait at one benchmark take turns; ``planted`` is work for the head, as a share."""
    calls, turns, warms = shape(ready["base"], ready["head"], comparisons)
    returned: dict[str, Any] = {name: ready[name]["returned"] for name in ("base", "head")}
    warm = _together(base, head, ready, calls if warms else 0, coin)
    work: dict[str, float] = {}
    if planted:
        unit_s = head.ask(unit=True)["unit"]
        if warms:
            # The least of each, as a unit's time is: at one speed of the machine, whatever it is in between.
            more = [head.ask(turn=calls)["turn"] / calls for _ in range(UNCOUNTED - 1)]
            call_s = min(warm[1], *more)
            work["units"] = round(planted * call_s * calls / unit_s)
        else:  # So few or slow calls that how long one takes is known only after it.
            work["units_per_s"] = planted / unit_s
    unlimited = all(ready[name]["calls_left"] is None for name in ("base", "head"))
    may_repeat = warms and unlimited and calls * max(warm) < 2 * TURN_S
    # Who begins is drawn for every two turns, so that each begins equally often wherever the turns end.
    base_first = [first for _ in range(turns) for first in coin.sample((True, False), 2)]
    if not may_repeat:
        del base_first[turns:]
    taken: list[Turn] = []
    began_s = time.monotonic()
    for first in base_first:
        seconds: dict[str, float] = {}
        disturbed = False
        for name in ("base", "head") if first else ("head", "base"):
            told = base.ask(turn=calls) if name == "base" else head.ask(turn=calls, **work)
            seconds[name] = max(told["turn"] / calls, CLOCK_S)
            disturbed = disturbed or told["disturbed"]
            returned[name] = returned[name] if returned[name] is not None else told["returned"]
        taken.append(Turn(seconds["base"], seconds["head"], disturbed))
        if len(taken) >= ENOUGH_TURNS and len(taken) % 2 == 0 and _error(_counting(taken)) < PRECISION:
            break
        if time.monotonic() - began_s > LONGEST_S:
            break
    if found is not None:
        found.returned[case] = (returned["base"], returned["head"])
    counting = _counting(taken)
    return Value(
        estimate([turn.log_ratio for turn in counting]),
        median(turn.base_s for turn in counting),
        median(turn.head_s for turn in counting),
    )


def _counting(taken: Sequence[Turn]) -> Sequence[Turn]:
    """Leave out what measures others: on a busy machine the system takes the CPU away in the middle of a turn.

    Not where that would leave fewer than half of the turns, and too few: where a thread hands over to another on
    its CPU, it befalls nearly every turn.
    """
    undisturbed = [turn for turn in taken if not turn.disturbed]
    return undisturbed if len(undisturbed) >= min(len(taken) / 2, ENOUGH_TURNS) else taken


def _together(
    base: Process, head: Process, ready: Mapping[str, Mapping[str, Any]], calls: int, coin: random.Random
) -> list[float]:
    """Bring both to one CPU, which is drawn, to warm up there by so many calls; give each side's seconds of one."""
    both = {"base": base, "head": head}
    cpus = set(ready["base"]["cpus"]) & set(ready["head"]["cpus"])
    if cpus:
        cpu = coin.choice(sorted(cpus))
        for process in both.values():
            process.ask(cpu=cpu)
    if not calls:
        return []
    warm = {name: process.ask(turn=calls)["turn"] / calls for name, process in both.items()}
    if cpus and all(warm[name] > CROWDED * max(ready[name]["call_s"], CLOCK_S) for name in both):
        for process in both.values():
            process.ask(cpu=None)
    return list(warm.values())


def _error(turns: Sequence[Turn]) -> float:
    """Standard error of the estimate, from the median absolute deviation, as if the log-ratios were normal."""
    ratios = [turn.log_ratio for turn in turns]
    middle = median(ratios)
    sigma = 1.4826 * median(abs(ratio - middle) for ratio in ratios)
    return math.sqrt(math.pi / 3) * sigma / math.sqrt(len(ratios))


def _allows(ready: Iterable[Mapping[str, Any]], comparisons: int) -> bool:
    """Tell whether a benchmark may be called often enough for so many comparisons."""
    left = [told["calls_left"] for told in ready]
    return all(calls is None or calls >= comparisons * LEAST_TURNS for calls in left)


def shape(base: Mapping[str, Any], head: Mapping[str, Any], comparisons: int = 1) -> tuple[int, int, bool]:
    """Give the calls of a turn, the turns of each side, and whether some before them do not count.

    The same for both sides, from what each told of itself: seconds of a call, seconds with setup and teardown, and
    how many calls the benchmark allows, in so many comparisons.
    """
    if base["call_s"] is None or head["call_s"] is None:
        return 1, 1, False
    call_s = max(CLOCK_S, (base["call_s"] + head["call_s"]) / 2)
    spent_s = max(call_s, base["round_s"], head["round_s"])
    # Where setup takes longer than the call, turns are shorter: four of them at least.
    calls = max(1, min(round(TURN_S / call_s), round(CASE_S / 4 / spent_s)))
    turns = max(1, min(TURNS, int(CASE_S / (calls * spent_s))))
    warms = spent_s < CASE_S
    limits = [side["calls_left"] for side in (base, head) if side["calls_left"] is not None]
    if limits:
        allowed = min(limits) // comparisons
        calls = max(1, min(calls, allowed // (ENOUGH_TURNS + UNCOUNTED)))
        room = allowed // calls
        warms = warms and room > 2 * UNCOUNTED
        turns = max(1, min(turns, room - UNCOUNTED if warms else room))
    return calls, turns, warms
