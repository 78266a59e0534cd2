"""``gradperf compare``: what changed between two recorded runs, case by case.

The exit code is 0; with ``--fail`` it is 10 if a case is slower, as that of the gate.
"""

import argparse
from pathlib import Path

from gradperf import files
from gradperf.commands import AddParser, add_value
from gradperf.comparison.changes import basis, changes
from gradperf.comparison.formats import FORMATS, Comparison
from gradperf.errors import UserError
from gradperf.records import conditions, history, storage
from gradperf.records.storage import Run
from gradperf.text.table import Terminal

SLOWER = 10
"""The exit code for a slower case."""


def add(add_parser: AddParser) -> None:
    """Add the command and its options."""
    parser = add_parser(
        "compare",
        help="report what changed between two recorded runs",
        epilog="A run is the path of its file, its number such as 0003, the beginning of its name, 'last', or the "
        "versions of the last complete run under them, such as torch=2.12.",
    )
    parser.add_argument(
        "then", metavar="A", nargs="?", help="the earlier run (default: the last one under the conditions of B)"
    )
    parser.add_argument("now", metavar="B", nargs="?", default=history.LAST, help="the later run (default: last)")
    parser.add_argument("--fail", action="store_true", help=f"exit with code {SLOWER} if a case is slower")
    parser.add_argument("--format", choices=FORMATS, default="terminal", help="(default: %(default)s)")
    add_value(parser, "--output", "FILE", Path, None, "write to FILE instead of printing")
    add_value(parser, "--results", "FOLDER", Path, Path(storage.FOLDER), "where the runs are")
    parser.set_defaults(command=compare_runs)


def compare_runs(parsed: argparse.Namespace) -> int:
    """Compare two runs, and print or write what changed."""
    from gradperf import problems  # imports numpy

    now, notes = history.find(parsed.now, parsed.results)
    then, more = _earlier(now, parsed.results) if parsed.then is None else history.find(parsed.then, parsed.results)
    if then.file == now.file:
        raise UserError(f"{now.file} would be compared with itself; name two runs: gradperf compare A B")
    by = basis(then, now.machine)
    found = changes(then.benchmarks, now.benchmarks, by, problems.baseline_of)
    differences = conditions.differences(now.machine, then.machine)
    comparison = Comparison(then, now, found, (*notes, *more, *differences))
    if parsed.output is not None:
        files.check_can_write("--output", parsed.output)
    text = FORMATS[parsed.format](comparison, Terminal.of_output())
    if parsed.output is None:
        print(text, end="")
    else:
        files.write(parsed.output, text)
    if not found.cases:
        raise UserError("the two runs have no case in common")
    return SLOWER if parsed.fail and found.with_verdict("slower") else 0


def _earlier(now: Run, folder: Path) -> tuple[Run, list[str]]:
    """Return the newest complete run before ``now`` under its conditions."""
    runs, reasons = history.runs(folder)
    places = [place for place, run in enumerate(runs) if run.file == now.file]
    before = runs[places[0] + 1 :] if places else runs
    for run in history.comparable(now, before):
        return run, reasons
    raise UserError(
        f"no complete run before {now.file} has its selection, settings, machine and versions; "
        "name the run to compare with: gradperf compare A B"
    )
