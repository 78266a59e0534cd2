"""Runs git so that the user's repository stays as it is: no hook, no daemon, no clean-up, no refreshed index."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from gradperf.errors import UserError

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
"""Variables that name a repository. Git sets them for its hooks. They would overrule the folder that we name."""

_CONFIGURATION = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",  # starts a daemon
    "core.splitIndex=false",  # writes a part of the index beside the user's
    "core.sparseCheckout=false",  # would refuse files outside its patterns; the index says what is left out
    "core.safecrlf=false",  # refuses files whose line ends do not survive a commit
    "core.looseCompression=0",  # new objects are soon removed
    "maintenance.auto=false",
    "gc.auto=0",
    "log.showSignature=false",
)
_SETTINGS = ("--no-optional-locks", *(word for setting in _CONFIGURATION for word in ("-c", setting)))


def without_location(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without the variables that name a repository."""
    return {name: value for name, value in environment.items() if name not in LOCATION}


def run(
    folder: Path,
    *arguments: str | Path,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
    pipe: int | None = None,
) -> tuple[int, bytes, str]:
    """Run git in ``folder``; return its exit code, output and error message. Git inherits ``pipe``."""
    # Some messages are read below, so they must be in English. Git must not ask for a password.
    settings = {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(  # noqa: S603 - no shell
            ["git", "-C", folder, *_SETTINGS, *arguments],  # noqa: S607 - the user's git
            input=stdin,
            capture_output=True,
            env={**without_location(os.environ), **settings, **(environment or {})},
            pass_fds=() if pipe is None else (pipe,),
            check=False,
        )
    except FileNotFoundError:
        raise UserError(
            "git is not installed, or not on PATH; give --base-python to compare interpreters without it"
        ) from None
    return done.returncode, done.stdout, os.fsdecode(done.stderr).strip()


def output(
    folder: Path,
    *arguments: str | Path,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
    pipe: int | None = None,
) -> bytes:
    """Run git as :func:`run` does and return its output; raise UserError with git's message if it fails."""
    code, written, message = run(folder, *arguments, stdin=stdin, environment=environment, pipe=pipe)
    if code:
        raise UserError(f"git {arguments[0]} failed: {message or f'exit code {code}'}")
    return written


def line(folder: Path, *arguments: str) -> str | None:
    """Return git's output without its line end; None if git fails."""
    code, written, _ = run(folder, *arguments)
    # Only the last line end is git's own: the name of a folder may end in one too.
    return os.fsdecode(written).removesuffix("\n") if code == 0 else None


def split(written: bytes) -> list[str]:
    """Return the entries that git wrote with ``-z``; names that are not UTF-8 survive."""
    return [os.fsdecode(entry) for entry in written.split(b"\0") if entry]


def join(paths: list[str]) -> bytes:
    """Return paths as git reads them with ``-z``."""
    return b"".join(os.fsencode(path) + b"\0" for path in paths)
