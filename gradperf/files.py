"""Writes files for the user: reports an unwritable file before the work, and leaves no file half written."""

import os
import secrets
from pathlib import Path

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


def write(path: Path, text: str) -> None:
    """Write all of ``text`` or nothing: the old file stays until the new one is on the disk.

    Raises UserError if that fails.
    """
    data = text.encode("utf-8", "backslashreplace")  # half a surrogate pair must not lose a run
    try:
        if path.exists() and not path.is_file():  # a device or a pipe, such as /dev/stdout, must not be replaced
            path.write_bytes(data)
        else:
            _replace(path.resolve(), data)  # a link stays a link
    except (OSError, RuntimeError, ValueError) as error:  # no space, links in a circle, a null character
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot be written: {reason}") from None


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
