"""``gradperf doctor``: what this machine can measure, and what it cannot."""

import argparse
import json
import os

from gradperf import files, options
from gradperf.commands import AddParser, add_json, add_value
from gradperf.machine import threads
from gradperf.progress.display import on_stderr
from gradperf.progress.steps import Span


def add(add_parser: AddParser) -> None:
    """Add the command and its options."""
    parser = add_parser("doctor", help="report what this machine can measure, and what it cannot")
    options.add(parser.add_argument, ("threads",), axes=False)
    add_value(
        parser, "--seconds", "N", options.whole_number(5), 60, "measure for about this many seconds, at least 5"
    )
    add_json(parser)
    parser.set_defaults(command=examine_machine)


def examine_machine(parsed: argparse.Namespace) -> int:
    """Report what this machine is, what disturbs measuring on it, and the smallest change that it can show."""
    variables = {name: os.environ[name] for name in (*threads.VARIABLES, *threads.WAITING) if name in os.environ}
    threads.bind(parsed.threads)
    from gradperf.doctor import examination, report

    if parsed.json is not None:
        files.check_can_write("--json", parsed.json)
    print(f"gradperf doctor: measuring for about {parsed.seconds} s; leave the machine alone meanwhile", flush=True)
    with on_stderr("doctor") as display:
        show = Span(display, parsed.seconds).show
        examined = examination.examine(parsed.threads, parsed.seconds, variables, show)
    print("\n".join(report.lines(examined)))
    if parsed.json is not None:
        files.write(parsed.json, json.dumps(report.record(examined), indent=2) + "\n")
        print(f"written to {parsed.json}")
    return 0
