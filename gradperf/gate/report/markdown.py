"""The gate's findings as Markdown: a comment on a pull request, or the summary of a step.

It fits into a comment on GitHub; what did not fit is counted. Names and reasons are escaped: whatever they hold,
nothing in them can end a line, a cell or a tag.
"""

import html
import math
import re
import shlex
from collections.abc import Sequence

from gradperf.gate.decision.findings import Finding, Outcome
from gradperf.gate.report.sentences import describe_control, describe_reasons, headline, sentence
from gradperf.gate.report.words import (
    QUIET,
    by_urgency,
    counts_text,
    exact_percent,
    finding_text,
    label,
    min_effect_text,
    pairs_text,
    slowdown_p_text,
    visible_text,
)
from gradperf.text import quantities
from gradperf.text.printable import NONE, clean, cut_middle
from gradperf.text.quantities import plural

LIMIT = 65_000
"""Characters of the Markdown: GitHub takes 65,536 in a comment."""
LONGEST_NAME = 200
MOST_SHOWN = 20
"""Most warnings, and most rows outside ``<details>``."""


def markdown(outcome: Outcome) -> str:
    """Return a comment for a pull request: the verdict, what matters, and the rest folded away."""
    cases, groups = by_urgency(outcome.cases), by_urgency(outcome.groups)
    moved = [group for group in groups if group.verdict in ("regressed", "improved")]
    matters = by_urgency([case for case in cases if case.verdict not in QUIET] + moved)
    page = _Page(LIMIT - 1_000)  # the rest is for the notes that something was left out
    page.add(f"## gradperf gate: {outcome.verdict} – {_text(cut_middle(headline(outcome), 500))}", "")
    page.add(_text(cut_middle(sentence(outcome), 4_000)), "")
    for warning in outcome.warnings[:MOST_SHOWN]:
        page.add(f"> **Warning:** {_text(clean(warning, 1_000))}", "")
    if len(outcome.warnings) > MOST_SHOWN:
        page.add(f"> {len(outcome.warnings) - MOST_SHOWN} more warnings are in the JSON record.", "")
    if matters:
        page.rows(_HEADS, [_row(finding, whole=finding in groups) for finding in matters[:MOST_SHOWN]])
        if len(matters) > MOST_SHOWN:
            page.add("", f"{len(matters) - MOST_SHOWN} more that may have changed are in the tables below.")
        page.add("")
    if reasons := [f"- {_text(cut_middle(reason, 1_000))}" for reason in describe_reasons(cases)[:MOST_SHOWN]]:
        for reason in reasons:
            page.add(reason)
        page.add("")
    page.details("How to read and repeat this", [*_reading(outcome), "", *_repeating(outcome)])
    if outcome.controls:
        page.details(
            "Controls", [f"- {_text(cut_middle(describe_control(control), 1_000))}" for control in outcome.controls]
        )
    if groups:
        page.details(
            f"{plural(len(groups), 'group')}: {counts_text(groups)}", _HEADS, [_row(one) for one in groups]
        )
    if cases:
        heads = [f"{_HEADS[0]} base | head |", f"{_HEADS[1]}---:|---:|"]
        rows = [f"{_row(case)} {_time(case.base_s)} | {_time(case.head_s)} |" for case in cases]
        page.details(f"{plural(len(cases), 'case')}: {counts_text(cases)}", heads, rows)
    return page.text()


_HEADS = ["| verdict | head against base | p | pairs | visible | name |", "|---|---|---:|---:|---:|---|"]


def _row(finding: Finding, whole: bool = False) -> str:
    cells = [
        label(finding),
        finding_text(finding),
        slowdown_p_text(finding).replace("<", "&lt;"),
        pairs_text(finding),
        visible_text(finding).replace(">", "&gt;"),
        f"{'the whole group ' if whole else ''}<code>{_text(clean(finding.id, LONGEST_NAME))}</code>",
    ]
    return f"| {' | '.join(cells)} |"


def _time(seconds: float | None) -> str:
    known = seconds is not None and math.isfinite(seconds) and seconds >= 0
    return quantities.duration(seconds).replace("<", "&lt;").replace(">", "&gt;") if known and seconds else NONE


def _reading(outcome: Outcome) -> list[str]:
    bounds = outcome.plan.get("equivalence")
    within = f" of ±{exact_percent(bounds)}" if isinstance(bounds, int | float) else ""
    proven = f"a slowdown{min_effect_text(outcome.plan)} was proven on fresh pairs of processes"
    return [
        "- `1.07× slower (1.05–1.09)`: a call takes 1.07 times as long; the 95 % interval is 1.05 to 1.09 times.",
        f"- regressed: {proven} (p, adjusted for all cases); unchanged: the interval is within the bounds{within}.",
        "- visible: the smallest slowdown that this run would have called regressed four times out of five.",
    ]


def _repeating(outcome: Outcome) -> list[str]:
    lines = [f"The coin flips came from the seed {outcome.seed}; the noise will differ."]
    facts = {key: value for key, value in outcome.environment.items() if isinstance(value, str | int | float)}
    if command := outcome.environment.get("command"):
        facts["command"] = command if isinstance(command, str) else shlex.join(map(str, command))
    described = [
        _text(f"{clean(str(key), 100)}: {clean(str(value), 1_000)}") for key, value in list(facts.items())[:30]
    ]
    return [*lines, "", "<pre>", *described, "</pre>"] if described else lines


_MARKUP = str.maketrans({sign: f"&#{ord(sign)};" for sign in "|`*[\\~$"} | {"@": "@<!-- -->"})
"""The comment after @ keeps GitHub from notifying a person whose name stands in a traceback."""
_LOOSE_UNDERSCORE = re.compile(r"(?<![^\W_])_|_(?![^\W_])")
"""An underscore inside a word means nothing to Markdown."""


def _text(text: str) -> str:
    """Return ``text`` in one line, escaped so that Markdown and HTML show it as it is."""
    return _LOOSE_UNDERSCORE.sub("&#95;", html.escape(clean(text), quote=False).translate(_MARKUP))


class _Page:
    """Markdown up to a limit: what does not fit is left out and counted."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._lines: list[str] = []
        self._left_out = 0

    def add(self, *lines: str) -> bool:
        """Add all of the lines, or none."""
        taken = sum(len(line) + 1 for line in lines)
        if taken > self._room:
            self._left_out += 1
            return False
        self._room -= taken
        self._lines += lines
        return True

    def rows(self, heads: Sequence[str], rows: Sequence[str]) -> None:
        """Add a table, and how many of its rows did not fit."""
        if not self.add(*heads):
            return
        for index, row in enumerate(rows):
            if not self.add(row):
                self._left_out -= 1  # counted here
                self._lines += ["", f"GitHub has no room for {len(rows) - index} more; the JSON record has them."]
                return

    def details(self, summary: str, lines: Sequence[str], rows: Sequence[str] = ()) -> None:
        """Add lines that are folded away under a summary."""
        self._room -= (end := len("\n</details>\n\n"))
        if self.add(f"<details><summary>{_text(summary)}</summary>", ""):
            if rows:
                self.rows(lines, rows)
            else:
                self.add(*lines)
            self._lines += ["", "</details>", ""]
        else:
            self._room += end

    def text(self) -> str:
        """Return the whole page."""
        if self._left_out:
            self._lines += [f"{plural(self._left_out, 'part')} did not fit; the JSON record has everything."]
        return "\n".join(self._lines).rstrip() + "\n"
