"""One run of the gate, from two sides to what was found.

Nothing is dropped in silence: a case that fails on either side, in any replicate, is measured no more and told; one
that only the head has is new, one that only the base has was removed. Where a process is lost in the middle, that
replicate is measured again without the case at which it was lost.
"""

import os
import platform
import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from statistics import median
from typing import Any

from gradperf.errors import UserError
from gradperf.gate.decision import judge, trial
from gradperf.gate.decision.findings import Finding, Outcome
from gradperf.gate.decision.trial import PLANTED, Pair, Phase, Plan
from gradperf.gate.measuring.replicate import Cannot, Replicate, Setting, Value, collected_both, replicate
from gradperf.gate.measuring.returned import difference
from gradperf.machine import load
from gradperf.machine.cpus import detect_cpus

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Cases:
    """What both sides have together, and what only one has."""

    groups: Mapping[str, tuple[str, ...]]
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
    """Compare what was collected on the two sides; a case that is skipped on one side alone is not there."""
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
    """Brings one pair of processes after another, and keeps what the trial does not ask for."""

    setting: Setting
    coin: random.Random
    plan: Plan
    deadline_s: float | None
    """On the clock of ``time.monotonic``; None for all the time in the world."""
    tell: Tell
    controls: Sequence[str] = ()
    """The cases that could be the control, best first."""
    failed: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    values: dict[str, list[Value]] = field(default_factory=dict)
    returned: dict[str, list[tuple[Any, Any]]] = field(default_factory=dict)
    took_s: dict[Phase, list[float]] = field(default_factory=lambda: {"screen": [], "confirm": []})
    warnings: list[str] = field(default_factory=list)
    _started: bool = False
    _controlled: bool = False
    _few_calls: set[str] = field(default_factory=set)

    @property
    def control(self) -> str | None:
        """The case that is the control."""
        return self.setting.control

    def __call__(self, phase: Phase, cases: Sequence[str]) -> Pair | None:
        """Measure ``cases`` in one fresh pair; None where the time does not suffice for it."""
        took_s = self.took_s[phase]
        expected_s = max(took_s[-3:], default=0.0)
        if self.deadline_s is not None and time.monotonic() + expected_s > self.deadline_s:
            return None
        start_s = time.monotonic()
        found = self._whole(cases)
        took_s.append(time.monotonic() - start_s)
        self.tell(self._progress(phase, len(cases)))
        if self.control in self.failed:
            found.null = found.planted = None
        self._choose_control(found)
        return Pair(
            {case: value.log_ratio for case, value in found.values.items() if case not in self.failed},
            None if found.null is None else found.null.log_ratio,
            None if found.planted is None else found.planted.log_ratio,
        )

    def _whole(self, cases: Sequence[str]) -> Replicate:
        """Measure until a replicate went through all cases that are left."""
        while True:
            left = [case for case in cases if case not in self.failed and case not in self.skipped]
            found = replicate(left, self._setting(), self.coin, repeats=self._started)
            self.failed.update(found.failed)
            self.skipped.update(found.skipped)
            if not found.broken:
                break
        if not self._started and not found.own_modules:
            told = (
                "neither side imported anything of the repository but its tests: if the project is installed as a "
                "copy, both sides ran that copy, and nothing was compared"
            )
            if self.setting.changes_code:
                raise Cannot(f"{told}. `pip install -e .` makes it importable from its own files")
            self.warnings.append(told)
        self._started = True
        for case, value in found.values.items():
            self.values.setdefault(case, []).append(value)
        for case, both in found.returned.items():
            self.returned.setdefault(case, []).append(both)
        return found

    def _choose_control(self, found: Replicate) -> None:
        """Take another case as the control, until one has a value: later, it would be none of the pairs before."""
        self._controlled = self._controlled or found.null is not None
        self._few_calls |= found.few_calls
        if not self._controlled:
            unfit = self.failed.keys() | self.skipped.keys() | self._few_calls
            control = next((case for case in self.controls if case not in unfit), None)
            self.setting = replace(self.setting, control=control)

    def _setting(self) -> Setting:
        lost = self.setting.control in self.failed or self.setting.control in self.skipped
        return replace(self.setting, control=None) if lost else self.setting

    def _progress(self, phase: Phase, cases: int) -> str:
        took_s = self.took_s[phase]
        most = self.plan.screen if phase == "screen" else self.plan.confirm
        left_s = (most - len(took_s)) * median(took_s[-5:])
        what = f"{cases} case{'' if cases == 1 else 's'}" if cases else "the control alone"
        at_most = "at most " if phase == "confirm" else ""
        then = ", then what looks slower is confirmed" if phase == "screen" else ""
        return f"{phase} {len(took_s)} of {at_most}{most}: {what}, {at_most}{_minutes(left_s)} left{then}"

    def seconds(self) -> dict[str, tuple[float, float]]:
        """Median seconds of one call on base and head, by case."""
        return {
            case: (median(value.base_s for value in values), median(value.head_s for value in values))
            for case, values in self.values.items()
        }

    def different(self) -> dict[str, str]:
        """By case: in what base and head differ, where each returns the same every time."""
        told = {}
        for case, pairs in self.returned.items():
            base, head = pairs[0]
            apart = difference(base, head)
            steady = all(difference(base, b) is None and difference(head, h) is None for b, h in pairs)
            if apart is not None and steady:
                told[case] = apart
        return told

    def unsteady(self) -> list[str]:
        """Cases that return something else in every process of a side, so that results cannot be compared."""
        return [
            case
            for case, pairs in self.returned.items()
            if any(
                difference(pairs[0][0], base) is not None or difference(pairs[0][1], head) is not None
                for base, head in pairs
            )
        ]


def _minutes(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02} min" if whole >= 60 else f"{whole} s"


def compare(
    setting: Setting,
    plan: Plan,
    *,
    planted: Mapping[str, float],
    seed: int,
    accepted: Mapping[str, str],
    strict: bool,
    budget_s: float | None,
    environment: Mapping[str, Any],
    warnings: Collection[str],
    tell: Tell,
) -> Outcome:
    """Measure and judge; raises ``replicate.Cannot`` where a side cannot run at all."""
    start_s, start = time.monotonic(), load.moment()
    base_list, head_list = collected_both([setting.base, setting.head], setting)
    cases = cases_of(base_list, head_list)
    told = list(warnings)
    measurement = Measurement(
        replace(setting, control=next(iter(cases.controls), None), planted=_by_case(planted, cases.all)),
        random.Random(seed),  # noqa: S311 - an order, not a secret
        plan,
        None if budget_s is None else start_s + budget_s,
        tell,
        cases.controls,
        skipped=dict(cases.skipped),
    )
    count = len(cases.all)
    if count:
        tell(f"{count} case{'' if count == 1 else 's'} on both sides")
        run = trial.run(cases.groups, plan, measurement, apart=accepted)
        findings, groups, controls = judge.judge(
            run, plan, control_case=measurement.control or "", seconds=measurement.seconds(), accepted=accepted
        )
        if run.stopped:
            told.append("the time was spent before everything was decided: what is open is called inconclusive")
    else:
        findings, groups, controls = (), (), ()
    if set(cases.all) <= measurement.skipped.keys():
        told.append("there is no benchmark that both sides have and run")
    findings = _completed(findings, cases, measurement, accepted)
    told += _warnings(measurement, findings, groups, accepted)
    verdict, exit_code = judge.overall(findings, groups, controls, strict=strict)
    end = load.moment()
    return Outcome(
        verdict=verdict,
        exit_code=exit_code,
        cases=findings,
        groups=groups,
        controls=controls,
        warnings=tuple(told),
        plan=plan_told(plan),
        seed=seed,
        environment={
            **environment,
            "started": start.at.isoformat(timespec="seconds"),
            "finished": end.at.isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - start_s, 1),
            "load": {"start": start.load, "end": end.load},
            "steal": load.steal(start.cpu_times, end.cpu_times),
        },
    )


def plan_told(plan: Plan) -> dict[str, Any]:
    """Give the plan ready for JSON."""
    return asdict(plan)


def _by_case(planted: Mapping[str, float], cases: Collection[str]) -> dict[str, float]:
    """Find the cases that patterns mean: an id, or else a part of ids, in which ``*`` is any characters."""
    found: dict[str, float] = {}
    for pattern, share in planted.items():
        parts = pattern.split("*")
        matching = (
            [pattern] if pattern in cases else [case for case in cases if all(part in case for part in parts)]
        )
        if not matching:
            raise UserError(f"--plant {pattern}: there is no such case")
        found.update(dict.fromkeys(matching, share))
    return found


def _completed(
    findings: Collection[Finding], cases: Cases, measurement: Measurement, accepted: Mapping[str, str]
) -> tuple[Finding, ...]:
    """Add what was not measured, and correct what did not end well or computed something else."""
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


def _warnings(
    measurement: Measurement,
    findings: Sequence[Finding],
    groups: Sequence[Finding],
    accepted: Mapping[str, str],
) -> list[str]:
    told = list(measurement.warnings)
    if measurement.skipped:
        reasons = sorted(set(measurement.skipped.values()))
        told.append(
            f"{_cases(measurement.skipped, 'is', 'are')} skipped on both sides: {'; '.join(reasons[:3])}"
            + (" …" if len(reasons) > 3 else "")
        )
    if unsteady := measurement.unsteady():
        told.append(
            f"{_cases(unsteady, 'returns', 'return')} something else in every process, so nothing was said about "
            f"whether both sides compute the same: {', '.join(unsteady[:3])}{' …' if len(unsteady) > 3 else ''}"
        )
    known = {finding.id for finding in (*findings, *groups)}
    told += [f"--accept {case}: there is no such case" for case in accepted if case not in known]
    if measurement.values and measurement.control is None:
        told.append("no case could be the control: each failed, or allows too few calls to be compared with itself")
    elif measurement.values and measurement.control in measurement.failed:
        told.append("the control's case failed, so the control has fewer pairs than the cases")
    if measurement.setting.planted:
        told += [
            f"a slowdown of {100 * share:g} % was planted in the head of {case}"
            for case, share in measurement.setting.planted.items()
        ]
    return told


def _cases(them: Collection[str], one: str, many: str) -> str:
    return f"1 case {one}" if len(them) == 1 else f"{len(them)} cases {many}"


def described_machine() -> dict[str, Any]:
    """Tell on what machine this runs."""
    cpus = detect_cpus()
    found: dict[str, Any] = {
        "cpu_model": cpus.model,
        "logical_cpus": cpus.logical,
        "effective_cpus": cpus.effective,
        "system": platform.platform(),
        "date": datetime.now(UTC).date().isoformat(),
        "planted_control": PLANTED,
    }
    with suppress(AttributeError):  # Windows has none
        found["load"] = os.getloadavg()[0]
    return found
