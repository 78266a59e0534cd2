"""Decides what this process of the suite does besides timing.

`gradperf gate` runs the suite in many processes. One lists the cases, the first of each side checks them, and the
others only repeat the timings.
"""

from dataclasses import dataclass

import pytest

from gradperf.stage import Stage


@dataclass(frozen=True)
class Duties:
    """What a process of the suite does."""

    refuses_named: bool
    """Whether it stops when a framework or device that the user named cannot run. This imports the frameworks."""
    skips_at_collection: bool
    """Whether it finds the cases that cannot run while it collects. Otherwise each case is checked when it runs, so
    that no framework is imported too early."""
    checks_fully: bool
    """Whether it makes all checks of a case, before and after the timing, and records the facts of the timing.
    Otherwise it checks only that the timed call is right."""
    measures_first_calls: bool
    """Whether it measures first calls and memory, in processes of their own."""
    is_recorded: bool
    """Whether it is a run of the user that times. Such a run waits for others on this machine, chooses how long a
    timed call is, times each case at several moments, and is saved. The gate takes turns instead."""


KEY = pytest.StashKey[Duties]()


def of(stage: Stage | None, *, times: bool, first_calls: bool) -> Duties:
    """Return the duties at ``stage`` of the gate; None is a user's own run, which may want ``first_calls``.

    ``times``: whether it will time anything.
    """
    return Duties(
        refuses_named=stage in (None, "list"),
        skips_at_collection=stage is None,
        checks_fully=stage != "repeat",
        measures_first_calls=stage is None and times and first_calls,
        is_recorded=stage is None and times,
    )
