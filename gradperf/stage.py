"""The stage of the gate in which this process runs a suite.

The gate runs a suite in many fresh processes. The first process of each side runs it with all its checks. Later
ones repeat the timings, so a suite may leave out what the first has checked.

A process counts as one of the gate only if the gate says so from within. The variable alone, left in a user's
shell or inherited from a benchmark that starts programs, would let a run leave out all checks.
"""

from __future__ import annotations

import os
from typing import Literal, cast

VARIABLE = "GRADPERF_GATE"
"""The environment variable that holds the stage."""

PROCESS = "GRADPERF_GATE_PROCESS"
"""The environment variable with the id of the process that runs the suite for the gate, which sets it itself."""

Stage = Literal["list", "first", "repeat"]


def stage() -> Stage | None:
    """Return whether this process lists the cases, runs them first, or repeats them; None outside the gate."""
    if os.environ.get(PROCESS) != str(os.getpid()):
        return None
    return cast("Stage | None", os.environ.get(VARIABLE))
