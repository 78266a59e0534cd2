"""Locks files, so that processes take turns. The system frees the lock of a process that ended, however it did."""

import errno
import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path

_OPEN = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # no link to elsewhere, no waiting for a pipe


def try_lock(path: Path, *, for_all_users: bool = False) -> int | None:
    """Lock the file ``path``, which is made if need be; return its descriptor, or None if another process has it.

    Closing the descriptor frees the lock. The file stays: a process may be waiting for it. Raises OSError if there
    can be no lock there.
    """
    while True:
        descriptor = _open(path, for_all_users)
        try:
            found = os.fstat(descriptor)
            # Where all users may write, another one can have linked the name to a file of ours.
            if not stat.S_ISREG(found.st_mode) or (for_all_users and found.st_nlink > 1):
                raise OSError(errno.EINVAL, "not a file of its own", str(path))
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(descriptor, path):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # it was removed meanwhile, so a lock on it keeps nobody out


def _open(path: Path, for_all_users: bool) -> int:
    """Open ``path``, or make it.

    Linux refuses to open another user's file in a shared folder with O_CREAT, so a file that exists is opened
    without.
    """
    while True:
        with suppress(FileNotFoundError):
            try:
                return os.open(path, _OPEN)
            except PermissionError:
                return os.open(path, _OPEN & ~os.O_RDWR | os.O_RDONLY)  # enough for a lock
        with suppress(FileExistsError):
            descriptor = os.open(path, _OPEN | os.O_CREAT | os.O_EXCL, 0o666)
            if for_all_users:
                os.fchmod(descriptor, 0o666)  # whatever the umask is
            return descriptor


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False
