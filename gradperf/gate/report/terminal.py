"""The gate's findings for the terminal: first the verdict, then what needs a look, then all else in a few lines.

Every line fits into the width, from 80 columns up. Numbers are in words, so there is no legend.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gradperf.gate.decision.findings import Finding, Outcome
from gradperf.gate.report.sentences import describe_control, exit_text, headline, summary
from gradperf.gate.report.words import (
    MEANINGS,
    QUIET,
    REASON_LENGTH,
    URGENT,
    counts_text,
    facts_text,
    label,
    measured_text,
    urgency,
)
from gradperf.text.printable import clean, cut_alike
from gradperf.text.quantities import plural
from gradperf.text.table import Terminal

FEW = 12
"""Up to this many quiet findings are listed; more are counted. So are the later ones of those that may wait."""
INDENT = "  "


@dataclass(frozen=True)
class _Row:
    """A case, or a group as a whole."""

    finding: Finding
    name: str
    is_group: bool = False

    @property
    def is_quiet(self) -> bool:
        return self.finding.verdict in QUIET and not self.finding.accepted and not self.finding.modes


def lines(outcome: Outcome, terminal: Terminal) -> list[str]:
    """Return the verdict, the findings that need a look, the warnings, the other findings and the controls."""
    rows = sorted([*map(_case, outcome.cases), *_groups(outcome)], key=lambda row: urgency(row.finding))
    quiet = [row for row in rows if row.is_quiet]
    passed = [describe_control(control) for control in outcome.controls if control.result == "passed"]
    others = [describe_control(control) for control in outcome.controls if control.result != "passed"]
    paragraphs = [
        terminal.wrap(f"{outcome.verdict.upper()}: {headline(outcome)}."),
        _wrapped(others, terminal),
        terminal.wrap(summary(outcome), indent=""),
        *_sections([row for row in rows if not row.is_quiet], terminal),
        _wrapped([f"WARNING: {clean(text)}" for text in outcome.warnings], terminal),
        _listed(quiet, terminal) if len(quiet) <= FEW else _counted(quiet, terminal),
        _wrapped(passed, terminal),
        [exit_text(outcome)],
    ]
    return [line for paragraph in paragraphs if paragraph for line in ("", *paragraph)][1:]


def _wrapped(texts: Iterable[str], terminal: Terminal) -> list[str]:
    return [line for text in texts for line in terminal.wrap(text)]


def _case(finding: Finding) -> _Row:
    return _Row(finding, clean(finding.id))


def _groups(outcome: Outcome) -> Iterable[_Row]:
    for group in outcome.groups:
        members = sum(case.group == group.id for case in outcome.cases)
        whole = f"the {plural(members, 'case')} of {clean(group.id)}" if members else f"{clean(group.id)} cases"
        yield _Row(group, f"{whole} as a whole", is_group=True)  # the group without members is that of all


def _sections(rows: Sequence[_Row], terminal: Terminal) -> Iterable[list[str]]:
    """Yield the findings of each verdict, with all that is known of them."""
    by_label: dict[str, list[_Row]] = {}
    for row in rows:
        by_label.setdefault(label(row.finding), []).append(row)
    for same in by_label.values():
        first = same[0].finding
        heading = "Accepted, so not counted" if first.accepted else MEANINGS[first.verdict].heading
        if first.verdict in QUIET and first.modes:
            heading = f"{heading}, at two speeds"  # the others stand below, in a list of their own
        # What needs action is listed in full.
        shown = same if first.verdict in URGENT else same[:FEW]
        rest = [f"{INDENT}and {len(same) - len(shown)} more; --json FILE writes all"] if shown != same else []
        yield [f"{heading}:", *_described(shown, terminal), *rest]


def _described(rows: Sequence[_Row], terminal: Terminal) -> Iterable[str]:
    """Yield the name of each finding and what was measured; notes that several share stand once, below them."""
    by_notes: dict[tuple[str, ...], list[_Row]] = {}
    for row in rows:
        by_notes.setdefault(_notes(row.finding), []).append(row)
    for notes, same in by_notes.items():
        for row in same:
            yield from _whole_name(row.name, terminal)
            yield from terminal.wrap(facts_text(row.finding), indent=3 * INDENT, start=2 * INDENT)
        for note in notes:
            yield from terminal.wrap(note, indent=3 * INDENT, start=2 * INDENT)


def _whole_name(name: str, terminal: Terminal) -> Iterable[str]:
    """Yield a name in full: it may be needed for an option. It is broken where its parts meet, if possible."""
    left, room = terminal.plain(name), terminal.line_width - 2 * len(INDENT)
    indent = INDENT
    while len(left) > room:
        place = max(left.rfind("::", 1, room - 1) + 2, left.rfind("[", 1, room + 1))
        place = place if place > room // 4 else room
        yield indent + left[:place]
        left, indent = left[place:], 2 * INDENT
    yield indent + left


def _notes(finding: Finding) -> tuple[str, ...]:
    """Return what else is known of a finding, a sentence each."""
    accepted = f"{finding.verdict}, but accepted: {finding.accepted}" if finding.accepted else ""
    return tuple(clean(text, REASON_LENGTH) for text in (finding.reason, finding.modes, accepted) if text)


def _listed(rows: Sequence[_Row], terminal: Terminal) -> list[str]:
    """Return a line for each finding, below its verdict."""
    texts = [terminal.plain(measured_text(row.finding, brief=True)) for row in rows]
    width = max(map(len, texts), default=0)
    before = width + 2 * len(INDENT)
    names: dict[_Row, str] = {}
    for is_group in (False, True):  # each for itself: what all have in common is cut first
        some = [row for row in rows if row.is_group == is_group]
        names |= zip(some, _names(some, before, terminal), strict=True)
    lines = []
    for number, (row, text) in enumerate(zip(rows, texts, strict=True)):
        if number == 0 or row.finding.verdict != rows[number - 1].finding.verdict:
            lines.append(f"{MEANINGS[row.finding.verdict].heading}:")
        lines.append(f"{INDENT}{text.ljust(width)}{INDENT}{names[row]}")
    return lines


def _counted(rows: Sequence[_Row], terminal: Terminal) -> list[str]:
    """Return how many cases and groups have each verdict."""
    lines = []
    for is_group, one in ((False, "case"), (True, "group")):
        if some := [row.finding for row in rows if row.is_group == is_group]:
            verdicts = {finding.verdict for finding in some}
            counts = f" {verdicts.pop()}" if len(verdicts) == 1 else f": {counts_text(some)}"
            lines += terminal.wrap(plural(len(some), one) + counts)
    return lines


def _names(rows: Sequence[_Row], before: int, terminal: Terminal) -> list[str]:
    """Return the names, cut to what is left of a line after ``before`` characters."""
    names = [terminal.plain(row.name) for row in rows]
    return cut_alike(names, terminal.line_width - before, terminal.plain("…"))
