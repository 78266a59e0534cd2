"""The gate's findings in sentences, the same in the terminal, in a pull request and in an annotation.

None claims more than was shown. "No regression found" comes with the slowdown that would have been seen. A failed
control withdraws every verdict. What could not be compared stands first.
"""

import math
from collections import Counter
from collections.abc import Sequence
from statistics import median_high

from gradperf.gate.decision.findings import Control, Finding, Outcome
from gradperf.gate.report.words import (
    REASON_LENGTH,
    by_urgency,
    counts_text,
    exact_percent,
    finding_text,
    names_text,
    p_text,
    ratio_text,
)
from gradperf.text.printable import clean
from gradperf.text.quantities import percent, plural


def describe_control(control: Control) -> str:
    """Return a sentence: the true change, the measured one, and what follows."""
    measured = ratio_text(control.ratio, control.ci_low, control.ci_high)
    if control.result == "passed":
        return f"Control passed: {_truth(control)} gave {measured}."
    where = f"{_truth(control)} gave {measured}, p {p_text(control.p)}, in {clean(control.case)}"
    if control.result == "not seen":
        return f"Control NOT SEEN, this run is too noisy to call anything unchanged: {where}."
    return f"Control FAILED, no verdict of this run may be believed: {where}."


def _truth(control: Control) -> str:
    if control.effect:
        return f"a slowdown of {exact_percent(control.effect)} planted on purpose"
    return "base against base"


def describe_reasons(cases: Sequence[Finding]) -> list[str]:
    """Return why cases failed, differ or were accepted; cases with the same reason share a line."""
    shared: dict[tuple[str, str], list[Finding]] = {}
    for case in by_urgency(cases):
        if case.accepted:
            shared.setdefault((f"{case.verdict}, but accepted", case.accepted), []).append(case)
        if case.reason:
            shared.setdefault((case.verdict, case.reason), []).append(case)
    return [
        f"{what}, {names_text(same)}: {clean(reason, REASON_LENGTH)}" for (what, reason), same in shared.items()
    ]


def headline(outcome: Outcome) -> str:
    """Return the verdict in a few words."""
    cases = [case for case in outcome.cases if not case.accepted]
    counts = Counter(case.verdict for case in cases)
    of = f"of {plural(len(outcome.cases), 'case')}"
    match outcome.verdict:
        case "regressed" if counts["regressed"]:
            return f"{counts['regressed']} {of} slower"
        case "regressed":
            groups = [group for group in outcome.groups if group.verdict == "regressed" and not group.accepted]
            return f"no single case, but {names_text(by_urgency(groups)) or 'a group'} slower as a whole"
        case "untrusted" if counts["different"]:
            return f"{counts['different']} {of} with different results on the two sides"
        case "untrusted":
            return "a control failed, no verdict may be believed"
        case "incomplete" if lost := _lost(cases):
            return f"{len(lost)} {of} could not be compared"
        case "incomplete":
            return "nothing was compared" if not _timed(outcome.cases) else "not everything was compared"
        case "inconclusive":
            return f"no regression found, but too little is known {of}"
        case "improved" if counts["improved"]:
            return f"no regression found, {counts['improved']} {of} faster"
        case "improved":
            groups = [group for group in outcome.groups if group.verdict == "improved"]
            return f"no regression found, {names_text(by_urgency(groups)) or 'a group'} faster as a whole"
        case "identical" if counts["new"] or len(cases) < len(outcome.cases):
            return "what both sides have is identical"
        case "identical":
            return "nothing that a benchmark can import has changed"
        case _:
            return f"no regression found in {plural(len(outcome.cases), 'case')}"


def sentence(outcome: Outcome) -> str:
    """Return the verdict, what this run could have seen, and what the exit code means."""
    return " ".join([*_verdict(outcome), exit_sentence(outcome)])


def exit_sentence(outcome: Outcome) -> str:
    """Return what the exit code means."""
    if outcome.exit_code:
        return f"Exit code {outcome.exit_code}: the gate does not let it pass."
    return "Exit code 0: the gate lets it pass."


def _verdict(outcome: Outcome) -> list[str]:
    match outcome.verdict:
        case "identical":
            return _identical(outcome)
        case "untrusted":
            return _untrusted(outcome)
        case "incomplete":
            return [*_incomplete(outcome), *_slower(outcome)]
        case "regressed":
            lost = _incomplete(outcome) if _lost(outcome.cases) else []
            return [*_slower(outcome), *lost, *_seen(outcome), *_undecided(outcome)]
        case _:
            return [*_not_slower(outcome), *_seen(outcome), *_undecided(outcome)]


def _identical(outcome: Outcome) -> list[str]:
    if all(case.verdict == "identical" for case in outcome.cases):
        return ["Nothing that a benchmark can import has changed: identical, not timed."]
    return [f"What both sides have is identical, not timed: {counts_text(outcome.cases)}."]


def _timed(cases: Sequence[Finding]) -> list[Finding]:
    return [case for case in cases if case.ratio is not None]


def _lost(cases: Sequence[Finding]) -> list[Finding]:
    return [case for case in by_urgency(cases) if case.verdict in ("failed", "removed") and not case.accepted]


def _untrusted(outcome: Outcome) -> list[str]:
    sentences = []
    for control in outcome.controls:
        if control.result == "failed":
            measured = ratio_text(control.ratio, control.ci_low, control.ci_high)
            sentences.append(f"Untrusted: {_truth(control)} gave {measured}: believe no verdict of this run.")
    different = [case for case in by_urgency(outcome.cases) if case.verdict == "different" and not case.accepted]
    if different:
        sentences.append(
            f"Untrusted: the two sides return different results, so their times do not compare, in "
            f"{len(different)} of {plural(len(outcome.cases), 'case')}: {names_text(different)}."
        )
    return sentences or ["Untrusted: believe no verdict of this run; the warnings say why."]


def _incomplete(outcome: Outcome) -> list[str]:
    lost = _lost(outcome.cases)
    if not lost:
        timed = len(_timed(outcome.cases))
        return [f"Incomplete: {'not everything' if timed else 'nothing'} was compared."]
    counted = (
        f"Incomplete: {len(lost)} of {plural(len(outcome.cases), 'case')} could not be compared: {names_text(lost)}"
    )
    # The first line only: the whole traceback stands beside the case.
    reasons = list(
        dict.fromkeys(clean(case.reason.strip().split("\n")[0], REASON_LENGTH) for case in lost if case.reason)
    )
    return [
        f"{counted} ({reasons[0]}{', and other reasons' if len(reasons) > 1 else ''})."
        if reasons
        else f"{counted}."
    ]


def _slower(outcome: Outcome) -> list[str]:
    """Name the worst case and the worst group."""
    cases, groups = (
        [one for one in by_urgency(found) if one.verdict == "regressed" and not one.accepted]
        for found in (outcome.cases, outcome.groups)
    )
    sentences = []
    if cases:
        others = f"{len(cases)} of {plural(len(outcome.cases), 'case')} regressed"
        worst = "the worst is " if len(cases) > 1 else ""
        sentences.append(f"{others}: {worst}{clean(cases[0].id)}, {finding_text(cases[0])}.")
    if groups:
        members = sum(case.group == groups[0].id for case in outcome.cases)
        of = f" ({plural(members, 'case')})" if members else ""
        but = "So did" if cases else "No single case regressed, but"
        did = "" if cases else "did "
        worst = f", the worst of {len(groups)} groups" if groups[1:] else ""
        sentences.append(
            f"{but} the group {clean(groups[0].id)}{of} {did}as a whole{worst}: {finding_text(groups[0])}."
        )
    if not sentences and outcome.verdict == "regressed":
        sentences.append("Regressed.")
    return sentences


def _not_slower(outcome: Outcome) -> list[str]:
    sentences = [f"No regression found in {plural(len(outcome.cases), 'case')}: {counts_text(outcome.cases)}."]
    for what, findings in (("Most improved", outcome.cases), ("Most improved group", outcome.groups)):
        improved = [one for one in by_urgency(findings) if one.verdict == "improved" and not one.accepted]
        if improved:
            sentences.append(f"{what}: {clean(improved[0].id)}, {finding_text(improved[0])}.")
    accepted = [case for case in by_urgency(outcome.cases) if case.accepted]
    if accepted:
        sentences.append(f"Not counted, because accepted: {names_text(accepted)}.")
    if outcome.verdict == "inconclusive":
        sentences.append("That none is slower was not shown.")
    return sentences


def _seen(outcome: Outcome) -> list[str]:
    """Return the slowdown that this run could have seen: "no regression" means no more than that."""
    known = [
        case.smallest_visible_change
        for case in outcome.cases
        if case.smallest_visible_change is not None and math.isfinite(case.smallest_visible_change)
    ]
    if not known:
        return ["How small a slowdown it would have seen is not known."] if _timed(outcome.cases) else []
    half, every = percent(median_high(known)), percent(max(known))
    if half == every:
        return [f"A slowdown of {half} would have been seen, four times out of five."]
    whole = (
        "in all of them" if len(known) == len(_timed(outcome.cases)) else f"in the {len(known)} where that is known"
    )
    half = f"A slowdown of {half} would have been seen in half of the timed cases"
    return [f"{half}, one of {every} {whole}, each four times out of five."]


def _undecided(outcome: Outcome) -> list[str]:
    unstable, inconclusive = (
        [case for case in by_urgency(outcome.cases) if case.verdict == verdict and not case.accepted]
        for verdict in ("unstable", "inconclusive")
    )
    sentences = []
    if inconclusive:
        sentences.append(
            f"Of {plural(len(inconclusive), 'case')} this run cannot tell whether there was a change: "
            f"{names_text(inconclusive)}."
        )
    if unstable:
        sentences.append(
            f"Of {plural(len(unstable), 'case')} it can tell nothing, not even a change of 10 %: "
            f"{names_text(unstable)}."
        )
    return sentences
