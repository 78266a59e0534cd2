"""Numbers, names and verdicts of the gate as text, the same wherever they are shown.

A ratio is told by its direction, and rounded only as far as its interval allows. Names and reasons may hold
anything: :func:`clean` makes one printable line of them.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

from gradperf.doctor.report import percent
from gradperf.gate.decision.findings import Finding, Verdict
from gradperf.text import quantities

URGENT: tuple[Verdict, ...] = ("regressed", "different", "failed", "removed")
"""What somebody must look at, unless it was accepted."""
QUIET: tuple[Verdict, ...] = ("unchanged", "identical")
ORDER: tuple[Verdict, ...] = (*URGENT, "improved", "unstable", "inconclusive", "new", *QUIET)

NONE = "–"
_ASCII: dict[str, str | int | None] = {
    "–": "-",
    "±": "+-",
    "×": "x",
    "µ": "u",
    "…": "..",
    "≤": "<=",
    "→": "->",
}
SIGNS = "".join(_ASCII)
"""What a report is written in beyond ASCII, apart from names and reasons."""

NAMED, NAMES_LONG = 3, 120
"""Cases that a sentence names before it only counts, and characters that they may take; one is always named."""
LONGEST = 300
"""Characters of a reason that are shown; the record has all of it."""


def clean(text: str, longest: int | None = None) -> str:
    """Give ``text`` in one line: it may come from a file or a crash, and a terminal obeys what it is sent."""
    line = "".join(sign if sign.isprintable() else "?" for sign in " ".join(text.split()))
    return line if longest is None else cut(line, longest)


def plain(text: str, ascii_only: bool) -> str:
    """Give ``text`` in the characters that may be shown; the others are escaped, so names stay distinct."""
    if not ascii_only:
        return text
    return text.translate(str.maketrans(_ASCII)).encode("ascii", "backslashreplace").decode()


def cut(text: str, width: int, sign: str = "…") -> str:
    """Cut out the middle of what is too long; more is left of the end, where the parameters of a case stand."""
    if len(text) <= width:
        return text
    kept = max(width - len(sign), 0)
    head = kept // 3
    return (text[:head] + sign + text[len(text) - (kept - head) :])[:width]


def fitted(names: Sequence[str], width: int, sign: str = "…") -> list[str]:
    """Cut names to a width; first what they have in common, so that they are told apart if that is possible.

    Names that look alike after that are cut by what those few have in common.
    """
    told = _cut_alike(names, width, sign)
    for text, count in Counter(told).items():
        if 1 < count < len(names):
            places = [place for place, other in enumerate(told) if other == text]
            for place, name in zip(places, fitted([names[place] for place in places], width, sign), strict=True):
                told[place] = name
    return told


def _cut_alike(names: Sequence[str], width: int, sign: str) -> list[str]:
    """Cut names to a width, first by what all of them begin and end with."""
    if len(names) < 2:
        return [cut(name, width, sign) for name in names]
    before = _shared(names)
    after = _shared([name[before:][::-1] for name in names])
    told = []
    for name in names:
        if (excess := len(name) - width) > 0 and before > len(sign):
            name = sign + name[min(excess + len(sign), before) :]
        if (excess := len(name) - width) > 0 and after > len(sign):
            name = name[: len(name) - min(excess + len(sign), after)] + sign
        told.append(cut(name, width, sign))
    return told


def _shared(names: Sequence[str]) -> int:
    """Give the number of characters with which all names begin."""
    return sum(1 for _ in takewhile(lambda signs: len(set(signs)) == 1, zip(*names, strict=False)))


def ratio_told(ratio: float | None, low: float | None, high: float | None, brief: bool = False) -> str:
    """Tell a ratio and its interval: ``1.07× slower (1.05–1.09)``; of what is faster, the inverse.

    What rounds to 1 is told in words, or where these must be brief, as a number.
    """
    middle, low, high = _positive(ratio), _positive(low), _positive(high)
    if middle is None:
        return NONE
    # Two digits would hide what a narrow interval shows.
    digits = 3 if low and high and abs(high - low) < 0.01 else 2
    shown = max(middle, 1 / middle)
    if f"{shown:.{digits}f}" == f"{1:.{digits}f}":
        same = f"{1:.{digits}f}×" if brief else "no difference seen"
        return f"{same} ({_interval(low, high, digits)})"
    if middle > 1:
        return f"{_number(shown, digits)}× slower ({_interval(low, high, digits)})"
    low, high = high and 1 / high, low and 1 / low
    return f"{_number(shown, digits)}× faster ({_interval(low, high, digits)})"


def _positive(value: float | None) -> float | None:
    """Give a bound that says something: 0 and infinity do not, nor what would be one of them upside down."""
    if value is None or not math.isfinite(value) or value <= 0 or math.isinf(1 / value):
        return None
    return value


def _interval(low: float | None, high: float | None, digits: int) -> str:
    if low is None and high is None:
        return "no interval"
    if low is None or high is None:
        return f"below {_number(high, digits)}" if high is not None else f"above {_number(low or 0, digits)}"
    return f"{_number(low, digits)}–{_number(high, digits)}"


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if value < 9.995 else quantities.number(value)


def finding_told(finding: Finding) -> str:
    """Tell ratio and interval of a case or a group."""
    return ratio_told(finding.ratio, finding.ci_low, finding.ci_high)


def p_told(p: float | None) -> str:
    """Tell a probability in at most 6 characters."""
    if p is None or not math.isfinite(p):
        return NONE
    return "<0.001" if p < 0.001 else "1" if p >= 0.9995 else f"{p:.3f}"


def slowdown_p_told(finding: Finding) -> str:
    """Tell the p of a slowdown; where the opposite was proven it would only puzzle."""
    return NONE if finding.verdict == "improved" else p_told(finding.p_adjusted)


def pairs_told(finding: Finding) -> str:
    """Tell the pairs of processes."""
    return f"{finding.pairs}" if finding.pairs else NONE


def visible_told(finding: Finding) -> str:
    """Tell the smallest slowdown that would have been seen, in per cent."""
    share = finding.smallest_visible_change
    return NONE if share is None or math.isnan(share) else percent(share)


def effect_told(plan: Mapping[str, Any]) -> str:
    """Tell the smallest effect of interest, as what a slowdown is compared with."""
    effect = plan.get("min_effect")
    return f" of more than {exactly(effect)}" if isinstance(effect, int | float) and effect > 0 else ""


def exactly(share: float) -> str:
    """Give a share that was chosen, not measured: ``5 %``."""
    return f"{100 * share:g} %"


def label(finding: Finding) -> str:
    """Give the verdict, or that the user took it."""
    return "accepted" if finding.accepted else finding.verdict


def by_urgency(findings: Sequence[Finding]) -> list[Finding]:
    """Order: what needs action first, the largest slowdown before the others, what was accepted after them."""

    def key(finding: Finding) -> tuple[object, ...]:
        known = _positive(finding.ratio)
        ratio = 0.0 if known is None else known if finding.verdict == "improved" else -known
        if finding.accepted:
            return URGENT.index("removed") + 0.5, known is None, ratio, finding.id
        return float(ORDER.index(finding.verdict)), known is None, ratio, finding.id

    return sorted(findings, key=key)


def counts_told(cases: Sequence[Finding]) -> str:
    """Count the verdicts: ``1 regressed, 39 unchanged``."""
    counts = Counter(label(case) for case in by_urgency(cases))
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.items())


def names_told(findings: Sequence[Finding]) -> str:
    """Name a few and count the others."""
    names: list[str] = []
    for name in (clean(finding.id) for finding in findings[:NAMED]):
        if not names or sum(map(len, [*names, name])) <= NAMES_LONG:
            names.append(name)
    rest = len(findings) - len(names)
    return f"{', '.join(names)} and {rest} more" if rest else ", ".join(names)
