"""``gradperf report``: recorded runs as one page, for a browser."""

import argparse
import sys
import webbrowser
from collections.abc import Iterator
from pathlib import Path

from gradperf import files
from gradperf.commands import AddParser, add_value
from gradperf.errors import UserError
from gradperf.records import history, storage
from gradperf.records.history import Unreadable
from gradperf.records.storage import Run
from gradperf.text import streams
from gradperf.text.quantities import plural

PAGE = Path("gradperf-report.html")


def add(add_parser: AddParser) -> None:
    """Add the command and its options."""
    parser = add_parser(
        "report",
        help="write recorded runs as one page: tables, figures and history",
        epilog="A run is the path of its file, or of a folder for all runs in it and below; its number such as "
        "0003, the beginning of its name, 'last', or versions such as torch=2.12; or what `gradperf run CASE "
        "--json FILE` wrote, whose losses and curves are drawn. The record of a gate, as --json writes it, becomes "
        "a page of its own. A page needs no network.",
    )
    parser.add_argument("runs", metavar="RUN", nargs="*", help="what to show (default: all runs in --results)")
    add_value(parser, "--output", "FILE", Path, PAGE, "the page to write")
    add_value(parser, "--results", "FOLDER", Path, Path(storage.FOLDER), "where the runs are")
    parser.add_argument("--open", action="store_true", help="open the page in a browser")
    parser.set_defaults(command=write_report)


def write_report(parsed: argparse.Namespace) -> int:
    """Write the page; files that hold no run are named, and the page says so."""
    from gradperf import problems  # imports numpy
    from gradperf.report import data, gate, page

    page.check_can_render()
    files.check_can_write("--output", parsed.output)
    if len(parsed.runs) == 1 and (record := gate.read(Path(parsed.runs[0]))) is not None:
        return _written(page.gate_html(gate.gather(record)), "a run of the gate", parsed)
    report = data.gather(_found(parsed.runs, parsed.results), problems.baseline_of, family_of)
    for reason in report.left_out[:20]:
        streams.say(f"gradperf: left out: {reason}")
    if not report.runs and not report.curves:
        none = "; ".join(report.left_out[:3]) or "there is no recorded run"
        raise UserError(f"nothing to report: {none}; `pytest perf` writes runs into {parsed.results}/")
    text = page.html(report, " ".join(["gradperf", *sys.argv[1:]]))
    kinds = ((report.runs, "run"), (report.curves, "single case"))
    return _written(text, " and ".join(plural(len(some), kind) for some, kind in kinds if some), parsed)


def _written(text: str, what: str, parsed: argparse.Namespace) -> int:
    """Write the page, say so, and open it if that is asked for."""
    files.write(parsed.output, text)
    print(f"{parsed.output}: {what}, {len(text.encode()) / 1e6:.1f} MB")
    if parsed.open and not webbrowser.open(parsed.output.resolve().as_uri()):
        streams.say(f"gradperf: no browser was found; open {parsed.output} yourself")
    return 0


def _found(names: list[str], folder: Path) -> Iterator[Run | Unreadable]:
    """Yield the runs that are named, the newest first, and what holds none."""
    if not names:
        if not folder.is_dir():
            raise UserError(f"{folder}: there is no such folder; `pytest perf` writes runs into it")
        yield from history.newest_first(history.files_below(folder))
        return
    chosen: dict[Path, None] = {}
    for name in names:
        place = Path(name)
        if place.is_dir():
            chosen.update(dict.fromkeys(history.files_below(place)))
        elif place.is_file():
            chosen[place] = None
        else:
            run, reasons = history.find(name, folder)
            chosen[run.file] = None
            for reason in reasons:
                yield Unreadable(folder, reason)
    yield from history.newest_first(chosen)


def family_of(problem: str) -> str:
    """Return the family of a problem; of an unknown one, nothing."""
    from gradperf import problems

    try:
        return problems.find(problem).family
    except (UserError, ValueError):  # an unknown problem, or a size of thousands of digits
        return ""
