"""Says how a gradient is off: by a factor, in its shape, or in some entries."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from gradperf.problems import Array, Arrays

ALIKE = 1e-4
"""Two arrays are alike up to this share of the norm: only then is it said how they are related."""


@dataclass(frozen=True)
class Sizes:
    """By what a gradient may be divided or multiplied by mistake."""

    batch: int
    outputs: int
    """Columns of the network's result."""


def diagnosis(name: str, found: Array, reference: Arrays, sizes: Sizes) -> str:
    """Return how ``found`` differs from ``reference[name]``, with the likely cause where one is known."""
    expected = reference[name]
    if not np.isfinite(found).all():
        return f"holds NaN or infinity in {np.count_nonzero(~np.isfinite(found))} of {found.size} entries"
    for other, array in reference.items():
        if other != name and _alike(found, array):
            return f"is the gradient of {other}"
    if found.shape != expected.shape:
        return _shape(found, expected)
    if not found.any():
        return "is 0 everywhere: is it computed, and does the loss depend on it?"
    if _alike(found, expected):
        error = np.linalg.norm(found - expected) / np.linalg.norm(expected)
        return f"is off by {error:.1e} of its norm, more than rounding: is part of it in a lower precision?"
    factor = float(np.vdot(expected, found) / (np.vdot(expected, expected) or 1.0))
    if factor and _alike(found, factor * expected):
        return _factor(factor, sizes)
    if found.ndim == 2 and found.shape[0] == found.shape[1] and _alike(found.T, expected):
        return "is transposed"
    return _entries(found, expected)


def _alike(one: Array, other: Array) -> bool:
    return one.shape == other.shape and bool(np.linalg.norm(one - other) <= ALIKE * np.linalg.norm(other))


def _shape(found: Array, expected: Array) -> str:
    wrong = f"has shape {found.shape}, not {expected.shape}"
    if _alike(found.T, expected):
        return f"{wrong}: it is transposed"
    if found.size == expected.size and _alike(found.reshape(expected.shape), expected):
        return f"{wrong}, and is right otherwise"
    if found.ndim == expected.ndim + 1 and _alike(found.sum(axis=0), expected):
        return f"{wrong}: it is not summed over the batch"
    if found.ndim == expected.ndim + 1 and found.shape[1:] == expected.shape:
        return f"{wrong}: is it not summed over the batch?"
    return wrong


def _known_factors(sizes: Sizes) -> Iterator[tuple[float, tuple[str, ...]]]:
    """Yield factors with their likely causes, one for each factor that is not 1."""
    batch, outputs = sizes.batch, sizes.outputs
    square = [(0.5, "is the 2 of the square's derivative left out?"), (2.0, "is it counted twice?")]
    divided = [
        (1 / batch, "is it divided by the batch?"),
        (float(batch), "is it not divided by the batch?"),
        (1 / outputs, "is it divided by the number of outputs?"),
        (1 / (batch * outputs), "is it a mean over all entries?"),
    ]
    sign = [(-1.0, "is the sign wrong, as in target − prediction?")]
    for parts in product(*([(1.0, ""), *kind] for kind in (square, divided, sign))):
        causes = tuple(cause for factor, cause in parts if factor != 1)
        yield float(np.prod([factor for factor, _ in parts])), causes


def _factor(factor: float, sizes: Sizes) -> str:
    for known, causes in sorted(_known_factors(sizes), key=lambda one: len(one[1])):
        if causes and abs(factor / known - 1) <= ALIKE:
            return f"is {_number(known)} it: {' '.join(causes)}"
    return f"is {factor:.6g} times the gradient"


def _number(factor: float) -> str:
    sign, size = ("−" if factor < 0 else ""), abs(factor)
    return f"{sign}{size:g} times" if size >= 1 else f"{sign}1/{1 / size:g} of"


def _entries(found: Array, expected: Array) -> str:
    """Return in how many entries it is off, and in which rows or columns if the others are right."""
    off = np.abs(found - expected) > ALIKE * np.abs(expected).max()
    at = np.unravel_index(np.argmax(np.abs(found - expected)), found.shape)
    where = "is off"
    if found.ndim == 2:
        for axis, word in ((0, "column"), (1, "row")):
            wrong = np.flatnonzero(off.any(axis=axis))
            if 0 < wrong.size <= off.shape[1 - axis] / 2:
                shown = ", ".join(map(str, wrong[:5])) + (", …" if wrong.size > 5 else "")
                where = f"is off in {word}{'' if wrong.size == 1 else 's'} {shown} alone"
                break
    return (
        f"{where}: {max(np.count_nonzero(off), 1)} of {found.size} entries, furthest at {tuple(map(int, at))}: "
        f"{found[at]:.6g}, not {expected[at]:.6g}"
    )
