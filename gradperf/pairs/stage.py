"""What a process of the gate is for, as its suite may ask.

The gate runs a suite in many fresh processes. The first process of each side runs it with all its checks. Those
after it repeat the timings, so a suite may leave out what the first has checked.
"""

import os
from typing import Literal, cast

VARIABLE = "GRADPERF_GATE"
"""The environment variable that holds the stage."""

Stage = Literal["list", "first", "repeat"]


def stage() -> Stage | None:
    """Return what this process is for: to list the cases, run them first, or repeat them; None outside the gate."""
    return cast("Stage | None", os.environ.get(VARIABLE))
