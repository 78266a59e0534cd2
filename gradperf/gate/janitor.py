"""Removes the gate's temporary folders and processes, however the gate ended.

The gate announces each folder and process to the janitor before it makes it. Only the janitor removes them. It is a
process of its own, in its own session. It reads lines of JSON from a pipe:

``{"folder": PATH}``
    Remove this folder and all that is in it.
``{"process": PID, "born": TIME}``
    Kill the process group that this process leads. A later process with its number has another ``born``.
``{"forget": PID}``
    Do not kill this process: the gate has waited for it, so its number may soon be another process's.

The pipe closes when the gate ends: normally, by Ctrl-C, or killed. Then the janitor kills, removes, and ends. A
process that writes into such a folder inherits the pipe (:meth:`Janitor.pipe`), so the janitor waits for it too.

This file is also the janitor's program, started by its path, so it imports nothing of gradperf at the top.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PATIENCE_S = 30.0
"""Seconds that the gate waits for the cleaning; the janitor goes on afterwards."""

_TRIES = 50
"""Times to try to remove a folder, each after 0.1 s: a killed process may still write into it for a moment."""


class Janitor:
    """The gate's end of the pipe; after the ``with`` block everything announced is gone."""

    def __init__(self) -> None:
        """Start the janitor."""
        self._process = subprocess.Popen(  # noqa: S603 - this very file
            # Neither the user's variables nor the installed packages can change what it does.
            [sys.executable, "-I", "-S", __file__],
            stdin=subprocess.PIPE,
            # A program that reads the gate's output must not wait for the cleaning after a kill.
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            bufsize=0,
            start_new_session=True,  # Ctrl-C and the end of the terminal must not reach the janitor
        )

    def pipe(self) -> int:
        """Return the pipe's descriptor, for ``pass_fds``: the janitor then waits for that process too."""
        assert self._process.stdin is not None
        return self._process.stdin.fileno()

    def folder(self, path: Path) -> None:
        """Announce the folder ``path``, which need not exist yet."""
        self._send(folder=os.path.abspath(path))

    def process(self, pid: int) -> None:
        """Announce the process group that ``pid`` leads."""
        self._send(process=pid, born=_born(pid))

    def forget(self, pid: int) -> None:
        """Take back the announcement of ``pid``: it was waited for."""
        from gradperf.errors import UserError

        assert self._process.stdin is not None
        # A janitor that has ended kills nothing, so it need not know.
        with suppress(UserError):
            if not self._process.stdin.closed:
                self._send(forget=pid)

    def _send(self, **announcement: Any) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(announcement).encode() + b"\n")
        except BrokenPipeError:
            from gradperf.errors import UserError

            raise UserError(
                "the process that removes the gate's temporary files has ended, so the gate stops; run it again"
            ) from None

    def close(self) -> None:
        """Remove everything now and wait for it; safe to call twice."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=PATIENCE_S)

    def __enter__(self) -> Self:
        """Return the janitor itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove everything."""
        self.close()


def _born(pid: int) -> str | None:
    """Return when a process started, in ticks since the machine did; None if it does not run."""
    with suppress(OSError, IndexError):
        # The name, in parentheses, may contain anything; numbers follow it.
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[19]
    return None


def _kill(pid: int, born: str | None) -> None:
    """Kill the group that ``pid`` leads, if it is still the same process, or what that left behind."""
    if pid <= 1 or _born(pid) not in (None, born):
        return
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _remove(path: str) -> None:
    """Remove a folder, even if it contains read-only folders."""
    for number in range(_TRIES):
        if not os.path.lexists(path):
            return
        if number:
            time.sleep(0.1)
            for above, folders, _ in os.walk(path):
                for folder in folders:
                    within = os.path.join(above, folder)
                    if not os.path.islink(within):
                        with suppress(OSError):
                            os.chmod(within, 0o700)
        if os.path.islink(path) or not os.path.isdir(path):
            with suppress(OSError):
                os.unlink(path)
        else:
            with suppress(OSError):
                os.chmod(path, 0o700)
            shutil.rmtree(path, ignore_errors=True)


def serve() -> None:
    """Read announcements until the pipe closes, then kill and remove."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    processes: dict[int, str | None] = {}
    folders: list[str] = []
    for line in sys.stdin.buffer:
        try:
            announcement = json.loads(line)
        except ValueError:  # the gate was killed while it wrote this line, so it has not made the thing
            continue
        if "process" in announcement:
            processes[announcement["process"]] = announcement["born"]
        elif "forget" in announcement:
            processes.pop(announcement["forget"], None)
        else:
            folders.append(announcement["folder"])
    for pid, born in processes.items():
        _kill(pid, born)
    for folder in folders:
        _remove(folder)


if __name__ == "__main__":
    serve()
