"""``gradperf show``: the tables of a recorded run, from its file or from the newest one in a folder.

A run that an older version wrote is shown with a dash for each fact that it lacks.
"""

import argparse
from datetime import UTC
from pathlib import Path

from gradperf.commands import AddParser
from gradperf.comparison import table
from gradperf.errors import UserError
from gradperf.records import history, storage
from gradperf.text import streams
from gradperf.text.printable import clean
from gradperf.text.table import Terminal


def add(add_parser: AddParser) -> None:
    """Add the command and its options."""
    parser = add_parser("show", help="show the tables of a recorded run")
    parser.add_argument(
        "run", metavar="FILE", type=Path, help="a recorded run; or a folder, for the newest run in it or below"
    )
    parser.set_defaults(command=show_run)


def show_run(parsed: argparse.Namespace) -> int:
    """Print the tables of ``parsed.run``, a file or a folder."""
    if parsed.run.is_dir():
        run, reasons = history.newest(parsed.run)
        for reason in reasons:
            streams.say(clean(f"gradperf: left out: {reason}"))
    else:
        run = storage.read(parsed.run)
    if not run.benchmarks:
        raise UserError(f"{run.file}: no benchmark is in it, so there is nothing to show; run `pytest perf` again")
    if not any(benchmark.facts.problem for benchmark in run.benchmarks):
        raise UserError(
            f"{run.file}: no record of gradperf: none of its benchmarks names a problem. "
            "pytest-benchmark's own command `pytest-benchmark compare FILE` shows what other suites recorded"
        )
    print("\n".join(lines(run, Terminal.of_output())))
    return 0


def lines(run: storage.Run, terminal: Terminal) -> list[str]:
    """Return the name of the run, when and on what it was recorded, and its tables."""
    title = [str(run.file)]
    if run.recorded_at is not None:
        title.append(f"recorded {run.recorded_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC")
    if run.cpu is not None:
        title.append(f"on {run.cpu}")
    if run.partial is not None:
        title.append(f"PARTIAL: {run.partial}")
    from gradperf import problems  # imports numpy

    tables = table.lines(run.benchmarks, baseline_of=problems.baseline_of, terminal=terminal)
    return [
        terminal.plain(clean(", ".join(title))),
        "",
        *(tables or ["this run timed nothing that a table shows"]),
    ]
