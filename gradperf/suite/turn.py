"""Lets only one run time on this machine at a time: two disturb each other. The next one waits, or refuses.

The one whose turn it is holds the lock of a file that all users share. When it ends, in whatever way, the lock is
free. Containers that do not share a folder for temporary files do not see each other.

A run started from within a run, as by a test, does not wait: the outer one would wait for it for ever. It knows the
outer one by the variable :data:`WITHIN`, which processes inherit.
"""

import json
import os
import shlex
import stat
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gradperf.errors import UserError
from gradperf.machine import load, watch
from gradperf.machine.lock import try_lock
from gradperf.suite import duties, recording
from gradperf.text.printable import clean

WITHIN = "GRADPERF_RUN"
"""The environment variable that holds the process id of the run that has its turn."""

FILE = "GRADPERF_LOCK"
"""The environment variable that names another file to lock; for tests, which must not wait for a user's run."""

_SHARED = ("/run/lock", "/tmp")  # noqa: S108 - all users must find the same file; try_lock follows no link
_LOOK_S, _SAY_S = 0.2, 60.0


@dataclass(frozen=True)
class Owner:
    """The run whose turn it is, by what it wrote into the file. Another user's may hold anything."""

    pid: int | None = None
    started: str | None = None
    command: str | None = None

    def __str__(self) -> str:
        """Return a phrase."""
        known = [f"process {self.pid}"] if self.pid is not None else []
        known += [f"since {clean(self.started, 30)}"] if self.started else []
        known += [clean(self.command, 200)] if self.command else []
        return f"another run ({', '.join(known)})" if known else "another run"


def file() -> Path:
    """Return the file whose lock a run holds: the same for all users, and any of them can make it."""
    if FILE in os.environ:
        return Path(os.environ[FILE])
    for folder in map(Path, _SHARED):
        if folder.is_dir() and folder.stat().st_mode & (wanted := stat.S_ISVTX | stat.S_IWOTH) == wanted:
            return folder / "gradperf.lock"
    return Path(tempfile.gettempdir()) / "gradperf.lock"


@dataclass
class Turn:
    """The turn of this process: it ends with :meth:`end`, or with the process."""

    descriptor: int
    waited: bool

    def end(self) -> None:
        """Let the next run begin."""
        os.environ.pop(WITHIN, None)
        with suppress(OSError):
            os.ftruncate(self.descriptor, 0)
        os.close(self.descriptor)


def take(path: Path, command: str, *, waits: bool, say: Callable[[str], None]) -> Turn | None:
    """Wait until no other run has its turn, and take it; None if this is a run within a run, or there is no lock.

    ``say`` gets what the user must know. Raises UserError instead of waiting if this run does not wait.
    """
    said_s = None
    while True:
        try:
            descriptor = try_lock(path, for_all_users=True)
        except OSError as error:
            say(f"WARNING: cannot see whether another run disturbs this one: {path}: {error.strerror}")
            return None
        if descriptor is not None:
            _sign(descriptor, command)
            return Turn(descriptor, waited=said_s is not None)
        owner = _owner(path)
        if (outer := os.environ.get(WITHIN)) and owner.pid in (int(outer) if outer.isdecimal() else None, None):
            return None
        if not waits:
            raise UserError(f"{owner} is timing on this machine; wait for its end, or leave out --no-wait")
        if said_s is None or time.monotonic() - said_s >= _SAY_S:
            still = "still " if said_s is not None else ""
            said_s = time.monotonic()
            say(f"{still}waiting for {owner}, which would disturb this one; --no-wait refuses instead")
        time.sleep(_LOOK_S)


def _sign(descriptor: int, command: str) -> None:
    """Write into the file whose turn it is."""
    with watch.process.allowing():
        os.environ[WITHIN] = str(os.getpid())
    signed = {
        "pid": os.getpid(),
        "started": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC",
        "command": command[:1_000],
    }
    with suppress(OSError):  # another user's, which we can lock and not write; or a full disk
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(signed).encode(), 0)


def _owner(path: Path) -> Owner:
    try:
        with path.open("rb") as opened:
            signed: Any = json.loads(opened.read(10_000))
    except (OSError, ValueError, RecursionError):
        return Owner()
    if not isinstance(signed, Mapping):
        return Owner()
    pid, started, command = (signed.get(name) for name in ("pid", "started", "command"))
    return Owner(
        pid if isinstance(pid, int) and 0 < pid < 2**31 else None,
        started if isinstance(started, str) else None,
        command if isinstance(command, str) else None,
    )


_KEY = pytest.StashKey[Turn]()


@pytest.hookimpl(trylast=True)  # all that can be wrong was reported, and the benchmarks are counted
def pytest_collection_finish(session: pytest.Session) -> None:
    """Wait for the turn of this run before anything is timed."""
    config = session.config
    run = config.stash[recording.KEY]
    if not (config.stash[duties.KEY].is_recorded and run.selected):
        return
    if session.testsfailed and not config.option.continue_on_collection_errors:
        return
    reporter = config.pluginmanager.get_plugin("terminalreporter")

    def say(text: str) -> None:
        if reporter is not None:
            reporter.ensure_newline()
            reporter.write_line(f"gradperf: {text}")
            reporter.flush()

    try:
        command = shlex.join(recording.without_passwords(recording.command(config)))
        turn = take(file(), command, waits=not config.getoption("no_wait"), say=say)
    except UserError as error:
        raise pytest.UsageError(str(error)) from None
    if turn is not None:
        config.stash[_KEY] = turn
        if turn.waited:
            run.start = load.moment()


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the turn: the run is saved."""
    if turn := config.stash.get(_KEY, None):
        turn.end()
        del config.stash[_KEY]
