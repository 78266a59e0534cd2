"""``gradperf list``: every case, whether it can run here and, if not, why."""

import argparse
import json

from gradperf import options
from gradperf.commands import AddParser
from gradperf.commands.preparation import settings


def add(add_parser: AddParser) -> None:
    """Add the command and its options."""
    parser = add_parser("list", help="list all cases, and why some cannot run here")
    options.add(parser.add_argument, ("tier", "threads"))
    parser.add_argument("--json", action="store_true", help="print the cases as JSON")
    parser.set_defaults(command=list_cases)


def list_cases(parsed: argparse.Namespace) -> int:
    """Print every case that the options choose."""
    chosen_settings = settings(parsed)
    from gradperf import cases

    choice = cases.Choice(**options.named(parsed))
    cases.check_names(choice)
    chosen = [(case, cases.obstacle(case, parsed.threads)) for case in cases.chosen(choice, chosen_settings)]
    if parsed.json:
        rows = [
            {
                "id": case.id,
                **{axis: case.value(axis) for axis in options.AXES},
                "steps": case.problem.steps,
                "runs_here": reason is None,
                "reason": reason,
            }
            for case, reason in chosen
        ]
        print(json.dumps(rows, indent=2))
        return 0
    width = max((len(case.id) for case, _ in chosen), default=0)
    for case, reason in chosen:
        print(f"{case.id:{width}}  {reason or 'runs here'}")
    running = sum(reason is None for _, reason in chosen)
    print(f"{len(chosen)} cases, {running} run here, {len(chosen) - running} do not")
    return 0
