"""The stage of the gate in which this process runs a suite.

The gate runs a suite in many fresh processes. The first process of each side runs it with all its checks. Later
ones repeat the timings, so a suite may leave out what the first has checked.
"""

import os
from typing import Literal, cast

VARIABLE = "GRADPERF_GATE"
"""The environment variable that holds the stage."""

Stage = Literal["list", "first", "repeat"]


def stage() -> Stage | None:
    """Return whether this process lists the cases, runs them first, or repeats them; None outside the gate."""
    return cast("Stage | None", os.environ.get(VARIABLE))
