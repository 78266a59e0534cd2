"""``gradperf stability``: how far whole runs of ``pytest perf`` can be compared here."""

import argparse
from functools import partial
from pathlib import Path

from gradperf import files, options
from gradperf.commands import AddParser, add_value
from gradperf.errors import UserError
from gradperf.progress.display import on_stderr


def add(add_parser: AddParser) -> None:
    """Add the command and its options."""
    parser = add_parser(
        "stability",
        help="measure how far stored runs can be compared here",
        usage="gradperf stability [OPTION ...] [-- PYTEST_ARGUMENT ...]",
        epilog="Arguments after -- go to pytest, in place of: perf -m gate --no-first-calls. The runs come in a "
        "random order. Call it again at another hour, or on another day, to add more.",
    )
    value, whole = partial(add_value, parser), options.whole_number(0)
    value("--quiet", "N", whole, 0, "whole runs of unchanged code, with nothing beside them")
    value("--busy", "N", whole, 0, "whole runs of unchanged code, beside two busy processes")
    value("--planted", "N", whole, 0, "whole runs with 5 and 10 %% of work added, each to a third of the cases")
    value("--store", "FILE", Path, Path("docs/stability.jsonl"), "file of all runs; new runs are added to it")
    value("--page", "FILE", Path, Path("docs/stability.md"), "page to write from all runs")
    parser.set_defaults(command=measure_stability)


def measure_stability(parsed: argparse.Namespace) -> int:
    """Run the suite, store the runs, and write the page."""
    from gradperf.stability import measure, runs
    from gradperf.stability.page import markdown

    for option, file in (("--store", parsed.store), ("--page", parsed.page)):
        files.check_can_write(option, file)
    stored = runs.read(parsed.store)  # a damaged store is reported before hours are spent
    counts: dict[runs.Kind, int] = {"quiet": parsed.quiet, "busy": parsed.busy, "planted": parsed.planted}
    if not stored and not any(counts.values()):
        raise UserError(
            f"no run was asked for, and {parsed.store} has none: give a number of them, such as --quiet 1"
        )
    arguments = parsed.pytest_arguments or measure.ARGUMENTS
    try:
        with on_stderr("stability") as display:
            measure.measure(counts, arguments, parsed.store, parsed.page, display)
    finally:
        # After Ctrl-C too: the runs made so far count.
        if known := runs.read(parsed.store):
            files.write(parsed.page, markdown(known))
            print(f"{len(known)} runs so far, in {parsed.store}; written to {parsed.page}")
    return 0
