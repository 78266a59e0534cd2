"""Numbers, names and verdicts of the gate as text, in words that need no legend.

A ratio is shown with its direction, and rounded only as far as its interval allows.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gradperf.gate.decision.findings import Control, Finding, Verdict
from gradperf.text import quantities
from gradperf.text.printable import NONE, clean


@dataclass(frozen=True)
class Meaning:
    """How a verdict is reported."""

    heading: str
    """Of the cases that have it."""
    urgent: bool = False
    """Whether it needs action, unless it was accepted."""
    quiet: bool = False
    """Whether nobody has to look at it."""


MEANINGS: dict[Verdict, Meaning] = {
    "regressed": Meaning("Slower", urgent=True),
    "different": Meaning("Different results on the two sides, so the times say nothing", urgent=True),
    "failed": Meaning("Failed", urgent=True),
    "removed": Meaning("Gone: only the base has it", urgent=True),
    "suspect": Meaning("Probably slower, but not proven; more pairs (--confirm) can decide it", urgent=True),
    "improved": Meaning("Faster"),
    "unstable": Meaning("Too noisy to show even a change of 10 %"),
    "inconclusive": Meaning("Open: neither shown to be slower nor shown to be unchanged"),
    "new": Meaning("New: only the head has it"),
    "unchanged": Meaning("Unchanged", quiet=True),
    "identical": Meaning("Identical, so not timed", quiet=True),
}
"""Every verdict, the most urgent first."""

ACCEPTED = "accepted"
"""What stands in place of the verdict where the user accepted it."""

ORDER: tuple[Verdict, ...] = tuple(MEANINGS)
URGENT = tuple(verdict for verdict, meaning in MEANINGS.items() if meaning.urgent)
QUIET = tuple(verdict for verdict, meaning in MEANINGS.items() if meaning.quiet)
LOST: tuple[Verdict, ...] = ("failed", "removed")
"""What could not be compared."""

MOST_NAMES, NAMES_LENGTH = 3, 120
"""Most cases that a sentence names, and most characters of their names; at least one case is named."""
REASON_LENGTH = 300
"""Characters of a reason that are shown; the JSON record has all of it."""


def ratio_text(ratio: float | None, low: float | None, high: float | None, brief: bool = False) -> str:
    """Return ratio and interval: ``1.07× slower (between 1.05 and 1.09)``; what is faster is shown by the inverses.

    A ratio that rounds to 1 is "no difference", or ``1.00×`` if ``brief``.
    """
    ratio, low, high = _positive(ratio), _positive(low), _positive(high)
    if ratio is None:
        return NONE
    # Two digits would hide what a narrow interval shows.
    digits = 3 if low and high and abs(high - low) < 0.01 else 2
    shown, one = max(ratio, 1 / ratio), f"{1:.{digits}f}"
    if f"{shown:.{digits}f}" == one:
        text = f"{one}×" if brief else "no difference"
    elif ratio > 1:
        text = f"{_number(shown, digits)}× slower"
    else:
        text = f"{_number(shown, digits)}× faster"
        low, high = high and 1 / high, low and 1 / low
    return f"{text} ({_interval(low, high, digits)})"


def _positive(value: float | None) -> float | None:
    """Return a ratio if it and its inverse are finite and above 0, else None."""
    if value is None or not math.isfinite(value) or value <= 0 or math.isinf(1 / value):
        return None
    return value


def _interval(low: float | None, high: float | None, digits: int) -> str:
    if low and high:
        return f"between {_number(low, digits)} and {_number(high, digits)}"
    if low:
        return f"above {_number(low, digits)}"
    return f"below {_number(high, digits)}" if high else "no interval"


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if value < 9.995 else quantities.number(value)


def measured_text(one: Finding | Control, brief: bool = False) -> str:
    """Return the measured ratio and its interval."""
    return ratio_text(one.ratio, one.ci_low, one.ci_high, brief)


def p_text(p: float | None) -> str:
    """Return a probability in at most 6 characters."""
    if p is None or not math.isfinite(p):
        return NONE
    return "<0.001" if p < 0.001 else "1" if p >= 0.9995 else f"{p:.3f}"


def min_effect_text(plan: Mapping[str, Any]) -> str:
    """Return the smallest effect of interest, to be put after "a slowdown"."""
    effect = plan.get("min_effect")
    return f" of more than {exact_percent(effect)}" if isinstance(effect, int | float) and effect > 0 else ""


def exact_percent(share: float) -> str:
    """Return a share that was chosen, not measured: ``5 %``."""
    return f"{100 * share:g} %"


def label(finding: Finding) -> str:
    """Return the verdict, or "accepted" if the user accepted it."""
    return ACCEPTED if finding.accepted else finding.verdict


def slowdown_p(finding: Finding) -> str:
    """Return the p-value of a slowdown; a dash for what is faster."""
    return NONE if finding.verdict == "improved" else p_text(finding.p_adjusted)


def visible_text(finding: Finding) -> str:
    """Return the smallest slowdown that would have shown, or a dash."""
    share = finding.smallest_visible_change
    return NONE if share is None or math.isnan(share) else quantities.percent(share)


def facts_text(finding: Finding) -> str:
    """Return what was measured: the ratio, what would have shown, p if there was a suspicion, and the pairs."""
    if _positive(finding.ratio) is None:
        return ""
    facts = [measured_text(finding)]
    if finding.verdict not in URGENT and (visible := visible_text(finding)) != NONE:
        facts.append(f"would have shown {visible}")
    if (p := slowdown_p(finding)) not in (NONE, "1"):
        facts.append(f"p {p}")
    if finding.pairs:
        facts.append(quantities.plural(finding.pairs, "pair"))
    return ", ".join(facts)


def urgency(finding: Finding) -> tuple[float, bool, float, str]:
    """Sort by this: what needs action, what was accepted, then the others; the largest change of each first."""
    ratio = _positive(finding.ratio)
    size = 0.0 if ratio is None else ratio if finding.verdict == "improved" else -ratio
    place = len(URGENT) - 0.5 if finding.accepted else ORDER.index(finding.verdict)
    return place, ratio is None, size, finding.id


def by_urgency(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings, the most urgent first."""
    return sorted(findings, key=urgency)


def not_accepted(findings: Sequence[Finding], *verdicts: Verdict) -> list[Finding]:
    """Return the findings with one of ``verdicts`` that the user did not accept, by urgency."""
    return [one for one in by_urgency(findings) if one.verdict in verdicts and not one.accepted]


def counts_text(cases: Sequence[Finding]) -> str:
    """Return the number of cases with each verdict: ``1 regressed, 39 unchanged``."""
    counts = Counter(map(label, by_urgency(cases)))
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.items())


def names_text(findings: Sequence[Finding]) -> str:
    """Return a few names and the number of the others."""
    names: list[str] = []
    for name in (clean(finding.id) for finding in findings[:MOST_NAMES]):
        if not names or sum(map(len, [*names, name])) <= NAMES_LENGTH:
            names.append(name)
    rest = len(findings) - len(names)
    return f"{', '.join(names)} and {rest} more" if rest else ", ".join(names)
