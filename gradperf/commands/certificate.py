"""``gradperf certificate``: how often the gate raises a false alarm here, and what it catches."""

import argparse
from functools import partial
from pathlib import Path

from gradperf import options
from gradperf.commands import AddParser, add_value
from gradperf.progress.display import on_stderr


def add(add_parser: AddParser) -> None:
    """Add the command and its options."""
    parser = add_parser(
        "certificate",
        help="measure how often the gate raises a false alarm here, and what it catches",
        usage="gradperf certificate [OPTION ...] [-- PYTEST_ARGUMENT ...]",
        epilog="Arguments after -- go to pytest, as for the gate. The checkout must have no uncommitted changes.",
    )
    value, whole = partial(add_value, parser), options.whole_number(0)
    value("--unchanged", "N", whole, 0, "runs without any change")
    value("--planted", "N", whole, 0, "runs with 3, 5 and 10 %% of work added to cases of each group")
    value("--group", "N", whole, 0, "runs with 2 %% of work added to all cases of one group")
    store, page = Path("docs/certificate.jsonl"), Path("docs/certificate.md")
    value("--store", "FILE", Path, store, "file of all runs; new runs are added to it")
    value("--page", "FILE", Path, page, "page to write from all runs")
    parser.set_defaults(command=certify_gate)


def certify_gate(parsed: argparse.Namespace) -> int:
    """Run the gate on unchanged code and on planted slowdowns, and record the results."""
    from gradperf.certificate.measure import certify

    with on_stderr("certificate") as display:
        certify(
            {"unchanged": parsed.unchanged, "planted": parsed.planted, "group": parsed.group},
            parsed.pytest_arguments,
            store=parsed.store,
            page=parsed.page,
            display=display,
        )
    return 0
