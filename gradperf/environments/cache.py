"""Where the environments are kept: a folder for each, named after what it holds."""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gradperf.environments.copy import package_folders
from gradperf.errors import UserError
from gradperf.gate.sides.interpreters import InterpreterFacts

_FORM = 1
"""Changes when environments are made in another way, so that older ones are not used again."""

_COMPLETE = "gradperf.json"
"""The file that is written last: an environment without it was interrupted."""


def place(environ: Mapping[str, str]) -> Path:
    """Return the folder of all environments."""
    given = environ.get("XDG_CACHE_HOME", "")
    caches = Path(given) if os.path.isabs(given) else Path.home() / ".cache"  # others count as not given
    return caches / "gradperf" / "environments"


@contextmanager
def opened(folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Make the folder of all environments; let one process at a time make environments in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise UserError(
            f"environments cannot be kept in {folder}: {error.strerror}; XDG_CACHE_HOME names another place"
        ) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another gradperf upgrade that makes environments")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:  # a network drive may have no locks
            pass
        yield
    finally:
        os.close(descriptor)


def key(facts: InterpreterFacts, requirements: Sequence[str] = ()) -> str:
    """Return the name of the environment with the packages of ``facts`` and the requirements on top."""
    packages = [_fingerprint(folder) for folder in package_folders(facts)]
    held = [facts.version, facts.implementation, facts.prefix, facts.distributions, packages]
    text = json.dumps([_FORM, held, *map(_dated, sorted(requirements))], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def kept(folder: Path) -> bool:
    """Whether an environment is complete; one that is not is removed."""
    if (folder / _COMPLETE).is_file() and (folder / "bin" / "python").exists():
        return True
    drop(folder)
    return False


def complete(folder: Path, **facts: Any) -> None:
    """Note that an environment is complete, and what it is for those who find it."""
    made = datetime.now(UTC).isoformat(timespec="seconds")
    (folder / _COMPLETE).write_text(json.dumps({**facts, "made": made}, indent=1) + "\n", encoding="utf-8")


def drop(folder: Path) -> None:
    """Remove an environment."""
    shutil.rmtree(folder, ignore_errors=True)


def _dated(requirement: str) -> list[str]:
    """Return a requirement with what else decides what it installs: a file's time, or the day."""
    file = Path(requirement.partition(" @ file://")[2] or requirement)
    if file.is_file():
        return [requirement, str(file.stat().st_mtime_ns)]
    # Without an exact version, the newest of the day counts.
    is_exact = "==" in requirement and "*" not in requirement and "," not in requirement
    return [requirement, "" if is_exact else datetime.now(UTC).date().isoformat()]


def _fingerprint(packages: Path) -> list[list[Any]]:
    """Return what tells two folders of packages apart: their entries, and what each distribution recorded."""
    found: list[list[Any]] = []
    for entry in sorted(packages.iterdir()) if packages.is_dir() else ():
        record = entry / "RECORD"
        if entry.is_file():
            found.append([entry.name, entry.stat().st_size, entry.stat().st_mtime_ns])
        elif entry.name != "__pycache__":
            is_distribution = entry.suffix == ".dist-info" and record.is_file()
            found.append([entry.name, hashlib.sha256(record.read_bytes()).hexdigest() if is_distribution else ""])
    return found
