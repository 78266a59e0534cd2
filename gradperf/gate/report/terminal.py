"""What the gate found, for the terminal.

What needs action stands first, and the last sentence says it all. Every line fits into the width, from 80 columns
up: a name alone is ever cut, and a narrow terminal does without the columns that tell least.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from textwrap import wrap

from gradperf.gate.decision.findings import Finding, Outcome
from gradperf.gate.report.sentences import control_told, reasons_told, sentence
from gradperf.gate.report.words import (
    QUIET,
    by_urgency,
    clean,
    counts_told,
    effect_told,
    finding_told,
    fitted,
    label,
    pairs_told,
    plain,
    ratio_told,
    slowdown_p_told,
    visible_told,
)

NARROWEST = 80
FEW = 12
"""Up to so many cases, all of them are listed; of more, only those that changed or may have."""
GAP = 2
GROUPS = "group, as a whole"
NO_BREAK = "\N{NO-BREAK SPACE}"
READABLE = 40
"""Columns that a name should have; narrower ones cost the less telling columns."""


@dataclass(frozen=True)
class _Column:
    head: str
    cell: Callable[[Finding], str]
    legend: str = ""
    """What it is, after its head."""
    right: bool = False
    rank: int = 0
    """0: always shown; else the order in which columns give way to the names."""


def _short_ratio(finding: Finding) -> str:
    return ratio_told(finding.ratio, finding.ci_low, finding.ci_high, brief=True)


_RATIO = _Column("head against base", finding_told, "in brackets the 95 % interval")
_SHORT_RATIO = replace(_RATIO, cell=_short_ratio)
_COLUMNS = (
    _Column("verdict", label),
    _RATIO,
    _Column(
        "p",
        slowdown_p_told,
        "probability of this without a slowdown{effect}, adjusted for all cases",
        right=True,
        rank=2,
    ),
    _Column("pairs", pairs_told, "of processes", right=True, rank=1),
    _Column(
        "visible", visible_told, "slowdown that would have been called regressed four times out of five", right=True
    ),
)


def table(outcome: Outcome, width: int, ascii_only: bool) -> list[str]:
    """Give the cases, groups, controls and warnings, and last the verdict in words.

    Lines keep to ``width`` from 80 columns up; less is taken for 80. With ``ascii_only`` they hold no other
    character.
    """
    cases, groups = by_urgency(outcome.cases), by_urgency(outcome.groups)
    shown = cases if len(cases) <= FEW else [case for case in cases if case.verdict not in QUIET]
    layout = _layout(max(width, NARROWEST), ascii_only, [*shown, *groups])
    told: list[str] = []
    if any(control.result == "failed" for control in outcome.controls):
        told += [*layout.wrapped("A control FAILED: do not believe the verdicts in this table."), ""]
    if shown:
        told += layout.rows("case", shown)
    if len(shown) < len(cases):
        quiet = counts_told([case for case in cases if case.verdict in QUIET])
        told += layout.wrapped(f"and {quiet}" if shown else f"{len(cases)} cases: {quiet}")
    for reason in reasons_told(cases):
        told += layout.wrapped(reason)
    if groups:
        told += ["", *layout.rows(GROUPS, groups)]
    if any(finding.ratio is not None for finding in [*shown, *groups]):
        legend = "; ".join(f"{column.head}: {column.legend}" for column in layout.columns if column.legend)
        told += ["", *layout.wrapped(legend.format(effect=effect_told(outcome.plan)), indent="")]
    notes = [control_told(control) for control in outcome.controls]
    notes += [f"WARNING: {clean(warning)}" for warning in outcome.warnings]
    if notes:
        told.append("")
    for note in notes:
        told += layout.wrapped(note)
    return [*told, *([""] if told else []), *layout.wrapped(sentence(outcome), indent="")]


@dataclass(frozen=True)
class _Layout:
    """What the tables of a run have in common, so that they are aligned with each other."""

    width: int
    ascii_only: bool
    columns: tuple[_Column, ...] = ()
    widths: tuple[int, ...] = ()

    @property
    def room(self) -> int:
        """What is left of a line for a name."""
        return self.width - sum(width + GAP for width in self.widths)

    def cell(self, column: _Column, finding: Finding) -> str:
        """Give the text of a cell."""
        return plain(column.cell(finding), self.ascii_only)

    def name(self, finding: Finding) -> str:
        """Give the whole name of a case or a group."""
        return plain(clean(finding.id), self.ascii_only)

    def wrapped(self, text: str, indent: str = "  ") -> list[str]:
        """Give ``text`` in as many lines as it takes, no number parted from its %."""
        held = plain(text, self.ascii_only).replace(" %", f"{NO_BREAK}%")
        lines = wrap(held, self.width, subsequent_indent=indent, break_on_hyphens=False)
        return [line.replace(NO_BREAK, " ") for line in lines]

    def line(self, cells: Iterable[str], name: str) -> str:
        """Give a line of a table."""
        padded = (
            cell.rjust(width) if column.right else cell.ljust(width)
            for column, width, cell in zip(self.columns, self.widths, cells, strict=True)
        )
        return "".join(f"{cell}{' ' * GAP}" for cell in padded) + name

    def rows(self, head: str, findings: Sequence[Finding]) -> list[str]:
        """Give the heads and a line for each finding, its name last."""
        names = fitted([self.name(finding) for finding in findings], self.room, plain("…", self.ascii_only))
        return [
            self.line((column.head for column in self.columns), head),
            *(
                self.line((self.cell(column, finding) for column in self.columns), name)
                for finding, name in zip(findings, names, strict=True)
            ),
        ]


def _layout(width: int, ascii_only: bool, findings: Sequence[Finding]) -> _Layout:
    """Choose the columns: those that tell least give way until names can be read."""
    layout = _Layout(width, ascii_only)
    longest = max([len(GROUPS), *(len(layout.name(finding)) for finding in findings)])
    ranks = sorted(column.rank for column in _COLUMNS if column.rank)
    choices = [_COLUMNS, tuple(_SHORT_RATIO if column is _RATIO else column for column in _COLUMNS)]
    for rank in ranks:
        choices.append(tuple(column for column in choices[-1] if not 0 < column.rank <= rank))
    for columns in choices:
        widths = (
            max([len(column.head), *(len(layout.cell(column, finding)) for finding in findings)])
            for column in columns
        )
        layout = replace(layout, columns=columns, widths=tuple(widths))
        if layout.room >= min(longest, READABLE):
            break
    return layout
