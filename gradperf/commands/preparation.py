"""What the commands that compute cases have in common: the settings, and a case that is proven right."""

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


def agreed(case: "Case", settings: "Settings") -> "Agreed":
    """Prepare a case and check it against the reference; raises UserError if it cannot run or disagrees."""
    from gradperf import cases
    from gradperf.checks import agreement

    if reason := cases.obstacle(case, settings.threads):
        raise UserError(f"{case.id} cannot run here: {reason}")
    try:
        return agreement.agree(case, settings)
    except agreement.Disagreement as error:
        raise UserError(f"{case.id} disagrees with the reference, so no result is shown:\n{error}") from None
