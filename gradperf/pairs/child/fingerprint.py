"""Computes fingerprints of what a benchmark returned: small, and comparable between two processes.

Exact values are compared by their hash. Numbers are compared by sums, with a tolerance that their precision allows,
as two versions of a library may round differently.
"""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Sequence
from typing import Any

Fingerprint = Sequence[Sequence[Any]]
"""One entry ``[path, kind, …]`` for each value in a result."""

MOST_VALUES = 1000
"""Values of a result that count."""

MOST_NUMBERS = 1_000_000
"""Numbers of an array that are summed."""

MOST_DEPTH = 8

TOLERANCE = {64: 1e-6, 32: 1e-3}
"""Largest difference between two sums, relative to the sum of absolute values, by the bits of a number.

For float32 it is that of gradperf's own checks. For float64 it is larger, as a training multiplies rounding
errors."""

ROUGH_TOLERANCE = 3e-2
"""The same for numbers of fewer bits."""


def fingerprint(value: Any) -> list[list[Any]]:
    """Return the fingerprint of what a call returned. An object of an unknown kind counts by its type alone."""
    entries: list[list[Any]] = []
    try:
        _add(value, "", entries, 0)
    except Exception as error:  # An attribute of a foreign object can raise anything. The timing does not need it.
        return [["", "unknown", type(error).__name__]]
    return entries[:MOST_VALUES]


def _add(value: Any, path: str, entries: list[list[Any]], depth: int) -> None:
    if len(entries) >= MOST_VALUES:
        return
    kind = type(value)
    if value is None or kind in (bool, int, str, bytes):
        entries.append([path, "exact", kind.__name__, hashlib.sha256(repr(value).encode()).hexdigest()[:16]])
    elif kind in (float, complex):
        entries.append([path, "number", 64, 1, [value.real, value.imag], abs(value)])
    elif isinstance(value, (list, tuple, dict)) and depth < MOST_DEPTH:
        entries.append([path, "exact", kind.__name__, str(len(value))])
        keys = sorted(value, key=str) if isinstance(value, dict) else range(len(value))
        for key in keys[:MOST_VALUES]:
            _add(value[key], f"{path}[{key!r}]"[:200], entries, depth + 1)
    elif "numpy" in sys.modules and (hasattr(value, "__array__") or hasattr(value, "detach")):
        entries.append([path, *_array(value)])
    else:
        entries.append([path, "unknown", kind.__name__])


def _array(value: Any) -> list[Any]:
    """Return the kind, bits, shape and sums of an array, of numpy or any framework."""
    np: Any = sys.modules["numpy"]
    try:
        if hasattr(value, "detach"):
            value = value.detach()
        if hasattr(value, "cpu"):
            value = value.cpu()
        array = np.asarray(value)
        if array.dtype.kind not in "biufc":
            return ["unknown", type(value).__name__]
        bits = array.dtype.itemsize * 8 // (2 if array.dtype.kind == "c" else 1)
        flat = array.ravel()[:: max(1, array.size // MOST_NUMBERS)]
        flat = flat.astype(np.complex128 if array.dtype.kind == "c" else np.float64)
        finite = np.isfinite(flat)
        shape = f"{'x'.join(map(str, array.shape))} {array.dtype} {int(finite.sum())}"
        flat = flat[finite]
        weighted = complex(flat @ np.cos(np.arange(flat.size)))
        total = complex(flat.sum())
    except Exception:  # such as a lost device, or a dtype that numpy does not know
        return ["unknown", type(value).__name__]
    numbers = [weighted.real, weighted.imag, total.real, total.imag]
    return ["number", bits, shape, numbers, float(np.abs(flat).sum())]


def difference(one: Fingerprint | None, other: Fingerprint | None) -> str | None:
    """Return how two results differ, or None. A missing fingerprint differs from nothing."""
    if one is None or other is None:
        return None
    if len(one) != len(other):
        return f"{len(one)} values on one side, {len(other)} on the other"
    for ours, theirs in zip(one, other):
        path, kind = ours[0] or "the result", ours[1]
        exact = 4 if kind == "number" else None  # sums follow, which may differ by rounding
        if ours[:exact] != theirs[:exact]:
            return f"{path} is {_describe(ours)} on one side, {_describe(theirs)} on the other"
        if kind == "number":
            allowed = TOLERANCE.get(ours[2], ROUGH_TOLERANCE) * max(ours[5], theirs[5])
            sums = list(zip([*ours[4], ours[5]], [*theirs[4], theirs[5]]))
            apart = max(abs(a - b) for a, b in sums)
            # An infinite tolerance would allow anything. NaN and infinity equal nothing but themselves.
            near = all(math.isfinite(number) for pair in sums for number in pair) and apart <= allowed
            if not near and str(ours[4:]) != str(theirs[4:]):
                return f"{path} differs: sums apart by {apart:.3g}, allowed {allowed:.3g}"
    return None


def _describe(entry: Sequence[Any]) -> str:
    if entry[1] == "number":
        return f"{entry[3]} numbers of {entry[2]} bits"
    return " ".join(map(str, entry[2:]))
