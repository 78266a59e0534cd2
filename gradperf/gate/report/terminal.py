"""The gate's findings for the terminal.

What needs action stands first, and the last sentence sums up. Every line fits into the width, from 80 columns up:
only names are cut, and a narrow terminal shows fewer columns.
"""

from functools import partial

from gradperf.gate.decision.findings import Finding, Outcome
from gradperf.gate.report.sentences import describe_control, describe_reasons, sentence
from gradperf.gate.report.words import (
    QUIET,
    by_urgency,
    counts_text,
    finding_text,
    label,
    min_effect_text,
    pairs_text,
    slowdown_p_text,
    visible_text,
)
from gradperf.text import table
from gradperf.text.printable import clean, cut_alike
from gradperf.text.table import Column, Terminal

FEW = 12
"""Up to this many cases all are listed; of more, only those that changed or may have changed."""
CASES, GROUPS = "case", "group, as a whole"

_COLUMNS: tuple[Column[Finding], ...] = (
    Column("verdict", label, left=True),
    Column(
        "head against base",
        finding_text,
        "in brackets the 95 % interval",
        left=True,
        brief=partial(finding_text, brief=True),
    ),
    Column("p", slowdown_p_text, "probability of this without a slowdown{effect}, adjusted for all cases", rank=2),
    Column("pairs", pairs_text, "of processes", rank=1),
    Column("visible", visible_text, "slowdown that would have been called regressed four times out of five"),
)
_NAMES: table.Names[Finding] = table.Names(lambda finding: clean(finding.id), last=True, readable=40, cut=cut_alike)


def lines(outcome: Outcome, terminal: Terminal) -> list[str]:
    """Return the cases, groups, controls and warnings, and last the verdict in words."""
    cases, groups = by_urgency(outcome.cases), by_urgency(outcome.groups)
    listed = cases if len(cases) <= FEW else [case for case in cases if case.verdict not in QUIET]
    layout = table.layout(terminal, _NAMES, _COLUMNS, [*listed, *groups], [CASES, GROUPS])
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
    notes = [describe_control(control) for control in outcome.controls]
    notes += [f"WARNING: {clean(warning)}" for warning in outcome.warnings]
    if notes:
        shown.append("")
    for note in notes:
        shown += terminal.wrap(note)
    return [*shown, *([""] if shown else []), *terminal.wrap(sentence(outcome), indent="")]
