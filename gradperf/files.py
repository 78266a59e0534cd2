"""Writes files for the user: reports an unwritable file before the work, and leaves no file half written.

A *store* is a file to which one line of JSON is added for each long measurement, when it ends.
"""

import json
import os
import secrets
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from gradperf.errors import UserError


def check_can_write(option: str, file: Path) -> None:
    """Raise UserError if ``file``, the value of ``option``, cannot be written. Nothing is changed on the disk."""
    existed = file.exists()
    try:
        with file.open("a"):
            pass
        if not existed:
            file.unlink()
    except OSError as error:
        raise UserError(f"{option}: cannot write {file}: {error.strerror}") from None


def check_can_write_in(option: str, folder: Path) -> None:
    """Raise UserError if ``folder``, the value of ``option``, cannot be made or written in. Leaves nothing."""
    made: list[Path] = []
    try:
        for missing in reversed([one for one in (folder, *folder.parents) if not one.exists()]):
            missing.mkdir()
            made.append(missing)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, ValueError) as error:  # the second for a null character
        raise UserError(
            f"{option}: cannot write in {folder}: {getattr(error, 'strerror', None) or error}"
        ) from None
    finally:
        for one in reversed(made):
            one.rmdir()


def write(path: Path, text: str) -> None:
    """Write all of ``text`` or nothing: the old file stays until the new one is on the disk.

    Raises UserError if that fails.
    """
    write_bytes(path, text.encode("utf-8", "backslashreplace"))  # half a surrogate pair must not lose a run


def write_bytes(path: Path, data: bytes) -> None:
    """Write all of ``data`` or nothing, as :func:`write` does."""
    try:
        if path.exists() and not path.is_file():  # a device or a pipe, such as /dev/stdout, must not be replaced
            path.write_bytes(data)
        else:
            _replace(path.resolve(), data)  # a link stays a link
    except (OSError, RuntimeError, ValueError) as error:  # no space, links in a circle, a null character
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot be written: {reason}") from None


Entry = TypeVar("Entry")


def append(store: Path, entry: Any) -> None:
    """Add ``entry`` to a store, all of it or nothing. Raises UserError if that fails."""
    line = json.dumps(entry, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
    try:
        with store.open("a+b", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            if end and os.pread(file.fileno(), 1, end - 1) != b"\n":  # someone edited it
                line = b"\n" + line
            if file.write(line) != len(line):  # the disk is full
                file.truncate(end)
                raise UserError(f"{store}: cannot be written: no space is left")
            os.fsync(file.fileno())
    except OSError as error:
        raise UserError(f"{store}: cannot be written: {error.strerror}") from None


def entries(store: Path, read: Callable[[Any], Entry], what: str) -> list[Entry]:
    """Return ``read(entry)`` of each line of a store; none if it does not exist.

    Raises UserError with the number of the first line that is not ``what``: there ``read`` raised ValueError,
    TypeError, KeyError or AttributeError.
    """
    if not store.exists():
        return []
    found = []
    for number, line in enumerate(store.read_bytes().splitlines(), 1):
        try:
            found.append(read(json.loads(line)))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise UserError(f"{store}, line {number}: not {what}: {type(error).__name__}: {error}") from None
    return found


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".gradperf-{secrets.token_hex(8)}.tmp")  # os.replace cannot cross file systems
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # some file systems notice only here that they are full
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
