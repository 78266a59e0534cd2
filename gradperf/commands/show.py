"""``gradperf show``: the table of a recorded run, from its file or from the newest one in a folder.

A file is read as it is: one that holds no run is refused with what is wrong in it, one that an older version wrote
is shown with a dash for each fact that it lacks.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gradperf.commands import AddParser
from gradperf.errors import UserError
from gradperf.suite import storage, table


@dataclass(frozen=True)
class Run:
    """A recorded run."""

    file: Path
    recorded_at: datetime | None
    cpu: str | None
    records: tuple[table.Record, ...]
    incomplete: str | None = None
    """How many of the benchmarks that were to be timed are in it, where some are not."""


def add(add_parser: AddParser) -> None:
    """Add the command and its options."""
    parser = add_parser("show", help="the table of a recorded run")
    parser.add_argument(
        "run", metavar="FILE", type=Path, help="its JSON, or a folder: the newest run in it or below it"
    )
    parser.set_defaults(command=show_run)


def show_run(parsed: argparse.Namespace) -> int:
    """Print the tables of ``parsed.run``, a file or a folder."""
    run = newest(parsed.run) if parsed.run.is_dir() else read(parsed.run)
    ascii_only = not encodes(sys.stdout.encoding, table.SIGNS)
    for line in lines(run, shutil.get_terminal_size().columns, ascii_only):
        print(line)
    return 0


def encodes(encoding: str | None, text: str) -> bool:
    """Tell whether a stream of this encoding can hold ``text``."""
    try:
        text.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def lines(run: Run, width: int, ascii_only: bool) -> list[str]:
    """Give the name of the run, when and on what it was recorded, and its tables."""
    told = [str(run.file)]
    if run.recorded_at is not None:
        told.append(f"recorded {run.recorded_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC")
    if run.cpu is not None:
        told.append(f"on {run.cpu}")
    if run.incomplete is not None:
        told.append(f"INCOMPLETE: {run.incomplete}")
    # A file may hold anything, and a terminal obeys what it is sent.
    head = "".join(character if character.isprintable() else "?" for character in ", ".join(told))
    if ascii_only:
        head = head.encode("ascii", "replace").decode()
    from gradperf import problems  # imports numpy

    tables = table.lines(run.records, baseline_of=problems.baseline_of, width=width, ascii_only=ascii_only)
    return [head, "", *(tables or ["nothing that a table shows was timed in it"])]


def newest(folder: Path) -> Run:
    """Read the run in or below ``folder`` that says it was recorded last; what is no run is told and left out."""
    runs, refused = [], []
    for file in sorted(folder.rglob("*.json")):
        try:
            runs.append(read(file))
        except UserError as error:
            refused.append(str(error))
    if not runs:
        raise UserError("\n  ".join([f"{folder}: there is no recorded run in it", *refused]))
    for told in refused:
        print(f"gradperf: left out: {told}", file=sys.stderr)
    return max(runs, key=lambda run: run.recorded_at or datetime.min.replace(tzinfo=UTC))


def read(file: Path) -> Run:
    """Read a run as pytest-benchmark stores it; raises UserError with what is wrong and where."""
    try:
        stored = json.loads(file.read_bytes())
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{file}: no JSON at line {error.lineno}, column {error.colno}: {error.msg}") from None
    except (ValueError, RecursionError) as error:  # no text, or a number or a nesting beyond all bounds
        raise UserError(f"{file}: no JSON that can be read: {type(error).__name__}: {error}") from None
    if not isinstance(stored, Mapping) or "benchmarks" not in stored:
        raise UserError(f"{file}: no recorded run, it has no key 'benchmarks'")
    records = stored["benchmarks"]
    if not isinstance(records, list):
        raise UserError(f"{file}: 'benchmarks' is no list")
    for index, record in enumerate(records):
        if not isinstance(record, Mapping):
            raise UserError(f"{file}: benchmarks[{index}] is no object")
    return Run(
        file,
        _moment(stored.get("datetime")),
        _cpu(stored.get("machine_info")),
        tuple(records),
        storage.incomplete(stored),
    )


def _moment(text: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _cpu(machine: Any) -> str | None:
    model = machine.get("cpu_model") if isinstance(machine, Mapping) else None
    return model if isinstance(model, str) and model else None
