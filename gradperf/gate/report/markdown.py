"""The gate's findings as Markdown: a comment on a pull request, or the summary of a step.

It fits into a comment on GitHub; what did not fit is counted. Names and reasons are escaped, so that nothing in
them can end a line, a cell or a tag.
"""

import html
import math
import shlex
from collections.abc import Callable, Mapping, Sequence

from gradperf.gate.decision.findings import Finding, Outcome
from gradperf.gate.report.sentences import describe_control, describe_reasons, exit_text, headline, summary
from gradperf.gate.report.words import (
    QUIET,
    by_urgency,
    counts_text,
    exact_percent,
    label,
    measured_text,
    min_effect_text,
    slowdown_p,
    visible_text,
)
from gradperf.text import quantities
from gradperf.text.escaping import markdown as escaped
from gradperf.text.printable import NONE, clean
from gradperf.text.quantities import plural

LIMIT = 65_000
"""Characters of the Markdown: GitHub takes 65,536 in a comment."""
LONGEST_NAME = 200
MOST_SHOWN = 20
"""Most warnings, and most rows outside ``<details>``."""


def markdown(outcome: Outcome) -> str:
    """Return a comment for a pull request: the verdict and what needs action; the rest is folded."""
    cases, groups = by_urgency(outcome.cases), by_urgency(outcome.groups)
    moved = [group for group in groups if group.verdict in ("regressed", "improved")]
    matters = by_urgency([case for case in cases if case.verdict not in QUIET] + moved)
    page = _Page(LIMIT - 1_000)  # the rest is for the notes that something was left out
    page.add(f"## gradperf gate: {outcome.verdict} – {escaped(headline(outcome), 500)}", "")
    page.add(escaped(f"{summary(outcome)} {exit_text(outcome)}".strip(), 4_000), "")
    for control in outcome.controls:
        if control.result != "passed":
            page.add(f"> **{escaped(describe_control(control), 1_000)}**", "")
    for warning in outcome.warnings[:MOST_SHOWN]:
        page.add(f"> **Warning:** {escaped(warning, 1_000)}", "")
    if (more := len(outcome.warnings) - MOST_SHOWN) > 0:
        page.add(f"> {more} more warnings are in the JSON record.", "")
    if matters:
        page.rows(_heads(_BRIEF), [_row(_BRIEF, one, whole=one in groups) for one in matters[:MOST_SHOWN]])
        if (more := len(matters) - MOST_SHOWN) > 0:
            page.add("", f"{more} more that may have changed are in the tables below.")
        page.add("")
    if reasons := describe_reasons(cases)[:MOST_SHOWN]:
        for reason in reasons:
            page.add(f"- {escaped(reason, 1_000)}")
        page.add("")
    page.details("How to read and repeat this", [*_reading(outcome), "", *_repeating(outcome)])
    if outcome.controls:
        page.details("Controls", [f"- {escaped(describe_control(control), 1_000)}" for control in outcome.controls])
    if groups:
        summary_text = f"{plural(len(groups), 'group')}: {counts_text(groups)}"
        page.details(summary_text, _heads(_WHOLE), [_row(_WHOLE, group) for group in groups])
    if cases:
        summary_text = f"{plural(len(cases), 'case')}: {counts_text(cases)}"
        page.details(summary_text, _heads(_TIMED), [_row(_TIMED, case) for case in cases])
    return page.text()


_Columns = Mapping[str, Callable[[Finding], str]]
"""By head, the cells of a table. Numbers stand on the right."""


def _time(seconds: float | None) -> str:
    return quantities.duration(seconds) if seconds and 0 < seconds < math.inf else NONE


_BRIEF: _Columns = {"verdict": label, "head against base": measured_text, "would have shown": visible_text}
_WHOLE: _Columns = {**_BRIEF, "p": slowdown_p, "pairs": lambda finding: str(finding.pairs or NONE)}
_TIMED: _Columns = {
    **_WHOLE,
    "base": lambda finding: _time(finding.base_s),
    "head": lambda finding: _time(finding.head_s),
}


def _heads(columns: _Columns) -> list[str]:
    return [
        f"| {' | '.join([*columns, 'name'])} |",
        f"|{'|'.join('---' if cell in (label, measured_text) else '---:' for cell in columns.values())}|---|",
    ]


def _row(columns: _Columns, finding: Finding, whole: bool = False) -> str:
    cells = [html.escape(cell(finding)) for cell in columns.values()]
    name = f"{'the whole group ' if whole else ''}<code>{escaped(finding.id, LONGEST_NAME)}</code>"
    return f"| {' | '.join([*cells, name])} |"


def _reading(outcome: Outcome) -> list[str]:
    bounds = outcome.plan.get("equivalence")
    within = f" of ±{exact_percent(bounds)}" if isinstance(bounds, int | float) else ""
    proven = f"a slowdown{min_effect_text(outcome.plan)} was proven on fresh pairs of processes"
    return [
        "- 1.07× slower (between 1.05 and 1.09): a call takes 1.07 times as long; the interval holds at 95 %.",
        f"- regressed: {proven} (p, adjusted for all cases); unchanged: the interval is within the bounds{within}.",
        "- would have shown: this run would have called such a slowdown regressed four times out of five.",
        "- p: the probability of such values without such a slowdown; pairs: of processes, one for each side.",
    ]


def _repeating(outcome: Outcome) -> list[str]:
    facts = {key: value for key, value in outcome.environment.items() if isinstance(value, str | int | float)}
    if command := outcome.environment.get("command"):
        facts["command"] = command if isinstance(command, str) else shlex.join(map(str, command))
    lines = [
        escaped(f"{clean(str(key), 100)}: {clean(str(value), 1_000)}") for key, value in list(facts.items())[:30]
    ]
    described = ["", "<pre>", *lines, "</pre>"] if lines else []
    return [f"The random choices came from the seed {outcome.seed}; the noise will differ.", *described]


class _Page:
    """Markdown up to a limit: what does not fit is left out and counted."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._lines: list[str] = []
        self._left_out = 0

    def add(self, *lines: str) -> bool:
        """Add all of the lines, or none."""
        length = sum(len(line) + 1 for line in lines)
        fits = length <= self._room
        if fits:
            self._room -= length
            self._lines += lines
        else:
            self._left_out += 1
        return fits

    def rows(self, heads: Sequence[str], rows: Sequence[str]) -> None:
        """Add the heads, then as many rows as fit, and the number of the others."""
        if not self.add(*heads):
            return
        for index, row in enumerate(rows):
            if not self.add(row):
                self._left_out -= 1  # counted here
                self._lines += ["", f"GitHub has no room for {len(rows) - index} more; the JSON record has them."]
                return

    def details(self, summary: str, lines: Sequence[str], rows: Sequence[str] = ()) -> None:
        """Add lines that are folded away under a summary, and rows as :meth:`rows`."""
        self._room -= (end := len("\n</details>\n\n"))
        if self.add(f"<details><summary>{escaped(summary)}</summary>", ""):
            self.rows(lines, rows)
            self._lines += ["", "</details>", ""]
        else:
            self._room += end

    def text(self) -> str:
        """Return the whole page."""
        if self._left_out:
            self._lines += [f"{plural(self._left_out, 'part')} did not fit; the JSON record has everything."]
        return "\n".join(self._lines).rstrip() + "\n"
