"""Times cases in fresh processes, and estimates the time of a step from all their moments."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from gradperf.cases import Settings
from gradperf.errors import UserError
from gradperf.pairs.process import same_modules
from gradperf.timing.estimate import Estimate, estimate, unrest
from gradperf.timing.lengths import Lengths
from gradperf.timing.moment import Moment

PROCESSES = 2
"""A process gives some cases a speed of their own, by where their arrays are in memory."""

MOMENTS = 4
"""Moments of each case in each process."""


@dataclass(frozen=True)
class Timed:
    """A case that was checked and timed."""

    case: str
    estimate: Estimate
    moments: int
    gradient_error: float | None
    """Largest norm-relative error of a first gradient; None without a gradient."""


def times(cases: Sequence[str], settings: Settings, processes: int = PROCESSES) -> list[Timed]:
    """Check and time cases, given by their ids; raises UserError for one that is wrong or cannot run here.

    The first process chooses how long the timed calls are.
    """
    lengths: dict[str, Lengths] = {}
    moments: dict[str, list[Moment]] = {case: [] for case in cases}
    errors: dict[str, float | None] = {}
    for number in range(processes):
        order = {
            "cases": [*cases],
            "settings": asdict(settings),
            "moments": MOMENTS,
            "seed": settings.seed + number,
            "lengths": {case: asdict(chosen) for case, chosen in lengths.items()},
        }
        for case, found in _answer(order).items():
            lengths[case] = Lengths(**found["lengths"])
            moments[case] += [Moment(**moment) for moment in found["moments"]]
            errors[case] = found["gradient_error"]
    restless = unrest(moment for taken in moments.values() for moment in taken)
    return [
        Timed(
            case,
            estimate(taken, long=lengths[case].long, short=lengths[case].short, unrest=restless),
            len(taken),
            errors[case],
        )
        for case, taken in moments.items()
    ]


def _answer(order: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what a fresh process found for each case."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "gradperf.fresh.worker"],  # -P: no file here may shadow numpy
        input=json.dumps(order),
        env={**os.environ, **same_modules()},
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        answer = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise UserError(f"the process that times ended with exit code {done.returncode}: {last}") from None
    if "error" in answer:
        raise UserError(answer["error"])
    found: dict[str, dict[str, Any]] = answer["cases"]
    return found
