"""Shows a profile in a terminal: the rows, what is in none of them, and what the profiler itself cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from gradperf.frameworks.profiling import Words
from gradperf.profile.facts import Profile, Row
from gradperf.text.printable import clean, clean_lines
from gradperf.text.quantities import TIMES, count, factor, number, percent_number, plural, unit_for
from gradperf.text.table import Column, Layout, Names, Terminal, layout

TOP = 20
"""Operators that are shown, unless the user wants more."""

_HEAD = 56
"""Characters of the name of a function; what is left of 80 columns beside the numbers."""


@dataclass(frozen=True)
class _Shown:
    """A row of the table."""

    name: str
    step_s: float
    calls: float | None = None


def lines(case: str, profile: Profile, words: Words, terminal: Terminal, top: int = TOP) -> list[str]:
    """Return the lines to print, for the ``top`` most expensive operators, or for all lines of a source."""
    groups = _by_function(profile) if profile.kind == "line" else [("operator", _operators(profile, top))]
    rest = [_Shown("all of a step", profile.profiled_s)]
    if profile.unseen_s > 0:
        rest.insert(0, _Shown(words.unseen, profile.unseen_s))
    if profile.runtime_s > 0:
        rest.insert(0, _Shown(words.runtime, profile.runtime_s))
    chosen = _layout(profile, terminal, [*groups, ("", rest)])
    shown = terminal.wrap(f"{case}, by {profile.tool}")
    for head, rows in groups:
        shown += ["", *chosen.table(head, rows)]
    shown += ["", *chosen.table("", rest)[1:], ""]
    for sentence in (_overhead(profile), *profile.notes):
        shown += terminal.wrap(sentence, indent="")
    return shown


def _layout(profile: Profile, terminal: Terminal, groups: Sequence[tuple[str, Sequence[_Shown]]]) -> Layout[_Shown]:
    unit = unit_for(profile.profiled_s, TIMES)
    columns = [
        Column[_Shown]("%", lambda row: percent_number(profile.share(row.step_s)), width=4),
        Column[_Shown](f"{unit.name}/step", lambda row: number(row.step_s / unit.size), width=7),
        Column[_Shown]("calls", lambda row: "" if row.calls is None else _calls(row.calls), width=5),
    ]
    names = Names[_Shown](lambda row: row.name, last=True, readable=40)
    every = [row for _, rows in groups for row in rows]
    return layout(terminal, names, columns, every, [head for head, _ in groups])


def _calls(calls: float) -> str:
    """Return calls per step: ``5``, ``0.05``, ``1,024``. At most 5 characters."""
    if calls >= 99_999.5:
        return f"{calls:.0e}".replace("e+0", "e")
    return f"{calls:,.0f}"[:6] if calls >= 9_999.5 else count(round(calls)) if calls >= 999.5 else f"{calls:.3g}"


def _operators(profile: Profile, top: int) -> list[_Shown]:
    rows = [_Shown(clean(row.name), row.step_s, row.calls) for row in profile.rows]
    if len(rows) <= top + 1:  # a line for one row would be as long as that row
        return rows
    left = rows[top:]
    together = _Shown(f"… {plural(len(left), 'more operator')}", sum(row.step_s for row in left))
    return [*rows[:top], together]


def _by_function(profile: Profile) -> list[tuple[str, list[_Shown]]]:
    """Return the lines of each function, with its name above them, and without their common indent."""

    def function(row: Row) -> tuple[str, str]:
        assert row.line is not None
        return row.line.file, row.line.function

    groups = []
    for (file, name), rows in groupby(profile.rows, function):
        listed = list(rows)
        texts = [clean_lines(row.name.replace("\n", " ")) for row in listed]
        indent = min(len(text) - len(text.lstrip()) for text in texts)
        numbers = [str(row.line.number) for row in listed if row.line is not None]
        width = max(map(len, numbers))
        shown = [
            _Shown(f"{at:>{width}}  {text[indent:]}", row.step_s, row.calls)
            for row, at, text in zip(listed, numbers, texts, strict=True)
        ]
        groups.append((clean(f"{name}, in {file.rpartition('/')[2]}", _HEAD), shown))
    return groups


def _overhead(profile: Profile) -> str:
    unit = unit_for(profile.profiled_s, TIMES)
    with_it, without = (number(seconds / unit.size) for seconds in (profile.profiled_s, profile.plain_s))
    steps = f"{count(profile.steps)} {'step' if profile.steps == 1 else 'steps'}"
    return (
        f"Times and calls of one step, with the profiler. It made a step {factor(profile.overhead)} times as long: "
        f"{with_it} {unit.name} with it, {without} {unit.name} without it. Both in turns, for {steps} each, "
        f"{count(profile.steps_per_call)} in a call."
    )
