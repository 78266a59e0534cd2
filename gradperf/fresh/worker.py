"""Checks cases and times them at several moments: ``python -m gradperf.fresh.worker``.

It reads one line of JSON: the ids of the cases, the settings, the number of moments, the seed of their order, and
the lengths of calls that are known. The last line that it prints is ``{"cases": {id: …}}`` or ``{"error": why}``.
"""

import json
import random
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from gradperf.errors import UserError
from gradperf.machine import threads, watch

if TYPE_CHECKING:  # they import numpy, which must wait until the threads are bound
    from gradperf.cases import Settings
    from gradperf.checks.agreement import Agreed
    from gradperf.timing.lengths import Lengths


def main() -> int:
    """Obey one order."""
    order = json.loads(sys.stdin.readline())
    threads.bind(order["settings"]["threads"])
    from gradperf.checks.agreement import Disagreement
    from gradperf.checks.misconduct import Misconduct

    watch.process.begin()
    try:
        print(json.dumps({"cases": _timed(order)}))
    except UserError as error:
        print(json.dumps({"error": str(error)}))
    except (Disagreement, Misconduct) as error:
        print(json.dumps({"error": f"the time of a case would be misleading, so none is shown:\n{error}"}))
    return 0


def _timed(order: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return for each case its lengths, its moments and its error."""
    from gradperf.cases import Settings
    from gradperf.checks import agreement
    from gradperf.timing import moment
    from gradperf.timing.lengths import Lengths

    settings, coin = Settings(**order["settings"]), random.Random(order["seed"])  # noqa: S311 - an order, not a secret
    known = {case: Lengths(**lengths) for case, lengths in order["lengths"].items()}
    ready = {case: _ready(case, settings, known.get(case)) for case in order["cases"]}
    moments: dict[str, list[moment.Moment]] = {case: [] for case in ready}
    for number in range(order["moments"]):
        for case in coin.sample([*ready], len(ready)):
            timed, lengths = ready[case]
            moments[case].append(moment.take(timed.run_steps, lengths, "main", None))
            if number == order["moments"] - 1:
                agreement.check_timed(timed, timed.run())
    return {
        case: {
            "lengths": asdict(lengths),
            "moments": [asdict(each) for each in moments[case]],
            "gradient_error": timed.gradient_error,
        }
        for case, (timed, lengths) in ready.items()
    }


def _ready(id_: str, settings: "Settings", known: "Lengths | None") -> "tuple[Agreed, Lengths]":
    """Return a case that was checked, with calls of the long length, and the lengths of its calls."""
    from gradperf import cases
    from gradperf.checks import agreement, conduct
    from gradperf.timing import lengths

    case = cases.find(id_, settings)
    if reason := cases.obstacle(case, settings.threads):
        raise UserError(f"{id_} cannot run here: {reason}")
    agreed = agreement.agree(case, settings)
    chosen = known or lengths.choose(agreed.run_steps, case.problem.steps)
    if chosen.short is not None:
        agreement.agree_at(agreed, settings, chosen.short)
    timed = agreement.agree_at(agreed, settings, chosen.long)
    conduct.examine(timed, settings)
    conduct.check_changes_nothing(id_)
    return timed, chosen


if __name__ == "__main__":
    raise SystemExit(main())
