"""Adds files to a folder under numbers that no other process takes: ``0001_name.json``, ``0002_name.json``.

A file gets its name when all of it is on the disk, and no name is taken twice. So a process that is killed, at any
moment, leaves the files before it as they were, and none that is half written. It may leave a temporary file. The
lock on that file ends with its writer; then the next writer removes it.
"""

import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gradperf.machine.lock import try_lock

NAME = re.compile(r"(\d{4,9})_.*\.json", re.DOTALL)
"""Of a numbered file. Longer numbers are no one's, and would leave no room for a name."""

LOCK = ".gradperf.lock"
"""Whoever gives a number, or begins or removes a temporary file, holds the lock of this file in the folder."""

PATIENCE_S = 20.0
"""A lock is held for milliseconds. If one is held for so long, its owner hangs."""


def add(folder: Path, name: str, text: str) -> Path:
    """Write all of ``text`` to ``NNNN_name.json`` in ``folder``, which is made if need be; return the file.

    Nothing is ever overwritten. Raises OSError, and leaves nothing, if that is not possible.
    """
    data = text.encode("utf-8", "backslashreplace")  # half a surrogate pair must not lose a run
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".gradperf-run-{secrets.token_hex(8)}.tmp"  # a link cannot cross file systems
    descriptor = None
    try:
        with _locked(folder) as alone:
            if alone:
                _remove_abandoned(folder)
            with suppress(OSError):
                descriptor = try_lock(temporary)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # some file systems notice only here that they are full
        with _locked(folder):
            path = _publish(temporary, folder, name)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if descriptor is not None:
            os.close(descriptor)
    _sync(folder)
    return path


def number(file: Path) -> int | None:
    """Return the number in the name of a file; None if it has none."""
    found = NAME.fullmatch(file.name)
    return int(found[1]) if found else None


def _publish(temporary: Path, folder: Path, name: str) -> Path:
    """Publish the file under the next free number."""
    following = max((number(file) or 0 for file in folder.iterdir()), default=0) + 1
    while True:
        path = folder / f"{following:04}_{name}.json"
        try:
            os.link(temporary, path)  # fails if there is such a file, also without the lock
            return path
        except FileExistsError:
            following += 1
        except OSError:  # a file system without links
            if os.path.lexists(path):
                following += 1
                continue
            os.replace(temporary, path)
            return path


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Hold the lock of the folder. Without it nothing is lost, but a number may be given twice.

    Yields whether it is held: a file system may have no locks, and an owner may hang.
    """
    descriptor, deadline_s = None, time.monotonic() + PATIENCE_S
    with suppress(OSError):
        while (descriptor := try_lock(folder / LOCK)) is None and time.monotonic() < deadline_s:
            time.sleep(0.01)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _remove_abandoned(folder: Path) -> None:
    """Remove temporary files whose writers have ended; the lock of the folder is held."""
    for file in folder.glob(".gradperf-run-*.tmp"):
        with suppress(OSError):
            if (descriptor := try_lock(file)) is not None:
                file.unlink()
                os.close(descriptor)


def _sync(folder: Path) -> None:
    """Have the new name on the disk too, where the file system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
