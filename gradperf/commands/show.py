"""``gradperf show``: the tables of a recorded run, by default of the newest complete one.

A run that an older version wrote is shown with a dash for each fact that it lacks.
"""

import argparse
from collections.abc import Sequence
from datetime import UTC
from functools import partial
from pathlib import Path

from gradperf.commands import AddParser, add_value
from gradperf.comparison import rows, table, values
from gradperf.errors import UserError, unknown
from gradperf.records import history, storage
from gradperf.text import streams
from gradperf.text.printable import clean
from gradperf.text.table import Terminal


def add(add_parser: AddParser) -> None:
    """Add the command and its options."""
    parser = add_parser(
        "show",
        help="show the tables of a recorded run",
        epilog="A run is the path of its file, or of a folder for the newest run in it and below; its number such "
        "as 0003, the beginning of its name, 'last', or versions such as torch=2.12.",
    )
    parser.add_argument("run", metavar="RUN", nargs="?", default=history.LAST, help="which run (default: last)")
    words = "show only cases whose ids hold all of these, such as: tiny_3x2x1 torch"
    parser.add_argument("words", metavar="WORD", nargs="*", help=words)
    columns = f"show these columns, separated by commas (default: those that fit): {', '.join(values.COLUMNS)}"
    parser.add_argument("--columns", metavar="NAMES", type=_columns, default=(), help=columns)
    sort = "order the styles of a table by this column, the smallest first"
    add_value(parser, "--sort", "NAME", _column, "step_s", sort)
    formats = ("table", *values.FORMATS)
    parser.add_argument("--format", choices=formats, default="table", help="(default: %(default)s)")
    add_value(parser, "--results", "FOLDER", Path, Path(storage.FOLDER), "where the runs are")
    parser.set_defaults(command=show_run)


def _columns(text: str) -> tuple[str, ...]:
    return tuple(_column(name) for name in text.split(","))


def _column(text: str) -> str:
    """Read the name of a column."""
    if (name := text.strip()) in values.COLUMNS:
        return name
    raise argparse.ArgumentTypeError(str(unknown("column", name, values.COLUMNS)))


def show_run(parsed: argparse.Namespace) -> int:
    """Print the tables of ``parsed.run``."""
    folder = Path(parsed.run)
    run, reasons = history.newest(folder) if folder.is_dir() else history.find(parsed.run, parsed.results)
    for reason in reasons:
        streams.say(clean(f"gradperf: left out: {reason}"))
    if not run.benchmarks:
        raise UserError(f"{run.file}: no benchmark is in it, so there is nothing to show; run `pytest perf` again")
    if not any(benchmark.facts.problem for benchmark in run.benchmarks):
        raise UserError(
            f"{run.file}: no record of gradperf: none of its benchmarks names a problem. "
            "pytest-benchmark's own command `pytest-benchmark compare FILE` shows what other suites recorded"
        )
    if not any(table.has_words(parsed.words, one) for one in run.benchmarks):
        raise UserError(f"{run.file}: no case in it has {' and '.join(parsed.words)} in its id")
    if parsed.format == "table":
        terminal = Terminal.of_output()
        print("\n".join(lines(run, terminal, columns=parsed.columns, sort=parsed.sort, words=parsed.words)))
        return 0
    from gradperf import problems  # imports numpy

    kept = rows.tables(run.benchmarks, problems.baseline_of, keep=partial(table.has_words, parsed.words))
    tables = [values.ordered(one, parsed.sort) for one in kept]
    print(values.FORMATS[parsed.format](tables, parsed.columns or [*values.COLUMNS]), end="")
    return 0


def lines(
    run: storage.Run,
    terminal: Terminal,
    *,
    columns: Sequence[str] = (),
    sort: str = "step_s",
    words: Sequence[str] = (),
) -> list[str]:
    """Return the name of the run, when and on what it was recorded, and its tables."""
    title = [str(run.file)]
    if run.recorded_at is not None:
        title.append(f"recorded {run.recorded_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC")
    if run.cpu is not None:
        title.append(f"on {run.cpu}")
    if run.partial is not None:
        title.append(f"PARTIAL: {run.partial}")
    from gradperf import problems  # imports numpy

    tables = table.lines(
        run.benchmarks,
        baseline_of=problems.baseline_of,
        terminal=terminal,
        columns=columns,
        sort=sort,
        words=words,
    )
    return [
        terminal.plain(clean(", ".join(title))),
        "",
        *(tables or ["this run timed nothing that a table shows"]),
    ]
