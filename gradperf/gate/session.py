"""One run of the gate, from two sides to the outcome.

The outcome reports every case. A case that fails on either side is not measured again. A case that only the head
has is new; one that only the base has was removed. If a process is lost, its replicate is measured again without
the case that it was running.
"""

import os
import platform
import random
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from statistics import median
from typing import Any

from gradperf.errors import UserError
from gradperf.gate.decision import judge, trial
from gradperf.gate.decision.findings import Finding, Outcome, Overall
from gradperf.gate.decision.trial import PLANTED, Pair, Phase, Plan
from gradperf.gate.measuring.replicate import Replicate, Setting, collect, replicate
from gradperf.machine import load
from gradperf.machine.cpus import detect_cpus
from gradperf.pairs.child.fingerprint import difference
from gradperf.pairs.process import SideError
from gradperf.pairs.turns import Value

Progress = Callable[[str], None]
"""Reports in one line how far the run is."""


@dataclass(frozen=True)
class Request:
    """What one run of the gate is asked to do."""

    setting: Setting
    plan: Plan
    seed: int
    """Of the random order."""
    planted: Mapping[str, float] = field(default_factory=dict)
    """Slowdowns to add to the head, by case or pattern."""
    accepted: Mapping[str, str] = field(default_factory=dict)
    """By case: the user's reason to accept any change of it."""
    strict: bool = False
    """Whether an inconclusive case changes the exit code."""
    budget_s: float | None = None
    """Seconds that the run may take; None for no limit."""
    list_only: bool = False
    """Whether to list the cases and measure none, as both sides are identical."""
    environment: Mapping[str, Any] = field(default_factory=dict)
    """What the record keeps about the sides and the machine."""
    warnings: tuple[str, ...] = ()


def run(request: Request, progress: Progress) -> Outcome:
    """Compare the two sides, or list the cases if they are identical; a side that cannot run is an outcome too."""
    try:
        return _identical(request) if request.list_only else compare(request, progress)
    except SideError as error:
        return _unmeasured(request, "incomplete", 13, warnings=(str(error), *request.warnings))


def _identical(request: Request) -> Outcome:
    """List the cases without measuring any."""
    (listed,) = collect([request.setting.head], request.setting)
    cases = [Finding(case["id"], "identical", case["group"]) for case in listed if not case["skipped"]]
    if not cases:
        raise SideError("there is no benchmark: the arguments of pytest leave none")
    return _unmeasured(request, "identical", 0, cases, request.warnings)


def _unmeasured(
    request: Request, verdict: Overall, code: int, cases: Iterable[Finding] = (), warnings: tuple[str, ...] = ()
) -> Outcome:
    plan, environment = asdict(request.plan), request.environment
    return Outcome(verdict, code, tuple(cases), (), (), warnings, plan, request.seed, environment)


@dataclass(frozen=True)
class Cases:
    """The cases that both sides have, and those that only one has."""

    groups: Mapping[str, tuple[str, ...]]
    """The cases of both sides, by group."""
    new: tuple[str, ...]
    removed: tuple[str, ...]
    skipped: Mapping[str, str]
    """Skipped on both sides, with the reason."""
    controls: tuple[str, ...]
    """The cases that could be the control, best first."""

    @property
    def all(self) -> tuple[str, ...]:
        """Every case that both sides have."""
        return tuple(case for cases in self.groups.values() for case in cases)


def cases_of(base: Sequence[Mapping[str, Any]], head: Sequence[Mapping[str, Any]]) -> Cases:
    """Match the cases collected on the two sides; one that only one side skips counts as missing there."""
    in_base = {case["id"]: case for case in base}
    in_head = {case["id"]: case for case in head}
    skipped = {
        id_: str(case["skipped"])
        for id_, case in in_head.items()
        if case["skipped"] and (id_ not in in_base or in_base[id_]["skipped"])
    }
    runs_in_base = {id_ for id_, case in in_base.items() if not case["skipped"]}
    runs_in_head = [id_ for id_, case in in_head.items() if not case["skipped"]]
    common = [id_ for id_ in runs_in_head if id_ in runs_in_base]
    groups: dict[str, list[str]] = {}
    for id_ in common:
        groups.setdefault(in_head[id_]["group"], []).append(id_)
    controls = [id_ for id_ in common if in_head[id_]["control"]]
    return Cases(
        groups={name: tuple(ids) for name, ids in groups.items()},
        new=tuple(id_ for id_ in runs_in_head if id_ not in runs_in_base),
        removed=tuple(id_ for id_ in in_base if id_ in runs_in_base and id_ not in set(runs_in_head)),
        skipped=skipped,
        controls=tuple(dict.fromkeys([*controls, *common])),
    )


@dataclass
class Measurement:
    """Measures pairs of processes for the trial, and keeps what the trial does not use."""

    setting: Setting
    coin: random.Random
    plan: Plan
    deadline_s: float | None
    """On the clock of ``time.monotonic``; None for no limit."""
    progress: Progress
    controls: Sequence[str] = ()
    """The cases that could be the control, best first."""
    failed: dict[str, str] = field(default_factory=dict)
    """By case: the reason."""
    skipped: dict[str, str] = field(default_factory=dict)
    """By case: the reason."""
    values: dict[str, list[Value]] = field(default_factory=dict)
    durations_s: dict[Phase, list[float]] = field(default_factory=lambda: {"screen": [], "confirm": []})
    warnings: list[str] = field(default_factory=list)
    _started: bool = False
    _controlled: bool = False
    _few_calls: set[str] = field(default_factory=set)

    @property
    def control(self) -> str | None:
        """The case that is the control."""
        return self.setting.control

    def __call__(self, phase: Phase, cases: Sequence[str]) -> Pair | None:
        """Measure ``cases`` in one fresh pair of processes; None if there is not enough time left."""
        durations_s = self.durations_s[phase]
        expected_s = max(durations_s[-3:], default=0.0)
        if self.deadline_s is not None and time.monotonic() + expected_s > self.deadline_s:
            return None
        start_s = time.monotonic()
        measured = self._complete_replicate(cases)
        durations_s.append(time.monotonic() - start_s)
        self.progress(self._progress_line(phase, len(cases)))
        if self.control in self.failed:
            measured.null = measured.planted = None
        self._choose_control(measured)
        return Pair(
            {case: value.log_ratio for case, value in measured.values.items() if case not in self.failed},
            None if measured.null is None else measured.null.log_ratio,
            None if measured.planted is None else measured.planted.log_ratio,
        )

    def _complete_replicate(self, cases: Sequence[str]) -> Replicate:
        """Measure replicates until one gets through all cases that neither failed nor were skipped."""
        while True:
            left = [case for case in cases if case not in self.failed and case not in self.skipped]
            measured = replicate(left, self._current_setting(), self.coin, repeats=self._started)
            self.failed.update(measured.failed)
            self.skipped.update(measured.skipped)
            if not measured.broken:
                break
        if not self._started and not measured.own_modules:
            message = (
                "neither side imported anything of the repository but its tests: if the project is installed as a "
                "copy, both sides ran that copy, and nothing was compared"
            )
            if self.setting.changes_code:
                raise SideError(f"{message}. `pip install -e .` makes it importable from its own files")
            self.warnings.append(message)
        self._started = True
        for case, value in measured.values.items():
            self.values.setdefault(case, []).append(value)
        return measured

    def _choose_control(self, measured: Replicate) -> None:
        """Replace an unfit control, but only before the first value: one control serves all pairs."""
        self._controlled = self._controlled or measured.null is not None
        self._few_calls |= measured.few_calls
        if not self._controlled:
            unfit = self.failed.keys() | self.skipped.keys() | self._few_calls
            control = next((case for case in self.controls if case not in unfit), None)
            self.setting = replace(self.setting, control=control)

    def _current_setting(self) -> Setting:
        lost = self.setting.control in self.failed or self.setting.control in self.skipped
        return replace(self.setting, control=None) if lost else self.setting

    def _progress_line(self, phase: Phase, cases: int) -> str:
        durations_s = self.durations_s[phase]
        most = self.plan.screen if phase == "screen" else self.plan.confirm
        left_s = (most - len(durations_s)) * median(durations_s[-5:])
        subject = _count(cases, "case") if cases else "the control alone"
        at_most = "at most " if phase == "confirm" else ""
        then = ", then cases that look slower are confirmed" if phase == "screen" else ""
        return f"{phase} {len(durations_s)} of {at_most}{most}: {subject}, {at_most}{_minutes(left_s)} left{then}"

    def seconds(self) -> dict[str, tuple[float, float]]:
        """Return the median seconds of one call on base and head, by case."""
        return {
            case: (median(value.base_s for value in values), median(value.head_s for value in values))
            for case, values in self.values.items()
        }

    def different(self) -> dict[str, str]:
        """Describe how base and head differ, by case, if each side returns the same in every pair."""
        differences = {}
        unsteady = self.unsteady()
        for case, values in self.values.items():
            apart = difference(*values[0].returned)
            if apart is not None and case not in unsteady:
                differences[case] = apart
        return differences

    def unsteady(self) -> list[str]:
        """Return the cases that do not return the same in every process of a side: they cannot be compared."""
        return [
            case
            for case, values in self.values.items()
            if any(
                difference(values[0].returned[side], value.returned[side]) is not None
                for value in values
                for side in (0, 1)
            )
        ]


def _minutes(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02} min" if whole >= 60 else f"{whole} s"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def compare(request: Request, progress: Progress) -> Outcome:
    """Measure and judge; raises :class:`SideError` if a side cannot run at all."""
    start_s, start = time.monotonic(), load.moment()
    setting, plan, accepted = request.setting, request.plan, request.accepted
    cases = cases_of(*collect([setting.base, setting.head], setting))
    measurement = Measurement(
        replace(setting, control=next(iter(cases.controls), None), planted=_by_case(request.planted, cases.all)),
        random.Random(request.seed),  # noqa: S311 - an order, not a secret
        plan,
        None if request.budget_s is None else start_s + request.budget_s,
        progress,
        cases.controls,
        skipped=dict(cases.skipped),
    )
    warnings = list(request.warnings)
    if cases.all:
        progress(f"{_count(len(cases.all), 'case')} on both sides")
        measured = trial.run(cases.groups, plan, measurement, apart=accepted)
        findings, groups, controls = judge.judge(
            measured, plan, control_case=measurement.control or "", seconds=measurement.seconds(), accepted=accepted
        )
        if measured.stopped:
            warnings.append("the time budget ran out; cases that were not decided by then are inconclusive")
    else:
        findings, groups, controls = (), (), ()
    if set(cases.all) <= measurement.skipped.keys():
        warnings.append("there is no benchmark that both sides have and run")
    findings = _completed(findings, cases, measurement, accepted)
    warnings += _warnings(measurement, (*findings, *groups), accepted)
    verdict, exit_code = judge.overall(findings, groups, controls, strict=request.strict)
    end = load.moment()
    return Outcome(
        verdict=verdict,
        exit_code=exit_code,
        cases=findings,
        groups=groups,
        controls=controls,
        warnings=tuple(warnings),
        plan=asdict(plan),
        seed=request.seed,
        environment={
            **request.environment,
            "started": start.at.isoformat(timespec="seconds"),
            "finished": end.at.isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - start_s, 1),
            "load": {"start": start.load, "end": end.load},
            "steal": load.steal(start.cpu_times, end.cpu_times),
        },
    )


def _by_case(planted: Mapping[str, float], cases: Collection[str]) -> dict[str, float]:
    """Return the slowdown of each case that a pattern means: an id, or parts of ids with ``*`` between them."""
    slowdowns: dict[str, float] = {}
    for pattern, share in planted.items():
        parts = pattern.split("*")
        matching = (
            [pattern] if pattern in cases else [case for case in cases if all(part in case for part in parts)]
        )
        if not matching:
            raise UserError(f"--plant {pattern}: there is no such case")
        slowdowns.update(dict.fromkeys(matching, share))
    return slowdowns


def _completed(
    findings: Collection[Finding], cases: Cases, measurement: Measurement, accepted: Mapping[str, str]
) -> tuple[Finding, ...]:
    """Add the cases that were not measured, and correct those that failed or returned different results."""
    group_of = {case: name for name, ids in cases.groups.items() for case in ids}
    different = measurement.different()
    completed = []
    for finding in findings:
        id_ = finding.id
        if id_ in measurement.skipped:
            continue
        if id_ in measurement.failed:
            completed.append(
                Finding(
                    id_, "failed", group_of[id_], reason=measurement.failed[id_], accepted=accepted.get(id_, "")
                )
            )
        elif id_ in different:
            completed.append(replace(finding, verdict="different", reason=different[id_]))
        else:
            completed.append(finding)
    completed += [Finding(id_, "new") for id_ in cases.new]
    completed += [Finding(id_, "removed", accepted=accepted.get(id_, "")) for id_ in cases.removed]
    return tuple(completed)


def _warnings(measurement: Measurement, findings: Sequence[Finding], accepted: Mapping[str, str]) -> list[str]:
    warnings = list(measurement.warnings)
    if skipped := measurement.skipped:
        verb = "is" if len(skipped) == 1 else "are"
        reasons = sorted(set(skipped.values()))
        warnings.append(
            f"{_count(len(skipped), 'case')} {verb} skipped on both sides: {_first(reasons, separator='; ')}"
        )
    if unsteady := measurement.unsteady():
        verb = "does" if len(unsteady) == 1 else "do"
        warnings.append(
            f"{_count(len(unsteady), 'case')} {verb} not return the same in every process, so the results of the "
            f"two sides were not compared: {_first(unsteady)}"
        )
    known = {finding.id for finding in findings}
    warnings += [f"--accept {case}: there is no such case" for case in accepted if case not in known]
    if measurement.values and measurement.control is None:
        warnings.append(
            "no case could be the control: each failed, or allows too few calls to be compared with itself"
        )
    elif measurement.values and measurement.control in measurement.failed:
        warnings.append("the control's case failed, so the control has fewer pairs than the cases")
    warnings += [
        f"a slowdown of {100 * share:g} % was planted in the head of {case}"
        for case, share in measurement.setting.planted.items()
    ]
    return warnings


def _first(texts: Sequence[str], separator: str = ", ") -> str:
    """Join the first three texts."""
    return separator.join(texts[:3]) + (" …" if len(texts) > 3 else "")


def machine_facts() -> dict[str, Any]:
    """Describe the machine for the record."""
    cpus = detect_cpus()
    return {
        "cpu_model": cpus.model,
        "logical_cpus": cpus.logical,
        "effective_cpus": cpus.effective,
        "system": platform.platform(),
        "date": datetime.now(UTC).date().isoformat(),
        "planted_control": PLANTED,
        "load": os.getloadavg()[0],
    }
