"""Prepares a case for the commands that compute one: reads the settings, and checks the case."""

import argparse
from typing import TYPE_CHECKING

from gradperf import options
from gradperf.errors import UserError
from gradperf.machine import threads

if TYPE_CHECKING:  # both import numpy, which must wait until the threads are bound
    from gradperf.cases import Case, Settings
    from gradperf.checks.agreement import Agreed


def settings(parsed: argparse.Namespace) -> "Settings":
    """Bind the threads and return the settings; numpy may be imported only after this."""
    threads.bind(parsed.threads)
    from gradperf.cases import Settings

    return Settings(**{name: getattr(parsed, name) for name in options.SETTINGS if name in parsed})


def check_can_run(case: "Case", threads: int) -> None:
    """Raise UserError if a case cannot run here."""
    from gradperf import cases

    if reason := cases.obstacle(case, threads):
        raise UserError(f"{case.id} cannot run here: {reason}")


def agreed(case: "Case", settings: "Settings") -> "Agreed":
    """Prepare a case and check it against the reference; raises UserError if it cannot run or disagrees."""
    from gradperf.checks import agreement

    check_can_run(case, settings.threads)
    try:
        return agreement.agree(case, settings)
    except agreement.Disagreement as error:
        raise UserError(f"{case.id} disagrees with the reference, so no result is shown:\n{error}") from None
