"""Says in words what the comparison of two runs shows."""

from statistics import median

from gradperf.comparison.changes import Basis, Changes, differ
from gradperf.text.quantities import number, percent, plural

_BASES: dict[Basis, str] = {
    "seconds": "",
    "reference": "these are different machines: times are compared as multiples of the reference computation",
    "baseline": "these are different machines with another numpy or BLAS: times are compared as multiples of the "
    "baseline of each problem",
}


def summary(found: Changes) -> list[str]:
    """Return what was seen, how small a change could have been seen, and what was compared."""
    if not found.cases:
        return ["the two runs have no case in common"]
    of = plural(len(found.cases), "case")
    counts = [f"{len(found.with_verdict('slower'))} slower", f"{len(found.with_verdict('faster'))} faster"]
    counts.append(f"{len(found.with_verdict('nothing seen'))} with nothing seen")
    if unknown := len(found.with_verdict("unknown")):
        counts.append(f"{unknown} without a known error, as before schema 2")
    lines = [f"since then, of {of}: {', '.join(counts)}"]
    visible = sorted(change.visible for change in found.cases.values() if change.visible is not None)
    if visible:
        lines.append(
            "the smallest slowdown that these two runs would probably have shown: "
            f"{percent(median(visible))} in the middle case, {percent(visible[-1])} in the worst"
        )
    if text := _BASES[found.basis]:
        lines.append(text)
    if found.basis == "seconds" and differ(found.factor):
        speed = "slower" if found.factor > 1 else "faster"
        ratio = number(max(found.factor, 1 / found.factor))
        lines.append(f"the machine was {ratio} times {speed} now, by the reference: the ratios are without that")
    for names, when in ((found.only_then, "then"), (found.only_now, "now")):
        if names:
            lines.append(f"{plural(len(names), 'case')} only {when}")
    return lines
