"""What ``gradperf run --json`` writes: what one case computed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class OneRun:
    """What one case computed in one call. Arrays are nested lists."""

    case: str
    """Id of the case."""
    command: tuple[str, ...]
    at: str
    """When it ran, in UTC."""
    steps: int
    seed: int
    threads: int
    framework_version: str | None
    inputs_sha256: str
    seconds: float
    """Of the call, with all its steps."""
    gradient_error: float | None
    """Of the first gradients, as a share of their norm."""
    loss: Any
    """A list: before each step."""
    gradients: Mapping[str, Any]
    """The first gradients, by parameter."""
    weights: Mapping[str, Any]
    """After the last step, by parameter."""
    result: Mapping[str, Any]
    """The product, of a product of matrices."""
    curve: Mapping[str, Any]
    """What can be drawn over one axis: ``x``, ``y``, and the ``fitted`` curve of a training with one input and one
    output, or the ``derivative``. Else empty."""


def is_one_run(stored: Any) -> bool:
    """Return whether a file holds what one case computed."""
    return isinstance(stored, Mapping) and {"case", "loss", "gradients", "weights"} <= stored.keys()
