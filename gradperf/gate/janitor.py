"""Removes what a gate made, however the gate ended.

Its law: **a thing is told to the janitor before it exists, and the janitor alone removes it.** The janitor is a
process of its own, in its own session, that hears nothing but one pipe: a line of JSON for each thing that must go
in the end.

``{"folder": PATH}``
    A folder, with all that is in it.
``{"worktree": PATH, "repository": PATH}``
    A git worktree, and its registration in the repository; no other registration is touched.
``{"process": PID, "born": …}``
    A group of processes, by its leader; ``born`` tells it from a later process with the same number.
``{"forget": PID}``
    That leader was waited for: its number may be given to somebody else now.

The pipe closes when the gate ends: normally, by Ctrl-C, or killed. Then the janitor kills, removes, and ends too. A
process that creates one of these things inherits the pipe (:meth:`Janitor.pipe`), so that nothing is removed while
it is still being made.

This file is also the janitor's program, started by its path: it imports nothing of gradperf.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PATIENCE_S = 30.0
"""The gate waits so long for the cleaning; the janitor goes on anyway."""

_GIT_S = 60.0
"""A git that hangs is given up after so long, and its work done without it."""

_TRIES = 50
"""A killed process may still write into a folder for a moment, so removing is tried again, each 0.1 s."""

LOCATION = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_COMMON_DIR",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
    "GIT_SHALLOW_FILE",
    "GIT_GRAFT_FILE",
    "GIT_REPLACE_REF_BASE",
    "GIT_QUARANTINE_PATH",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_IMPLICIT_WORK_TREE",
)
"""Variables that say where the repository is. Git sets them for its hooks; they would overrule the folder named."""

SETTINGS = (
    "--no-optional-locks",  # the user's index is not rewritten, not even to note times
    "-c",
    "core.hooksPath=/dev/null",  # no hook of the user's runs on our worktrees
    "-c",
    "core.fsmonitor=false",  # no daemon stays behind
    "-c",
    "maintenance.auto=false",
    "-c",
    "gc.auto=0",
)
"""Arguments of every git that we start."""


def without_location(environment: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Leave out what says where git's repository is."""
    return {name: value for name, value in environment if name not in LOCATION}


class Janitor:
    """The gate's side of it; at the end of ``with`` everything that was told is gone."""

    def __init__(self) -> None:
        """Start the janitor."""
        self._paths: list[Path] = []
        self._process = subprocess.Popen(  # noqa: S603 - this very file
            # Neither the user's variables nor the installed packages can change what it does.
            [sys.executable, "-I", "-S", __file__],
            stdin=subprocess.PIPE,
            # Whoever reads the gate's output does not have to wait for the cleaning after a kill.
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=without_location(os.environ.items()),
            cwd="/",
            bufsize=0,
            start_new_session=True,  # neither Ctrl-C nor the end of the terminal is for the janitor
        )

    def pipe(self) -> int:
        """Give the pipe's descriptor, for ``pass_fds``: the cleaning waits until that process has ended as well."""
        assert self._process.stdin is not None
        return self._process.stdin.fileno()

    def folder(self, path: Path) -> None:
        """Have the folder ``path``, which need not exist yet, removed in the end."""
        self._paths.append(path)
        self._tell(folder=os.path.abspath(path))

    def worktree(self, repository: Path, path: Path) -> None:
        """Have the worktree ``path`` of ``repository``, which need not exist yet, removed in the end."""
        self._paths.append(path)
        self._tell(worktree=os.path.abspath(path), repository=os.path.abspath(repository))

    def process(self, pid: int) -> None:
        """Have the group of processes that ``pid`` leads killed in the end."""
        self._tell(process=pid, born=_born(pid))

    def forget(self, pid: int) -> None:
        """Leave ``pid`` alone from now on: it was waited for."""
        from gradperf.errors import UserError

        assert self._process.stdin is not None
        # Where nobody listens any more, there is nobody to kill it either.
        with suppress(UserError):
            if not self._process.stdin.closed:
                self._tell(forget=pid)

    def left(self) -> list[Path]:
        """List the paths that are still there."""
        return [path for path in self._paths if os.path.lexists(path)]

    def _tell(self, **thing: Any) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(thing).encode() + b"\n")
        except BrokenPipeError:
            from gradperf.errors import UserError

            raise UserError(
                "the process that removes the gate's temporary files has ended; so nothing more is made"
            ) from None

    def close(self) -> None:
        """Have all of it removed now, and wait for that; safe to call twice."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=PATIENCE_S)

    def __enter__(self) -> Self:
        """Give the janitor itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Clean."""
        self.close()


def _born(pid: int) -> str | None:
    """Tell a process from a later one with its number: when it started, in ticks since the machine did."""
    with suppress(OSError, IndexError):
        # The name, in parentheses, may contain anything; what follows are numbers.
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[19]
    return None


def _kill(pid: int, born: str | None) -> None:
    """Kill the group that ``pid`` leads, if that is still the same process or its orphans."""
    if pid <= 1 or _born(pid) not in (None, born):
        return
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _remove(path: str) -> None:
    """Remove a folder, whatever modes its own folders have."""
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


def _git(repository: str, *arguments: str) -> bytes:
    """Give git's output; empty where it cannot."""
    with suppress(OSError, subprocess.TimeoutExpired):
        return subprocess.run(  # noqa: S603
            ["git", "-C", repository, *SETTINGS, *arguments],  # noqa: S607 - the user's git
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_GIT_S,
            check=False,
        ).stdout
    return b""


def _unregister(repository: str, path: str) -> None:
    """Remove the registration of ``path`` alone; ``git worktree prune`` would remove the user's stale ones too."""
    common = os.fsdecode(_git(repository, "rev-parse", "--git-common-dir")).removesuffix("\n")
    if not common:
        return
    # Relative to the repository, if it is.
    registrations = os.path.join(repository, common, "worktrees")
    sought = os.path.realpath(os.path.join(path, ".git"))
    with suppress(OSError):
        for name in os.listdir(registrations):
            own = os.path.join(registrations, name)
            with suppress(OSError), open(os.path.join(own, "gitdir"), "rb") as file:
                # May be relative to where it is written.
                if os.path.realpath(os.path.join(own, os.fsdecode(file.read()).removesuffix("\n"))) == sought:
                    _remove(own)
        os.rmdir(registrations)  # as git does, where it was the last one


def serve() -> None:
    """Remember until the pipe closes, then clean."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    processes: dict[int, str | None] = {}
    things: list[dict[str, str]] = []
    for line in sys.stdin.buffer:
        try:
            thing = json.loads(line)
        except ValueError:  # the gate was killed as it spoke, so before it made the thing
            continue
        if "process" in thing:
            processes[thing["process"]] = thing["born"]
        elif "forget" in thing:
            processes.pop(thing["forget"], None)
        else:
            things.append(thing)
    for pid, born in processes.items():
        _kill(pid, born)
    # The latest first: worktrees go before the folder that they are in.
    for thing in reversed(things):
        if "worktree" in thing:
            # Twice: it is locked where git was killed while it made it.
            _git(thing["repository"], "worktree", "remove", "--force", "--force", thing["worktree"])
            _remove(thing["worktree"])
            _unregister(thing["repository"], thing["worktree"])
        else:
            _remove(thing["folder"])


if __name__ == "__main__":
    serve()
