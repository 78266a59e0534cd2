"""``gradperf certificate``: how often the gate raises a false alarm here, and what it catches."""

import argparse
from pathlib import Path

from gradperf import options
from gradperf.commands import AddParser


def add(add_parser: AddParser) -> None:
    """Add the command and its options."""
    parser = add_parser(
        "certificate",
        help="how often does the gate raise a false alarm here, and what does it catch?",
        usage="gradperf certificate [OPTION ...] [-- PYTEST_ARGUMENT ...]",
        epilog="Arguments after -- go to pytest, as for the gate. The checkout must have no uncommitted changes.",
    )
    option = parser.add_argument
    for name, runs in (
        ("--unchanged", "runs without any change"),
        ("--planted", "runs with 3, 5 and 10 %% of work added to cases of each group"),
        ("--group", "runs with 2 %% of work added to all cases of one group"),
    ):
        option(name, metavar="N", type=options.whole_number(0), default=0, help=f"{runs} (default: 0)")
    option(
        "--store",
        metavar="FILE",
        type=Path,
        default=Path("docs/certificate.jsonl"),
        help="the runs so far, to which new ones are added (default: %(default)s)",
    )
    option(
        "--page",
        metavar="FILE",
        type=Path,
        default=Path("docs/certificate.md"),
        help="the page that is written from them (default: %(default)s)",
    )
    parser.set_defaults(command=certify_gate)


def certify_gate(parsed: argparse.Namespace) -> int:
    """Run the gate on unchanged code and on planted slowdowns, and record the results."""
    from gradperf.certificate import measure

    return measure.certify(parsed, parsed.pytest_arguments)
