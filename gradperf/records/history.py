"""Finds recorded runs: the newest, the newest that can be compared with another, or the one that the user names.

Files are read from the newest to the oldest, and only as far as needed: there may be hundreds. Within a folder the
number in the name tells their order; between folders, and for names without a number, the date inside does.
"""

import heapq
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path

from gradperf.errors import UserError, unknown
from gradperf.records import numbered, storage
from gradperf.records.conditions import Conditions, unlike
from gradperf.records.storage import Run
from gradperf.text.printable import clean

_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Unreadable:
    """A file that should hold a run, and does not."""

    file: Path
    reason: str
    """With the name of the file."""


def files_in(folder: Path) -> list[Path]:
    """Return the numbered files in ``folder`` itself: those that pytest-benchmark takes for runs."""
    return [file for file in folder.glob("*.json") if numbered.number(file) is not None and file.name.isprintable()]


def files_below(folder: Path) -> list[Path]:
    """Return all JSON files in ``folder`` and the folders in it."""
    return list(folder.rglob("*.json"))


def newest_first(files: Iterable[Path]) -> Iterator[Run | Unreadable]:
    """Read the files, the newest first, each when it is asked for."""
    series: dict[Path, list[Path]] = {}
    for file in files:
        series.setdefault(file if numbered.number(file) is None else file.parent, []).append(file)
    streams = [_stream(sorted(some, key=_place, reverse=True)) for some in series.values()]
    for _, found in heapq.merge(*streams, key=lambda item: item[0], reverse=True):
        yield found


def _place(file: Path) -> tuple[int, str]:
    return numbered.number(file) or 0, file.name


def _stream(files: Iterable[Path]) -> Iterator[tuple[datetime, Run | Unreadable]]:
    """Yield the runs of one series with their dates. A file that cannot be read has that of its last change."""
    latest = None
    for file in files:
        found: Run | Unreadable
        try:
            found = storage.read(file)
            date = found.recorded_at or _NEVER
        except UserError as error:
            found, date = Unreadable(file, str(error)), _changed(file)
        # The number decides: a copied file has a later date, and must not change the order.
        latest = date if latest is None else min(latest, date)
        yield latest, found


def _changed(file: Path) -> datetime:
    try:
        return datetime.fromtimestamp(file.lstat().st_mtime, UTC)
    except (OSError, ValueError, OverflowError):
        return _NEVER


def runs(folder: Path) -> tuple[list[Run], list[str]]:
    """Return all runs in ``folder`` and below, the newest first, and why other files hold none."""
    found = list(newest_first(files_below(folder)))
    readable = [one for one in found if isinstance(one, Run)]
    return readable, [one.reason for one in found if isinstance(one, Unreadable)]


def newest(folder: Path) -> tuple[Run, list[str]]:
    """Return the newest run in ``folder`` or below, and why files that may be newer hold none.

    Raises UserError if there is no run.
    """
    return _first(folder, lambda run: True, "there is no recorded run in it")


def _first(folder: Path, fits: Callable[[Run], bool], none: str) -> tuple[Run, list[str]]:
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder; `pytest perf` writes runs into results/")
    reasons = []
    for found in newest_first(files_below(folder)):
        if isinstance(found, Unreadable):
            reasons.append(found.reason)
        elif fits(found):
            return found, reasons
    raise UserError("\n  ".join([f"{folder}: {none}", *reasons]))


def comparable(wanted: Run | Conditions, among: Iterable[Run]) -> Iterator[Run]:
    """Yield the complete runs of ``among`` under the same conditions: selection, settings, machine and versions."""
    conditions, own = (Conditions.of(wanted), wanted.file) if isinstance(wanted, Run) else (wanted, None)
    return (run for run in among if run.file != own and unlike(run, conditions) is None)


LAST = "last"


def find(name: str, folder: Path) -> tuple[Run, list[str]]:
    """Return the run that ``name`` means, in ``folder`` or below, and why files that may be newer hold none.

    It is the path of a file; a number such as 0003; the beginning of a file's name; ``last``, the newest complete
    run; or versions, ``torch=2.12`` or ``torch=2.12,numpy=2.4``: the newest complete run under them. Raises
    UserError, with the nearest names, if there is no such run or more than one.
    """
    if Path(name).is_file() or _is_path(name):
        return storage.read(Path(name)), []
    if name == LAST:
        return _first(folder, _is_complete, "there is no complete run in it")
    if "=" in name:
        return _under(name, folder)
    files = files_below(folder)
    matching = matches(name, files)
    if len(matching) > 1:
        raise UserError(f"{name} means {len(matching)} runs in {folder}: {_some(matching)}; give the path of one")
    if not matching:
        names = [file.name for file in sorted(files, key=_place, reverse=True)]
        near = [] if name.isdigit() else get_close_matches(name, names, n=3, cutoff=0.3)
        near = [clean(one, 100) for one in near or names[:3]]
        there = f"there are {len(names)}, such as {', '.join(near)}" if names else "there is none at all"
        raise UserError(f"no recorded run {name!r} in {folder}: {there}")
    return storage.read(matching[0]), []


def _is_path(name: str) -> bool:
    """Return whether ``name`` can only be a path."""
    return "/" in name or name.endswith(".json")


def matches(name: str, files: Iterable[Path]) -> list[Path]:
    """Return the files that a number or the beginning of a name means; their names alone are compared."""
    start = name.zfill(4) + "_" if name.isascii() and name.isdigit() else name
    return [file for file in files if file.name.startswith(start)]


def _some(files: list[Path]) -> str:
    return ", ".join(map(str, files[:3])) + (" and more" if len(files) > 3 else "")


def _is_complete(run: Run) -> bool:
    return run.partial is None


def _under(name: str, folder: Path) -> tuple[Run, list[str]]:
    """Return the newest complete run under the versions in ``name``, as :func:`find`."""
    wanted = {}
    for part in name.split(","):
        package, _, version = part.partition("=")
        package, version = package.strip(), version.removeprefix("=").strip()
        if not package or not version:
            raise UserError(f"{name!r} is not a run: write versions as torch=2.12 or torch=2.12,numpy=2.4")
        wanted[package] = version
    known: dict[str, set[str]] = {}

    def fits(run: Run) -> bool:
        for package, version in run.versions.items():
            known.setdefault(clean(package, 60), set()).add(clean(version, 60))
        return _is_complete(run) and all(is_version(run.versions.get(p), v) for p, v in wanted.items())

    try:
        return _first(folder, fits, "no such run")
    except UserError:
        for package, version in wanted.items():
            if package not in known:
                raise unknown(f"package of a run in {folder}", package, sorted(known)) from None
            if not any(is_version(one, version) for one in known[package]):
                raise unknown(f"version of {package} in {folder}", version, sorted(known[package])) from None
        raise UserError(f"{folder}: there is no complete run under {name}") from None


def is_version(found: str | None, wanted: str) -> bool:
    """Return whether ``found`` is the version ``wanted``, or one of its series: 2.12.1 is of 2.12, not of 2.1."""
    return found is not None and re.match(rf"{re.escape(wanted)}(?![0-9])", found) is not None
