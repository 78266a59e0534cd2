"""Reads a recorded run: ``gradperf.load``."""

from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path
from typing import Any

from gradperf import problems
from gradperf.api.notebook import Table
from gradperf.comparison import rows, values
from gradperf.records import history, storage
from gradperf.records.storage import Run


@dataclass(frozen=True, repr=False)
class LoadedRun(Table):
    """A recorded run: a row for each case, in seconds, bytes and shares."""

    run: Run = field(repr=False)
    left_out: tuple[str, ...] = ()
    """Files that may be newer and hold no run, with the reason."""

    @property
    def title(self) -> str:
        """The file, when and on what it was recorded."""
        run = self.run
        when = f", recorded {run.recorded_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if run.recorded_at else ""
        machine = f", on {run.cpu}" if run.cpu else ""
        return f"{run.file}{when}{machine}{f', PARTIAL: {run.partial}' if run.partial else ''}"

    def records(self) -> list[dict[str, Any]]:
        """Return the rows: table by table, the fastest style first."""
        return [*values.records(rows.tables(self.run.benchmarks, problems.baseline_of), [*values.COLUMNS])]


def load(run: str | Path = history.LAST, results: str | Path = storage.FOLDER) -> LoadedRun:
    """Return a recorded run, by default the newest complete one; raises UserError if there is none.

    ``run`` is the path of its file, or of a folder for the newest in it and below; its number such as ``0003``, the
    beginning of its name, or versions such as ``torch=2.12``.
    """
    folder = Path(run)
    found, reasons = history.newest(folder) if folder.is_dir() else history.find(str(run), Path(results))
    return LoadedRun(found, tuple(reasons))
