"""Tells whether the processes of a case draw one of two speeds.

Some benchmarks have a fast and a slow mode, and each new process draws one of them: by the layout of its memory,
for instance. Then a few values lie together, far away from the others, and the seconds of one side tell which
side it was. Three values are needed: one or two that lie apart may be any disturbance.
"""

import math
from collections.abc import Sequence
from statistics import median

from gradperf.pairs.turns import Value

LEAST_VALUES = 3
LEAST_FACTOR = 1.15
"""Fewer values, or a smaller distance, are no mode."""

TIGHT = 0.15
"""The values of a mode are no further from their median than this share of its distance from the others."""

APART = 0.75
"""No value lies in this share of the distance between the others and the mode."""


def describe_modes(values: Sequence[Value]) -> str:
    """Return "in 4 of 32 processes the base was 1.7× slower than in the others", or nothing."""
    found = [mode for sign in (-1, 1) if (mode := _mode(values, sign))]
    if not found:
        return ""
    return f"{' and '.join(found)} than in the others"


def _mode(values: Sequence[Value], sign: int) -> str:
    """Return the mode of the values that lie above the others, or below them, without its last words."""
    centre = median(value.log_ratio for value in values) if values else 0.0
    above = sorted(values, key=lambda value: sign * value.log_ratio)
    distances = [sign * (value.log_ratio - centre) for value in above]
    # The largest gap parts the mode from the others, which are more than half of the values.
    starts = range(len(values) // 2 + 1, len(values) - LEAST_VALUES + 1)
    start = max(starts, key=lambda start: distances[start] - distances[start - 1], default=0)
    if not start:
        return ""
    distance = median(distances[start:])
    gap = distances[start] - distances[start - 1]
    width = max(distance - distances[start], distances[-1] - distance)
    if distance < math.log(LEAST_FACTOR) or gap < APART * distance or width > TIGHT * distance:
        return ""
    head, base = (_slower_by(above, start, side) for side in ("head_s", "base_s"))
    # It is one side that changed its speed: whichever changed by more than half of the distance.
    for side, change in (("head", head), ("base", base)):
        other = base if side == "head" else head
        if abs(change) > distance / 2 > abs(other):
            how = "slower" if change > 0 else "faster"
            count = f"in {len(values) - start} of {len(values)} processes"
            return f"{count} the {side} was {math.exp(abs(change)):.1f}× {how}"
    return ""


def _slower_by(ordered: Sequence[Value], start: int, side: str) -> float:
    """Return the log-ratio of the seconds of one side, from ``start`` on and before."""
    before, after = (median(getattr(value, side) for value in part) for part in (ordered[:start], ordered[start:]))
    return math.log(after / before)
