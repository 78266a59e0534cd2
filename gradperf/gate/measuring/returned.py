"""Do both sides return the same? A change that makes a benchmark faster by computing something else is no progress.

The workers describe what a call returned (``worker.described``): exact values by their hash, numbers by sums.
Rounding may differ between two versions of a library, so numbers are compared with a tolerance that their precision
allows.
"""

import math
from collections.abc import Sequence
from typing import Any

Described = Sequence[Sequence[Any]]

TOLERANCE = {64: 1e-6, 32: 1e-3}
"""Largest difference between two sums, in units of the sum of absolute values, by the bits of a number. Those of
gradperf's own agreement for float32 and, as a training multiplies rounding errors, generous for float64."""

ROUGH = 3e-2
"""The same for fewer bits."""


def difference(one: Described | None, other: Described | None) -> str | None:
    """Tell in what two results differ, or None; what cannot be described does not differ."""
    if one is None or other is None:
        return None
    if len(one) != len(other):
        return f"{len(one)} values on one side, {len(other)} on the other"
    for ours, theirs in zip(one, other, strict=True):
        path, kind = ours[0] or "the result", ours[1]
        if kind != theirs[1] or ours[0] != theirs[0]:
            return f"{path} is {_told(ours)} on one side, {_told(theirs)} on the other"
        if kind == "number":
            if ours[2:4] != theirs[2:4]:
                return f"{path} is {_told(ours)} on one side, {_told(theirs)} on the other"
            allowed = TOLERANCE.get(ours[2], ROUGH) * max(ours[5], theirs[5])
            pairs = list(zip([*ours[4], ours[5]], [*theirs[4], theirs[5]], strict=True))
            apart = max(abs(a - b) for a, b in pairs)
            # A tolerance of infinity would allow anything; a NaN and an infinity are the same as themselves alone.
            near = all(math.isfinite(number) for pair in pairs for number in pair) and apart <= allowed
            if not near and str(ours[4:]) != str(theirs[4:]):
                return f"{path} differs: sums apart by {apart:.3g}, allowed {allowed:.3g}"
        elif ours[1:] != theirs[1:]:
            return f"{path} is {_told(ours)} on one side, {_told(theirs)} on the other"
    return None


def _told(leaf: Sequence[Any]) -> str:
    if leaf[1] == "number":
        return f"{leaf[3]} numbers of {leaf[2]} bits"
    return " ".join(map(str, leaf[2:]))
