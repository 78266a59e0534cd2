"""Chooses the run that this one is compared with, before pytest-benchmark reads ``--benchmark-compare``.

Without a value it is the newest complete run of the same selection, settings, machine and versions. The end of the
run tells which one it is, or why there is none. A file that holds no run is named, never passed over in silence.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path

import pytest

from gradperf.errors import UserError
from gradperf.records import history, storage
from gradperf.records.conditions import UNRECORDED, Conditions, Unlike, unlike
from gradperf.records.history import Unreadable
from gradperf.records.storage import Run
from gradperf.suite import machine_info, recording
from gradperf.suite.saving import shown
from gradperf.text.printable import clean
from gradperf.text.quantities import plural


@dataclass(frozen=True)
class Previous:
    """The runs that this one is compared with, usually one."""

    runs: tuple[Run, ...] = ()
    notes: tuple[str, ...] = field(default=())
    """Which run it is, or why there is none; and files that hold no run."""


KEY = pytest.StashKey[Previous]()


def check_not_a_path(compare: object) -> None:
    """Raise UserError if ``--benchmark-compare`` has swallowed the path of what was to be run."""
    if isinstance(compare, str) and not compare.endswith(".json") and Path(compare.partition("::")[0]).exists():
        raise UserError(
            f"--benchmark-compare took {compare!r} as the run to compare with. "
            f"Put it after the path: pytest {compare} --benchmark-compare"
        )


def prepare(config: pytest.Config, folder: Path) -> None:
    """Choose among the runs in ``folder``, pytest-benchmark's storage, and set its option to what was chosen.

    Raises UserError if the user named a run that cannot be read, or wants to fail by one where there is none.
    """
    option = config.option
    wanted = option.benchmark_compare
    if wanted is True:
        files = [file for place in (folder / storage.MACHINE_ID, folder) for file in history.files_in(place)]
        own = Conditions.described(
            machine_info.as_stored(machine_info.own(config)), config.stash[recording.KEY].selection
        )
        previous = newest(own, files, folder)
        if not previous.runs and option.benchmark_compare_fail:
            notes = (note.removeprefix("WARNING: ") for note in previous.notes)
            raise UserError(f"--benchmark-compare-fail: {'; '.join(notes)}")
    else:
        previous = named(wanted, folder)
    config.stash[KEY] = previous
    if len(previous.runs) == 1:
        option.benchmark_compare = str(previous.runs[0].file.absolute())
    elif not previous.runs:
        option.benchmark_compare = None


def check_loaded(config: pytest.Config) -> None:
    """Raise UserError if pytest-benchmark could load none of the runs: it only warns, and compares nothing."""
    previous = config.stash.get(KEY, Previous())
    if previous.runs and not config.stash[machine_info.COMPARED]:
        files = ", ".join(shown(run.file) for run in previous.runs)
        raise UserError(f"--benchmark-compare: {files}: cannot be compared with: a benchmark in it has no times")


def newest(own: Conditions, files: Sequence[Path], folder: Path) -> Previous:
    """Return the newest of the runs that is complete and under the conditions of this one."""
    passed_over: list[Unlike] = []
    unreadable: list[Unreadable] = []
    for found in history.newest_first(files):
        if isinstance(found, Unreadable):
            unreadable.append(found)
        elif (how := unlike(found, own)) is UNRECORDED:
            unreadable.append(Unreadable(found.file, f"{found.file}: {UNRECORDED.how}"))
        elif how is not None:
            passed_over.append(how)
        else:
            return Previous((found,), (_compared_with(found), *_warnings(unreadable, "may be newer, and ")))
    where = f"{plural(len(files), 'run') if files else 'no run'} in {shown(folder)}"
    reasons = _counted(passed_over)
    none = f"no run to compare with: {where}{': ' if reasons else ''}{', '.join(reasons)}"
    return Previous((), (none, *_warnings(unreadable)))


def named(name: str, folder: Path) -> Previous:
    """Return the runs that ``name`` means to pytest-benchmark or, if there are none, to :func:`history.find`."""
    runs, unreadable = [], []
    for file in _matching(name, folder):
        try:
            runs.append(storage.read(file))
        except UserError as error:
            unreadable.append(Unreadable(file, str(error)))
    if not runs and unreadable:
        raise UserError(f"--benchmark-compare={name}: {'; '.join(clean(one.reason) for one in unreadable)}")
    notes = _warnings(unreadable)
    if not runs:
        try:
            run, reasons = history.find(name, folder)
        except UserError as error:
            raise UserError(f"--benchmark-compare={name}: no such recorded run in {folder}: {error}") from None
        runs, notes = [run], [f"WARNING: {clean(reason)}" for reason in reasons]
    return Previous(tuple(runs), (*map(_compared_with, runs), *notes))


def _matching(name: str, folder: Path) -> list[Path]:
    """Return the files that pytest-benchmark loads for ``name``: a path, or a pattern for names."""
    if Path(name).is_file():
        return [Path(name)]
    parts = Path(name).parts
    if not 1 <= len(parts) <= 2 or Path(name).is_absolute():
        return []
    pattern = parts[-1].rstrip("*") + "*.json"
    folders = [*folder.glob(parts[0] if len(parts) == 2 else storage.MACHINE_ID), folder]
    return sorted({file for one in folders for file in one.glob(pattern)})


def _compared_with(run: Run) -> str:
    when = f", recorded {run.recorded_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if run.recorded_at else ""
    return f"compared with {shown(run.file)}{when}, {plural(len(run.benchmarks), 'benchmark')}"


def _counted(passed_over: Sequence[Unlike]) -> list[str]:
    """Return how many runs there are of each kind, with what differs in the newest of them."""
    first = {one.how: one for one in reversed(passed_over)}
    shares = []
    for how, count in Counter(one.how for one in passed_over).items():
        differences = first[how].differences
        more = f" and {len(differences) - 2} more" if len(differences) > 2 else ""
        shares.append(f"{count} {how}" + (f" ({'; '.join(differences[:2])}{more})" if differences else ""))
    return shares


def _warnings(unreadable: Sequence[Unreadable], which: str = "") -> list[str]:
    """Return a warning for each of the newest files that hold no run."""
    lines = [f"WARNING: a file {which}cannot be compared with: {clean(one.reason, 300)}" for one in unreadable[:3]]
    if (more := len(unreadable) - len(lines)) > 0:
        lines.append(f"WARNING: {plural(more, 'more file')} cannot be compared with")
    return lines
