"""The gate's findings for the terminal.

What needs action comes first; the last sentence sums up. Every line fits into the width, from 80 columns up: a
narrow terminal shows fewer columns, and then names are cut.
"""

from gradperf.gate.decision.findings import Finding, Outcome
from gradperf.gate.report.sentences import describe_control, describe_reasons, sentence
from gradperf.gate.report.words import COLUMNS, QUIET, by_urgency, counts_text, min_effect_text
from gradperf.text import table
from gradperf.text.printable import clean, cut_alike
from gradperf.text.table import Terminal

FEW = 12
"""Up to this many cases all are listed; of more, only those that changed or may have changed."""
CASES, GROUPS = "case", "group, as a whole"

_NAMES: table.Names[Finding] = table.Names(lambda finding: clean(finding.id), last=True, readable=40, cut=cut_alike)


def lines(outcome: Outcome, terminal: Terminal) -> list[str]:
    """Return the cases, groups, controls and warnings, and last the verdict in words."""
    cases, groups = by_urgency(outcome.cases), by_urgency(outcome.groups)
    listed = cases if len(cases) <= FEW else [case for case in cases if case.verdict not in QUIET]
    layout = table.layout(terminal, _NAMES, COLUMNS, [*listed, *groups], [CASES, GROUPS])
    shown: list[str] = []
    if any(control.result == "failed" for control in outcome.controls):
        shown += [*terminal.wrap("A control FAILED: do not believe the verdicts in this table."), ""]
    if listed:
        shown += layout.table(CASES, listed)
    if len(listed) < len(cases):
        quiet = counts_text([case for case in cases if case.verdict in QUIET])
        shown += terminal.wrap(f"and {quiet}" if listed else f"{len(cases)} cases: {quiet}")
    for reason in describe_reasons(cases):
        shown += terminal.wrap(reason)
    if groups:
        shown += ["", *layout.table(GROUPS, groups)]
    if any(finding.ratio is not None for finding in [*listed, *groups]):
        shown += ["", *layout.legend(effect=min_effect_text(outcome.plan))]
    notes = [*map(describe_control, outcome.controls), *(f"WARNING: {clean(text)}" for text in outcome.warnings)]
    if notes:
        shown.append("")
    for note in notes:
        shown += terminal.wrap(note)
    return [*shown, *([""] if shown else []), *terminal.wrap(sentence(outcome), indent="")]
