"""Runs the gate once, from the two sides to the outcome.

The outcome reports every case. A case that fails on either side is not measured again. A case that only the head
has is new; one that only the base has was removed. If a process is lost, its replicate is measured again without
the case that it was running.
"""

import math
import os
import platform
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from statistics import median
from typing import Any

from gradperf.gate.decision import judge, trial
from gradperf.gate.decision.findings import Finding, Outcome, Overall
from gradperf.gate.decision.modes import describe_modes
from gradperf.gate.decision.trial import PLANTED, Pair, Phase, Plan
from gradperf.gate.measuring import provenance, shadowed
from gradperf.gate.measuring.replicate import Replicate, Setting, collect, replicate
from gradperf.machine import load
from gradperf.machine.cpus import detect_cpus
from gradperf.pairs import planting
from gradperf.pairs.child.fingerprint import difference
from gradperf.pairs.process import SideError
from gradperf.pairs.turns import Value
from gradperf.progress import steps
from gradperf.progress.display import Display
from gradperf.text.patterns import means
from gradperf.text.printable import clean
from gradperf.text.quantities import plural

MOST_REASONS, REASON_LENGTH = 5, 200
"""Reasons that a warning names, and the characters of each that it shows."""


@dataclass(frozen=True)
class Request:
    """What one run of the gate is asked to do."""

    setting: Setting
    plan: Plan
    seed: int
    """Of the random choices."""
    planted: Mapping[str, float] = field(default_factory=dict)
    """Slowdowns to add to the head, by case or pattern."""
    accepted: Mapping[str, str] = field(default_factory=dict)
    """By case, group or changed file, or by a pattern for them: the user's reason to accept any change of it."""
    strict: bool = False
    """Whether an inconclusive case changes the exit code."""
    budget_s: float | None = None
    """Seconds that the run may take; None for no limit."""
    list_only: bool = False
    """Whether to list the cases and measure none, because both sides are identical."""
    environment: Mapping[str, Any] = field(default_factory=dict)
    """Facts about the sides and the machine, for the record."""
    warnings: tuple[str, ...] = ()


def run(request: Request, display: Display) -> Outcome:
    """Compare the two sides, or list the cases if they are identical; a side that cannot run is an outcome too."""
    try:
        display.show("collecting the benchmarks")
        return _identical(request) if request.list_only else compare(request, display)
    except SideError as error:
        return _unmeasured(request, "incomplete", 13, (), (str(error), *request.warnings))


def _identical(request: Request) -> Outcome:
    (listed,), notes = collect([request.setting.head], request.setting)
    cases = [Finding(case["id"], "identical", case["group"]) for case in listed if not case["skipped"]]
    if not cases:
        raise SideError("there is no benchmark: the arguments of pytest leave none")
    return _unmeasured(request, "identical", 0, cases, (*request.warnings, *notes))


def _unmeasured(
    request: Request, verdict: Overall, code: int, cases: Iterable[Finding], warnings: tuple[str, ...]
) -> Outcome:
    plan, environment = asdict(request.plan), request.environment
    return Outcome(verdict, code, tuple(cases), (), (), warnings, plan, request.seed, environment)


@dataclass(frozen=True)
class Cases:
    """The cases that both sides have, and those that only one has."""

    both: Sequence[str]
    """Those marked as control are first."""
    groups: Mapping[str, Sequence[str]]
    """The same, by group."""
    new: Sequence[str]
    removed: Sequence[str]
    skipped: Mapping[str, str]
    """Skipped on both sides, with the reason."""


def cases_of(base: Sequence[Mapping[str, Any]], head: Sequence[Mapping[str, Any]]) -> Cases:
    """Match the cases collected on the two sides; one that only one side skips counts as missing there."""
    in_base, in_head = ({case["id"]: case for case in side if not case["skipped"]} for side in (base, head))
    both = [id_ for id_ in in_head if id_ in in_base]
    groups = defaultdict(list)
    for id_ in both:
        groups[in_head[id_]["group"]].append(id_)
    return Cases(
        both=sorted(both, key=lambda id_: not in_head[id_]["control"]),  # the others keep their order
        groups=groups,
        new=[id_ for id_ in in_head if id_ not in in_base],
        removed=[id_ for id_ in in_base if id_ not in in_head],
        skipped={c["id"]: str(c["skipped"]) for c in head if c["skipped"] and c["id"] not in in_base},
    )


@dataclass
class Measurement:
    """Measures pairs of processes for the trial, and collects what the trial does not use."""

    setting: Setting
    """Its control is replaced by the next of ``controls`` until one has a value."""
    coin: random.Random
    plan: Plan
    deadline_s: float
    """On the clock of ``time.monotonic``; infinite for no limit. After it, no other case is begun."""
    display: Display
    controls: Sequence[str]
    """The cases that could be the control, best first."""
    skipped: dict[str, str]
    """By case: the reason."""
    failed: dict[str, str] = field(default_factory=dict)
    """By case: the reason."""
    values: dict[str, list[Value]] = field(default_factory=dict)
    durations_s: dict[Phase, list[float]] = field(default_factory=lambda: {"screen": [], "confirm": []})
    """Seconds of every replicate."""
    warnings: list[str] = field(default_factory=list)
    accepted: Mapping[str, str] = field(default_factory=dict)
    """By case or changed file: the user's reason."""
    was_cut_at_once: bool = False
    """Whether the time ran out in the first pair, so that nobody knows whether what changed was compared."""
    _has_control: bool = False
    _few_calls: set[str] = field(default_factory=set)
    _launch_s: float = 0.0
    """Of the last pair: a pair that would end before its first case is not begun."""

    def __call__(self, phase: Phase, cases: Sequence[str]) -> Pair | None:
        """Measure ``cases`` in one fresh pair of processes; None if there is not enough time left."""
        start_s = time.monotonic()
        if start_s + self._launch_s > self.deadline_s:
            return None
        measured = self._complete_replicate(cases, partial(self._show, phase, start_s))
        self.durations_s[phase].append(time.monotonic() - start_s)
        if self.setting.control in self.failed:
            measured.null = measured.planted = None
        self._choose_control(measured)
        log_ratios = {case: value.log_ratio for case, value in measured.values.items() if case not in self.failed}
        return Pair(log_ratios, measured.null, measured.planted, frozenset(measured.not_begun))

    def _complete_replicate(self, cases: Sequence[str], show: Callable[[str], None]) -> Replicate:
        """Measure replicates until one gets through all cases that neither failed nor were skipped."""
        is_first = not self.durations_s["screen"]
        broken = True
        while broken:
            left = [case for case in cases if self._is_fit(case)]
            setting = self.setting if self._is_fit(self.setting.control) else replace(self.setting, control=None)
            measured = replicate(
                left, setting, self.coin, repeats=not is_first, deadline_s=self.deadline_s, show=show
            )
            self.failed.update(measured.failed)
            self.skipped.update(measured.skipped)
            broken = measured.broken
        self._launch_s = measured.launch_s
        if is_first and measured.not_begun:
            self.was_cut_at_once = True
        elif is_first:
            self._check_origins(measured)
        for case, value in measured.values.items():
            self.values.setdefault(case, []).append(value)
        return measured

    def _check_origins(self, measured: Replicate) -> None:
        """Raise SideError if what was compared is not what changed."""
        setting, sides = self.setting, [self.setting.base, self.setting.head]
        if not measured.origins:
            return
        self.warnings += shadowed.check(setting.distributions, measured.origins, self.accepted)
        if setting.foreign is None:
            return
        self.warnings += provenance.check(
            sides, measured.origins, setting.changed, separate=setting.separate, accepted=self.accepted
        )
        if not measured.own_modules and not any(map(provenance.ran_own, sides)):
            message = (
                "neither side imported anything of the repository but its tests: if the project is installed as a "
                "copy, both sides ran that copy, and nothing was compared"
            )
            if setting.changes_code:
                raise SideError(f"{message}. `pip install -e .` makes it importable from its own files")
            self.warnings.append(message)

    def _is_fit(self, case: str | None) -> bool:
        return case not in self.failed and case not in self.skipped

    def _choose_control(self, measured: Replicate) -> None:
        """Replace an unfit control, but only before the first value: one control serves all pairs."""
        self._has_control |= measured.null is not None
        self._few_calls |= measured.few_calls
        if not self._has_control:
            fit = (case for case in self.controls if self._is_fit(case) and case not in self._few_calls)
            self.setting = replace(self.setting, control=next(fit, None))

    def _show(self, phase: Phase, start_s: float, now: str) -> None:
        """Show how far the run is, in a pair that began at ``start_s``, and what is done now."""
        durations_s = self.durations_s[phase]
        number = len(durations_s) + 1
        most = self.plan.screen if phase == "screen" else self.plan.confirm
        if number > most:
            most *= 2  # more pairs, for what looks slower and is not proven
        # The screen may be followed by the confirmation, which may end before its last pair.
        at_most, words = ("", "{} or more") if phase == "screen" else ("at most ", "at most {}")
        left_s = math.inf
        now_s = time.monotonic()
        if durations_s:
            left_s = max(0.0, (most - number + 1) * median(durations_s[-5:]) - (now_s - start_s))
        if self.deadline_s - now_s < left_s:
            left_s, words = max(0.0, self.deadline_s - now_s), "at most {}"
        left = steps.left(left_s if math.isfinite(left_s) else None, words)
        self.display.show(steps.line(f"{phase} {number} of {at_most}{most}", left, now=now))

    def seconds(self) -> dict[str, tuple[float, float]]:
        """Return the median seconds of one call on base and head, by case."""
        return {
            case: (median(value.base_s for value in values), median(value.head_s for value in values))
            for case, values in self.values.items()
        }


def different(values: Mapping[str, Sequence[Value]]) -> dict[str, str]:
    """Describe how base and head differ, by case, if each side returns the same in every pair."""
    return {
        case: apart
        for case, own in values.items()
        if not is_unsteady(own) and (apart := difference(*own[0].returned)) is not None
    }


def is_unsteady(values: Sequence[Value]) -> bool:
    """Return whether a side does not return the same in every process, so that the sides cannot be compared."""
    return any(
        difference(first, returned) is not None
        for value in values
        for first, returned in zip(values[0].returned, value.returned, strict=True)
    )


def compare(request: Request, display: Display) -> Outcome:
    """Measure and judge; raise :class:`SideError` if a side cannot run at all."""
    start_s, start = time.monotonic(), load.moment()
    setting, plan = request.setting, request.plan
    collected, notes = collect([setting.base, setting.head], setting)
    cases = cases_of(*collected)
    accepted = _named(request.accepted, [*cases.both, *cases.removed, *cases.groups, trial.ALL])
    measurement = Measurement(
        replace(
            setting, control=next(iter(cases.both), None), planted=planting.by_case(request.planted, cases.both)
        ),
        random.Random(request.seed),  # noqa: S311 - an order, not a secret
        plan,
        math.inf if request.budget_s is None else start_s + request.budget_s,
        display,
        cases.both,
        skipped=dict(cases.skipped),
        accepted=request.accepted,
    )
    warnings = [*request.warnings, *notes]
    if cases.both:
        display.say(f"{plural(len(cases.both), 'case')} on both sides")
        measured = trial.run(
            cases.groups, plan, measurement, apart=accepted, confirming=partial(setattr, measurement, "plan")
        )
        asked_for, plan = plan.confirm, measured.plan
        control, seconds = measurement.setting.control or "", measurement.seconds()
        modes = {case: describe_modes(values) for case, values in measurement.values.items()}
        findings, groups, controls = judge.judge(
            measured, plan, control_case=control, seconds=seconds, accepted=accepted, modes=modes
        )
        if measured.stopped:
            when = " in the first pair, which is too early for a verdict" if measurement.was_cut_at_once else ""
            warnings.append(
                f"the time budget ran out{when}; cases that were not decided by then are inconclusive, or suspect"
            )
        if plan.confirm > asked_for:
            warnings.append(
                f"{plural(measured.suspects, 'case or group looks slower', 'cases and groups look slower')}: "
                f"--confirm {asked_for} can prove none of so many, so up to {plan.confirm} fresh pairs were taken"
            )
    else:
        findings, groups, controls = (), (), ()
    if set(cases.both) <= measurement.skipped.keys():
        warnings.append("there is no benchmark that both sides have and run")
    findings = _completed(findings, cases, measurement, accepted)
    if not any(finding.pairs for finding in findings):  # that is the news, not that a control has no value either
        controls = tuple(control for control in controls if control.values)
    warnings += _warnings(measurement, (*findings, *groups), request.accepted)
    verdict, exit_code = judge.overall(
        findings, groups, controls, strict=request.strict, incomplete=measurement.was_cut_at_once
    )
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


def _named(accepted: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """Return the user's reason for each case or group that a key of ``accepted`` means; an exact key comes first.

    ``names`` are those of the cases and groups.
    """
    patterns = {name: reason for name in names for key, reason in accepted.items() if means(key, name)}
    return {**patterns, **{name: accepted[name] for name in patterns if name in accepted}}


def _completed(
    findings: Iterable[Finding], cases: Cases, measurement: Measurement, accepted: Mapping[str, str]
) -> tuple[Finding, ...]:
    """Add the cases that were not measured, and correct those that failed or returned different results."""
    failed, differs = measurement.failed, different(measurement.values)
    completed = []
    for finding in findings:
        id_ = finding.id
        if id_ in measurement.skipped:
            continue
        if id_ in failed:
            finding = Finding(id_, "failed", finding.group, reason=failed[id_], accepted=finding.accepted)
        elif id_ in differs:
            finding = replace(finding, verdict="different", reason=differs[id_])
        completed.append(finding)
    completed += [Finding(id_, "new") for id_ in cases.new]
    completed += [Finding(id_, "removed", accepted=accepted.get(id_, "")) for id_ in cases.removed]
    return tuple(completed)


def _warnings(measurement: Measurement, findings: Iterable[Finding], accepted: Mapping[str, str]) -> list[str]:
    warnings = list(measurement.warnings)
    if skipped := measurement.skipped:
        count = f"{plural(len(skipped), 'case')} {'is' if len(skipped) == 1 else 'are'}"
        warnings.append(f"{count} skipped on both sides: {_reasons(skipped.values())}")
    if unsteady := [case for case, values in measurement.values.items() if is_unsteady(values)]:
        count = f"{plural(len(unsteady), 'case')} {'does' if len(unsteady) == 1 else 'do'}"
        warnings.append(
            f"{count} not return the same in every process, so the results of the two sides were not compared: "
            f"{_first(unsteady)}"
        )
    known = [
        *(finding.id for finding in findings),
        *measurement.setting.changed,
        *measurement.setting.distributions,
    ]
    unknown = [key for key in accepted if not any(means(key, name) for name in known)]
    warnings += [f"--accept {key}: there is no such case" for key in unknown]
    if measurement.values and measurement.setting.control is None:
        warnings.append(
            "no case could be the control: each failed, or allows too few calls to be compared with itself"
        )
    elif measurement.values and measurement.setting.control in measurement.failed:
        warnings.append("the control's case failed, so the control has fewer pairs than the cases")
    warnings += [
        f"a slowdown of {100 * share:g} % was planted in the head of {case}"
        for case, share in measurement.setting.planted.items()
    ]
    return warnings


def _first(texts: Sequence[str]) -> str:
    """Join the first three texts."""
    return ", ".join(texts[:3]) + (" …" if len(texts) > 3 else "")


def _reasons(reasons: Iterable[str]) -> str:
    """Join the most frequent reasons, with the number of cases of each: ``no device (12); not there (1)``."""
    counts = Counter(clean(reason, REASON_LENGTH) for reason in reasons)
    if len(counts) == 1:
        return next(iter(counts))
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{reason} ({count})" for reason, count in ordered[:MOST_REASONS]]
    if left := sum(count for _, count in ordered[MOST_REASONS:]):
        shown.append(f"other reasons ({left})")
    return "; ".join(shown)


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
