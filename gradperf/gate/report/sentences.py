"""The gate's findings in sentences, the same in the terminal, in a pull request and in an annotation.

"No regression found" comes with the slowdown that would have been seen.
"""

import math
from collections.abc import Sequence
from statistics import median_high

from gradperf.gate.decision.findings import Control, Finding, Outcome
from gradperf.gate.report.words import (
    LOST,
    REASON_LENGTH,
    by_urgency,
    counts_text,
    exact_percent,
    measured_text,
    names_text,
    not_accepted,
    p_text,
)
from gradperf.text.printable import clean
from gradperf.text.quantities import percent, plural


def describe_control(control: Control) -> str:
    """Return a sentence: the true change, the measured one, and what follows."""
    if control.ratio is None and control.result == "not seen":
        return f"Control NOT MADE, so nothing may be called unchanged: {_control_name(control)} has no value."
    result = _control_result(control)
    if control.result == "passed":
        return f"Control passed: {result}."
    result = f"{result}, p {p_text(control.p)}, in {clean(control.case)}"
    if control.result == "not seen":
        why = "this run measured something else" if _is_too_much(control) else "this run is too noisy or too short"
        return f"Control NOT SEEN, {why}, so nothing may be called unchanged: {result}.{_meaning(control)}"
    return f"Control FAILED, no verdict of this run may be believed: {result}.{_meaning(control)}"


def _control_result(control: Control) -> str:
    return f"{_control_name(control)} gave {measured_text(control)}"


def _control_name(control: Control) -> str:
    return f"a slowdown of {exact_percent(control.effect)} planted on purpose" if control.effect else control.name


def _is_too_much(control: Control) -> bool:
    """Return whether far more than the planted slowdown was measured."""
    return control.effect > 0 and control.ratio is not None and control.ratio > 1 + 2 * control.effect


def _meaning(control: Control) -> str:
    """Return what usually makes a planted slowdown too large."""
    if not _is_too_much(control):
        return ""
    return (
        " Usually the benchmark does not wait for its work (in JAX: block_until_ready), so that a turn also times "
        "work of earlier calls."
    )


def describe_reasons(cases: Sequence[Finding]) -> list[str]:
    """Return why cases failed, differ or were accepted, and their speeds; the cases of one reason share a line."""
    shared: dict[tuple[str, str], list[Finding]] = {}
    for case in by_urgency(cases):
        if case.accepted:
            shared.setdefault((f"{case.verdict}, but accepted", case.accepted), []).append(case)
        if case.reason:
            shared.setdefault((case.verdict, case.reason), []).append(case)
        if case.modes:
            shared.setdefault(("two speeds", case.modes), []).append(case)
    return [
        f"{what}, {names_text(same)}: {clean(reason, REASON_LENGTH)}" for (what, reason), same in shared.items()
    ]


def headline(outcome: Outcome) -> str:
    """Return the verdict in a few words."""
    cases, groups = outcome.cases, outcome.groups
    of = f"of {plural(len(cases), 'case')}"
    match outcome.verdict:
        case "regressed":
            lost = not_accepted(cases, *LOST)
            more = f", {len(lost)} could not be compared" if lost else ""
            if slower := not_accepted(cases, "regressed"):
                return f"{len(slower)} {of} slower{more}"
            slower = not_accepted(groups, "regressed")
            return f"no single case, but {names_text(slower) or 'a group'} slower as a whole{more}"
        case "untrusted":
            if different := not_accepted(cases, "different"):
                return f"{len(different)} {of} with different results on the two sides"
            return "a control failed, no verdict may be believed"
        case "incomplete":
            if lost := not_accepted(cases, *LOST):
                return f"{len(lost)} {of} could not be compared"
            return f"{'not everything' if _measured(outcome) else 'nothing'} was compared"
        case "suspect":
            if slower := not_accepted(cases, "suspect"):
                return f"{len(slower)} {of} probably slower, not proven"
            return (
                f"{names_text(not_accepted(groups, 'suspect')) or 'a group'} probably slower as a whole, not proven"
            )
        case "inconclusive" if _saw_nothing(outcome):
            return "nothing was shown: the planted slowdown was not seen"
        case "inconclusive":
            unclear = [case for case in cases if case.verdict in ("inconclusive", "unstable")]
            if not unclear:
                return f"no regression found, but too little is known {of} as a whole"
            return f"no regression found, but too little is known of {len(unclear)} {of}"
        case "improved":
            if faster := not_accepted(cases, "improved"):
                return f"no regression found, {len(faster)} {of} faster"
            faster = not_accepted(groups, "improved")
            return f"no regression found, {names_text(faster) or 'a group'} faster as a whole"
        case "identical":
            if any(case.verdict == "new" or case.accepted for case in cases):
                return "what both sides have is identical, so it was not timed"
            return "nothing that a benchmark can import has changed, so nothing was timed"
        case "unchanged":
            return f"no regression found in {plural(len(cases), 'case')}"
        case _:  # claim nothing
            return counts_text(cases) or "nothing was compared"


def summary(outcome: Outcome) -> str:
    """Return what no single case shows: the slowdown that would have been seen."""
    if outcome.verdict in ("untrusted", "incomplete", "identical"):
        return ""
    open_end = ["It is not shown that none is slower."] if outcome.verdict == "inconclusive" else []
    return " ".join([*open_end, *_visible(outcome)])


def exit_text(outcome: Outcome) -> str:
    """Return what the exit code means."""
    return f"Exit code {outcome.exit_code}: the gate {'does not let' if outcome.exit_code else 'lets'} it pass."


def _measured(outcome: Outcome) -> int:
    return sum(case.ratio is not None for case in outcome.cases)


def _saw_nothing(outcome: Outcome) -> bool:
    return any(control.result == "not seen" for control in outcome.controls)


def _visible(outcome: Outcome) -> list[str]:
    """Return the slowdown that this run could have seen."""
    changes = [case.smallest_visible_change for case in outcome.cases]
    known = [change for change in changes if change is not None and math.isfinite(change)]
    timed = _measured(outcome)
    if not known:
        return ["It is not known how small a slowdown would have been seen."] if timed else []
    half, every = percent(median_high(known)), percent(max(known))
    if half == every:
        return [f"A slowdown of {half} would have been seen, four times out of five."]
    where = "in all of them" if len(known) == timed else f"in the {len(known)} where that is known"
    half = f"A slowdown of {half} would have been seen in half of the timed cases"
    return [f"{half}, one of {every} {where}, each four times out of five."]
