"""Numbers, names and verdicts of the gate as text, the same wherever they are shown.

A ratio is shown with its direction, and rounded only as far as its interval allows.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from gradperf.gate.decision.findings import Finding, Verdict
from gradperf.text import quantities
from gradperf.text.printable import NONE, clean

URGENT: tuple[Verdict, ...] = ("regressed", "different", "failed", "removed")
"""What somebody must look at, unless it was accepted."""
QUIET: tuple[Verdict, ...] = ("unchanged", "identical")
ORDER: tuple[Verdict, ...] = (*URGENT, "improved", "unstable", "inconclusive", "new", *QUIET)

MOST_NAMES, NAMES_LENGTH = 3, 120
"""Most cases that a sentence names, and most characters of their names; at least one case is named."""
REASON_LENGTH = 300
"""Characters of a reason that are shown; the JSON record has all of it."""


def ratio_text(ratio: float | None, low: float | None, high: float | None, brief: bool = False) -> str:
    """Return a ratio and its interval: ``1.07× slower (1.05–1.09)``; for what is faster, their inverses.

    A ratio that rounds to 1 is "no difference seen", or ``1.00×`` if ``brief``.
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
    """Return a ratio if it and its inverse are finite and above 0, else None."""
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


def finding_text(finding: Finding, brief: bool = False) -> str:
    """Return ratio and interval of a case or a group."""
    return ratio_text(finding.ratio, finding.ci_low, finding.ci_high, brief)


def p_text(p: float | None) -> str:
    """Return a probability in at most 6 characters."""
    if p is None or not math.isfinite(p):
        return NONE
    return "<0.001" if p < 0.001 else "1" if p >= 0.9995 else f"{p:.3f}"


def slowdown_p_text(finding: Finding) -> str:
    """Return the p of a slowdown; a dash for an improvement, where it would only confuse."""
    return NONE if finding.verdict == "improved" else p_text(finding.p_adjusted)


def pairs_text(finding: Finding) -> str:
    """Return the number of pairs of processes."""
    return f"{finding.pairs}" if finding.pairs else NONE


def visible_text(finding: Finding) -> str:
    """Return the smallest slowdown that would have been seen, in per cent."""
    share = finding.smallest_visible_change
    return NONE if share is None or math.isnan(share) else quantities.percent(share)


def min_effect_text(plan: Mapping[str, Any]) -> str:
    """Return the smallest effect of interest, to be put after "a slowdown"."""
    effect = plan.get("min_effect")
    return f" of more than {exact_percent(effect)}" if isinstance(effect, int | float) and effect > 0 else ""


def exact_percent(share: float) -> str:
    """Return a share that was chosen, not measured: ``5 %``."""
    return f"{100 * share:g} %"


def label(finding: Finding) -> str:
    """Return the verdict, or "accepted" if the user accepted it."""
    return "accepted" if finding.accepted else finding.verdict


def by_urgency(findings: Sequence[Finding]) -> list[Finding]:
    """Sort: what needs action first, the largest slowdown before the others, what was accepted after them."""

    def key(finding: Finding) -> tuple[object, ...]:
        known = _positive(finding.ratio)
        ratio = 0.0 if known is None else known if finding.verdict == "improved" else -known
        if finding.accepted:
            return URGENT.index("removed") + 0.5, known is None, ratio, finding.id
        return float(ORDER.index(finding.verdict)), known is None, ratio, finding.id

    return sorted(findings, key=key)


def counts_text(cases: Sequence[Finding]) -> str:
    """Return the number of cases with each verdict: ``1 regressed, 39 unchanged``."""
    counts = Counter(label(case) for case in by_urgency(cases))
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.items())


def names_text(findings: Sequence[Finding]) -> str:
    """Return a few names and the number of the others."""
    names: list[str] = []
    for name in (clean(finding.id) for finding in findings[:MOST_NAMES]):
        if not names or sum(map(len, [*names, name])) <= NAMES_LENGTH:
            names.append(name)
    rest = len(findings) - len(names)
    return f"{', '.join(names)} and {rest} more" if rest else ", ".join(names)
