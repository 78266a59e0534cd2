"""What the gate's processes are for, as their suite may ask.

The gate runs a suite in many fresh processes. The first of each side runs it with all its checks; those after it
only repeat its timings, and a suite may leave out in them what was checked a moment ago. Suites import this module,
so it imports nothing of the gate.
"""

import os
from typing import Literal, cast

VARIABLE = "GRADPERF_GATE"
"""The environment variable that tells it."""

Stage = Literal["list", "first", "repeat"]


def stage() -> Stage | None:
    """``list`` the cases, be the ``first`` process of a side, or ``repeat`` its timings; None outside the gate."""
    return cast("Stage | None", os.environ.get(VARIABLE))
