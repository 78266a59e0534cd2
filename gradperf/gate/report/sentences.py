"""The gate's findings in sentences, the same in the terminal, in a pull request and in an annotation.

"No regression found" comes with the slowdown that would have been seen. A failed control withdraws every verdict.
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
    if control.ratio is None:
        return f"Control not measured: {_control_name(control)}."
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
            if slower := not_accepted(cases, "regressed"):
                return f"{len(slower)} {of} slower"
            slower = not_accepted(groups, "regressed")
            return f"no single case, but {names_text(slower) or 'a group'} slower as a whole"
        case "untrusted":
            if different := not_accepted(cases, "different"):
                return f"{len(different)} {of} with different results on the two sides"
            return "a control failed, no verdict may be believed"
        case "incomplete":
            if lost := not_accepted(cases, *LOST):
                return f"{len(lost)} {of} could not be compared"
            return f"{_compared(outcome)} was compared"
        case "suspect":
            if slower := not_accepted(cases, "suspect"):
                return f"{len(slower)} {of} probably slower, not proven"
            return (
                f"{names_text(not_accepted(groups, 'suspect')) or 'a group'} probably slower as a whole, not proven"
            )
        case "inconclusive" if _saw_nothing(outcome):
            return "nothing was shown: the planted slowdown was not seen"
        case "inconclusive":
            return f"no regression found, but too little is known {of}"
        case "improved":
            if faster := not_accepted(cases, "improved"):
                return f"no regression found, {len(faster)} {of} faster"
            faster = not_accepted(groups, "improved")
            return f"no regression found, {names_text(faster) or 'a group'} faster as a whole"
        case "identical":
            if any(case.verdict == "new" or case.accepted for case in cases):
                return "what both sides have is identical"
            return "nothing that a benchmark can import has changed"
        case _:
            return f"no regression found in {plural(len(cases), 'case')}"


def sentence(outcome: Outcome) -> str:
    """Return the verdict, what this run could have seen, and what the exit code means."""
    effect = "does not let it pass" if outcome.exit_code else "lets it pass"
    return " ".join([*_verdict(outcome), f"Exit code {outcome.exit_code}: the gate {effect}."])


def _verdict(outcome: Outcome) -> list[str]:
    match outcome.verdict:
        case "identical":
            return [_identical(outcome)]
        case "untrusted":
            return _untrusted(outcome)
        case "incomplete":
            return [_incomplete(outcome), *_slower(outcome), *_suspect(outcome)]
        case "regressed":
            lost = [_incomplete(outcome)] if not_accepted(outcome.cases, *LOST) else []
            slower = _slower(outcome) or ["Regressed."]
            return [*slower, *lost, *_suspect(outcome), *_visible(outcome), *_undecided(outcome)]
        case "suspect":
            return [*_suspect(outcome), *_visible(outcome), *_undecided(outcome)]
        case "inconclusive" if _saw_nothing(outcome):
            why = "Nothing was shown, because this run did not see its own planted slowdown."
            return [why, f"The verdicts are: {counts_text(outcome.cases)}."]
        case _:
            return [*_not_slower(outcome), *_visible(outcome), *_undecided(outcome)]


def _identical(outcome: Outcome) -> str:
    if all(case.verdict == "identical" for case in outcome.cases):
        return "Nothing that a benchmark can import has changed: identical, not timed."
    return f"What both sides have is identical, not timed: {counts_text(outcome.cases)}."


def _measured(outcome: Outcome) -> int:
    return sum(case.ratio is not None for case in outcome.cases)


def _compared(outcome: Outcome) -> str:
    return "not everything" if _measured(outcome) else "nothing"


def _untrusted(outcome: Outcome) -> list[str]:
    sentences = [
        f"Untrusted: {_control_result(control)}: believe no verdict of this run.{_meaning(control)}"
        for control in outcome.controls
        if control.result == "failed"
    ]
    if different := not_accepted(outcome.cases, "different"):
        sentences.append(
            "Untrusted: the two sides return different results, so their times cannot be compared, in "
            f"{len(different)} of {plural(len(outcome.cases), 'case')}: {names_text(different)}."
        )
    return sentences or ["Untrusted: believe no verdict of this run; the warnings say why."]


def _incomplete(outcome: Outcome) -> str:
    lost = not_accepted(outcome.cases, *LOST)
    if not lost:
        return f"Incomplete: {_compared(outcome)} was compared; the warnings say why."
    # The first line only: the whole traceback is beside the case.
    reasons = {clean(case.reason.strip().split("\n")[0], REASON_LENGTH): None for case in lost if case.reason}
    why = f" ({next(iter(reasons))}{', and other reasons' if len(reasons) > 1 else ''})" if reasons else ""
    count = f"{len(lost)} of {plural(len(outcome.cases), 'case')}"
    return f"Incomplete: {count} could not be compared: {names_text(lost)}{why}."


def _slower(outcome: Outcome) -> list[str]:
    """Name the worst case and the worst group."""
    cases, groups = (not_accepted(findings, "regressed") for findings in (outcome.cases, outcome.groups))
    sentences = []
    if cases:
        count = f"{len(cases)} of {plural(len(outcome.cases), 'case')} regressed"
        worst = "the worst is " if len(cases) > 1 else ""
        sentences.append(f"{count}: {worst}{clean(cases[0].id)}, {measured_text(cases[0])}.")
    if groups:
        members = sum(case.group == groups[0].id for case in outcome.cases)
        group = clean(groups[0].id) + (f" ({plural(members, 'case')})" if members else "")
        did = f"So did the group {group}" if cases else f"No single case regressed, but the group {group} did"
        worst = f", the worst of {len(groups)} groups" if len(groups) > 1 else ""
        sentences.append(f"{did} as a whole{worst}: {measured_text(groups[0])}.")
    return sentences


def _saw_nothing(outcome: Outcome) -> bool:
    return any(control.result == "not seen" for control in outcome.controls)


def _suspect(outcome: Outcome) -> list[str]:
    """Name what looks slower but is not proven."""
    suspects = [one for findings in (outcome.cases, outcome.groups) for one in not_accepted(findings, "suspect")]
    if not suspects:
        return []
    does = "is" if len(suspects) == 1 else "are"
    worst = f"{clean(suspects[0].id)}, {measured_text(suspects[0])}"
    more = f", and {names_text(suspects[1:])}" if suspects[1:] else ""
    return [f"Probably slower, but not proven, {does} {worst}{more}. More pairs (--confirm) can decide it."]


def _not_slower(outcome: Outcome) -> list[str]:
    sentences = [f"No regression found in {plural(len(outcome.cases), 'case')}: {counts_text(outcome.cases)}."]
    for what, findings in (("Most improved", outcome.cases), ("Most improved group", outcome.groups)):
        if improved := not_accepted(findings, "improved"):
            sentences.append(f"{what}: {clean(improved[0].id)}, {measured_text(improved[0])}.")
    if accepted := [case for case in by_urgency(outcome.cases) if case.accepted]:
        sentences.append(f"Not counted, because accepted: {names_text(accepted)}.")
    if outcome.verdict == "inconclusive":
        sentences.append("It is not shown that none is slower.")
    return sentences


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


def _undecided(outcome: Outcome) -> list[str]:
    sentences = []
    if inconclusive := not_accepted(outcome.cases, "inconclusive"):
        count = plural(len(inconclusive), "case")
        sentences.append(f"This run cannot tell whether {count} changed: {names_text(inconclusive)}.")
    if unstable := not_accepted(outcome.cases, "unstable"):
        count = plural(len(unstable), "case")
        sentences.append(f"It cannot see even a change of 10 % in {count}: {names_text(unstable)}.")
    return sentences
