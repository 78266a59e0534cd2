"""Measures one replicate: fresh processes of both sides run the same cases, and take turns at each.

After the cases, two more processes of the base take turns at the control's case. They differ in nothing. (A process
for that case alone was 1 % faster than the base, which had imported four frameworks.) The order of launch is drawn.
"""

import math
import os
import random
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gradperf import stage
from gradperf.gate.decision.trial import PLANTED
from gradperf.gate.janitor import Janitor
from gradperf.gate.measuring.provenance import Origins, names_of
from gradperf.gate.measuring.worker import LATE, SEED
from gradperf.gate.sides import pytest_arguments
from gradperf.gate.sides.prepare import Side
from gradperf.machine import threads
from gradperf.pairs.meeting import NOTHING_TIMED, Answers, check_collected, collected, failure, together
from gradperf.pairs.process import Process, SideError, WorkerLost, padding
from gradperf.pairs.turns import Value, Waiting, allows, take_turns
from gradperf.text.quantities import plural

WORKER = Path(__file__).with_name("worker")

COMPARISONS = 2
"""Comparisons of the control's case in each pair. Together they must fit into the calls that it allows."""

CONTROLS = ("control", "twin")
"""The two processes of the base that run the control's case alone."""


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
    """By case: a slowdown planted in the head, as a share, to see whether the gate detects it."""
    foreign: Path | None
    """The user's checkout, if neither side runs in it: then no module may come from there."""
    changes_code: bool
    """Whether a Python file that is not a test differs; then a side must import files of its own."""
    folder: Path
    """For what the processes print."""
    janitor: Janitor
    patience_s: float
    changed: Sequence[str] = ()
    """Paths that differ between the sides, from their top folders."""
    separate: bool = False
    """Whether each side has an environment of its own."""
    distributions: Sequence[str] = ()
    """Names of the distributions that differ between the two environments."""
    controls: Sequence[Side] = ()
    """Two more copies of the base, for the control; without them both of its processes run in the base."""


@dataclass
class Replicate:
    """What one replicate measured."""

    values: dict[str, Value] = field(default_factory=dict)
    null: float | None = None
    planted: float | None = None
    """Log-ratios of two more processes of the base, without and with planted work."""
    failed: dict[str, str] = field(default_factory=dict)
    """By case: why it has no value."""
    skipped: dict[str, str] = field(default_factory=dict)
    """By case: why both sides skipped it."""
    few_calls: set[str] = field(default_factory=set)
    """Cases that allow too few calls to be the control."""
    own_modules: bool = True
    """Whether a side imported any of its own files but tests."""
    origins: dict[str, Origins] = field(default_factory=dict)
    """By side: where its modules came from. Only the first replicate of a run asks for them."""
    broken: bool = False
    """Whether a process was lost, so that later cases have no value."""
    launch_s: float = 0.0
    """Seconds until all processes had collected their cases."""
    not_begun: tuple[str, ...] = ()
    """The cases that the deadline left no time for. Then the sides were not asked about their modules either."""


def collect(sides: Iterable[Side], setting: Setting) -> tuple[list[list[dict[str, Any]]], list[str]]:
    """List the benchmarks of each side, both at the same time; raise :class:`SideError`.

    A benchmark has an ``id``, a ``group``, whether it is marked as ``control``, and why it is ``skipped``. Then
    come notes on what the gate does otherwise than the suite asks for.
    """
    with ExitStack() as stack:
        processes = []
        for number, side in enumerate(sides):
            process = _start(side, setting, f"collect-{number}", {stage.VARIABLE: "list"})
            stack.callback(process.close)
            process.send(do="list")
            processes.append(process)
        found = collected(processes)
        try:
            notes = [note for process in processes for note in process.answer()["notes"]]
        except WorkerLost as lost:
            raise SideError(f"after it listed its cases {lost}") from None
        return found, list(dict.fromkeys(notes))


def _start(side: Side, setting: Setting, name: str, environment: Mapping[str, str]) -> Process:
    other = setting.head if side.name == "base" else setting.base
    arguments = pytest_arguments.of_side(setting.arguments, side.folder, other.folder)
    return Process(
        side.name,
        [side.python, WORKER],
        [*arguments, "-o", f"cache_dir={setting.folder / 'pytest-cache' / name}"],
        output=setting.folder / f"{name}.txt",
        # Threads that wait in a loop take the CPU from those that compute, most of all beside other work.
        environment={
            **threads.soon_asleep(side.environment),
            **side.environment,
            # Processes must not share what they write.
            "HYPOTHESIS_STORAGE_DIRECTORY": str(setting.folder / "hypothesis" / name),
            LATE: os.pathsep.join(side.late),
            **environment,
        },
        folder=side.folder,
        guard=setting.janitor,
        patience_s=setting.patience_s,
    )


def replicate(
    cases: Sequence[str],
    setting: Setting,
    coin: random.Random,
    *,
    repeats: bool,
    deadline_s: float = math.inf,
    show: Callable[[str], None] = lambda now: None,
) -> Replicate:
    """Measure ``cases`` once, with fresh processes; raise :class:`SideError` if a side cannot run.

    After ``deadline_s``, on the clock of ``time.monotonic``, no other case is begun, nor the control. ``show`` is
    told what is next, before any turn of it.
    """
    if (start_s := time.monotonic()) > deadline_s:
        return Replicate(not_begun=tuple(cases))
    measured = Replicate()
    roles = {"base": setting.base, "head": setting.head} if cases else {}
    if setting.control is not None:
        roles |= dict(zip(CONTROLS, setting.controls or (setting.base, setting.base), strict=True))
    order = list(roles)
    coin.shuffle(order)
    # Random numbers and the order of sets may change the work, so they are those of the pair.
    seed = str(coin.randrange(2**32))
    show(f"starting {plural(len(order), 'process', 'processes')}")
    with ExitStack() as stack:
        processes: dict[str, Process] = {}
        for role in order:
            environment = {stage.VARIABLE: "repeat" if repeats else "first", SEED: seed, **padding(coin)}
            environment["PYTHONHASHSEED"] = roles[role].environment.get("PYTHONHASHSEED", seed)
            processes[role] = process = _start(roles[role], setting, role, environment)
            stack.callback(process.close)
        for role, process in processes.items():
            role_cases = [setting.control] if role in CONTROLS else list(cases)
            foreign = setting.foreign and str(setting.foreign)
            own = str(roles[role].root)
            questions = {} if repeats or role in CONTROLS else _questions(roles[role], setting)
            process.send(do="time", cases=role_cases, own=own, foreign=foreign, **questions)
        controls = {role: processes.pop(role) for role in CONTROLS if role in processes}
        found = dict(zip(processes, collected(processes.values()), strict=True))
        measured.launch_s = time.monotonic() - start_s
        for number, case in enumerate(cases):
            if time.monotonic() > deadline_s:
                measured.not_begun = tuple(cases[number:])
                return measured
            show(f"case {number + 1} of {len(cases)}: {case}")
            try:
                _compare(case, processes, found, setting, coin, measured)
            except WorkerLost as lost:
                measured.failed[case] = f"at this case {lost}"
                measured.broken = True
            if measured.broken:
                return measured
        if processes:
            measured.origins = _end(processes.values())
            measured.own_modules = any(origins.own_modules != 0 for origins in measured.origins.values())
        is_late = time.monotonic() > deadline_s
        if setting.control is not None and setting.control not in measured.failed and not is_late:
            show(f"the control: {setting.control}")
            try:
                _compare_control(setting.control, controls, setting, coin, measured)
            except WorkerLost as lost:
                measured.failed[setting.control] = f"at this case, as the control, {lost}"
    return measured


def _questions(side: Side, setting: Setting) -> dict[str, Any]:
    """Return what a side of the first pair is asked in the end, if anything: where its modules came from."""
    if setting.foreign is None and not setting.distributions:
        return {}
    return {"names": names_of(side.root, setting.changed), "distributions": list(setting.distributions)}


def _end(processes: Iterable[Process]) -> dict[str, Origins]:
    """Check that no process imported files of the user's checkout; return by side where its modules came from."""
    origins = {}
    for process in processes:
        try:
            answer = process.answer()
        except WorkerLost as lost:
            raise SideError(f"after its last case {lost}") from None
        if "bye" not in answer:
            raise SideError(f"after its last case a process of the {process.name} answered {answer}")
        process.finish()
        check_collected(process, answer)
        facts = ("loaded", "found", "brought", "opened", "apart")
        origins[process.name] = Origins(
            answer["own_modules"], **{name: answer[name] for name in facts if name in answer}
        )
        if strays := answer.get("strays"):
            raise SideError(
                f"the {process.name} imported modules from your checkout instead of its own files: "
                f"{', '.join(strays[:5])}. Is the project installed in a way that PYTHONPATH does not override? "
                "--base-python with a separate environment avoids that"
            )
    return origins


def _compare(
    case: str,
    processes: Mapping[str, Process],
    found: Mapping[str, Collection[str]],
    setting: Setting,
    coin: random.Random,
    measured: Replicate,
) -> None:
    """Compare base and head at one case. ``found`` are the cases that each of them collected."""

    def act(ready: Mapping[str, Waiting]) -> Value:
        if not all(allows(waiting.ready, COMPARISONS) for waiting in ready.values()):
            measured.few_calls.add(case)
        return take_turns(ready["base"], ready["head"], coin, planted=setting.planted.get(case, 0.0))

    missing: Answers = {
        role: {"outcome": "missing", "reason": "this process did not collect it, though the first one did"}
        for role in processes
        if case not in found[role]
    }
    there = {role: process for role, process in processes.items() if role not in missing}
    value, ended = together(dict.fromkeys(there, case), there, lambda ready: act(ready) if not missing else None)
    measured.broken |= any(answer.get("last") for answer in ended.values())
    ended |= missing
    if {answer["outcome"] for answer in ended.values()} <= NOTHING_TIMED:
        measured.skipped[case] = ended["base"]["reason"]
    elif reason := failure(_of_the_suite(ended, setting), {"base": "base", "head": "head"}):
        measured.failed[case] = reason
    elif value is not None:
        measured.values[case] = value


def _of_the_suite(ended: Answers, setting: Setting) -> Answers:
    """Shorten the paths in the reasons, so that the same failure reads the same on both sides."""
    roots = [f"{side.root}/" for side in (setting.base, setting.head, *setting.controls)]
    shortened: Answers = {}
    for role, answer in ended.items():
        reason = answer["reason"]
        for root in roots:
            reason = reason.replace(root, "")
        shortened[role] = {**answer, "reason": reason}
    return shortened


def _compare_control(
    case: str, processes: Mapping[str, Process], setting: Setting, coin: random.Random, measured: Replicate
) -> None:
    """Compare the base with itself, as it is and with work planted in one of the two."""

    def act(ready: Mapping[str, Waiting]) -> tuple[float, float] | None:
        if not all(allows(waiting.ready, COMPARISONS) for waiting in ready.values()):
            measured.few_calls.add(case)
            return None
        one, other = (ready[role] for role in CONTROLS)
        return (
            take_turns(one, other, coin, comparisons=COMPARISONS).log_ratio,
            take_turns(one, other, coin, planted=PLANTED, comparisons=COMPARISONS).log_ratio,
        )

    for found in collected(processes.values()):
        if case not in found:
            measured.failed[case] = "a process of the base, as a control, did not collect it"
            return
    values, ended = together(dict.fromkeys(processes, case), processes, act)
    was_timed = (
        not {answer["outcome"] for answer in ended.values()} <= NOTHING_TIMED
    )  # else the base reports it too
    if was_timed and (
        reason := failure(_of_the_suite(ended, setting), dict.fromkeys(CONTROLS, "base, as a control"))
    ):
        measured.failed[case] = reason
    elif values is not None:
        measured.null, measured.planted = values
    if not any(answer.get("last") for answer in ended.values()):
        _end(processes.values())
