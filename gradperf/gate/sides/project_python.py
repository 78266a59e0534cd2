"""Finds the Python of the user's project, wherever gradperf itself is installed.

``uvx gradperf gate`` and ``pipx run gradperf gate`` run gradperf in an environment of its own, without the packages
of the project. That one's environment is looked for where people and tools put it.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from gradperf.errors import UserError

FOLDERS = (".venv", "venv")
"""Names of a project's environment in its own folder."""

_BASE_OF_CONDA = ("base", "root")


@dataclass(frozen=True)
class Choice:
    """The interpreter of both sides, and why it was taken."""

    python: str
    reason: str


def choose(given: str | None, cwd: Path, environ: Mapping[str, str]) -> Choice:
    """Return ``given``, else the interpreter of the active environment, of the project's folder, or our own."""
    if given is not None:
        return Choice(given, "named by --python")
    for prefix, reason in _environments(cwd, environ):
        if _is_own(prefix):
            return Choice(sys.executable, f"{reason}, in which gradperf runs too")
        if (python := prefix / "bin" / "python").exists():
            return Choice(str(python), reason)
        if python.is_symlink():
            raise UserError(
                f"{python} leads to {os.readlink(python)}, which is not there: make that environment again, "
                "or name an interpreter with --python"
            )
    return Choice(
        sys.executable,
        f"in which gradperf runs; no environment is active, and none is in {' or '.join(FOLDERS)}. "
        "Name another with --python",
    )


def _environments(cwd: Path, environ: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    """Yield the folders that could be the project's environment, best first, and what each is."""
    if active := environ.get("VIRTUAL_ENV"):
        if extended := _extended(Path(active)):
            yield extended, "the environment that `uv run --with` adds gradperf to"
        yield Path(active), "the active environment"
    conda = environ.get("CONDA_PREFIX")
    # conda's first environment is active in every shell of many users, whatever they work on.
    is_chosen = environ.get("CONDA_DEFAULT_ENV") not in _BASE_OF_CONDA
    if conda and is_chosen:
        yield Path(conda), "the active environment of conda"
    for folder in _up_to_the_top(cwd):
        for name in FOLDERS:
            if (prefix := folder / name).is_dir():
                yield prefix, "the environment in the project's folder"
    if conda and not is_chosen:
        yield Path(conda), "the active environment of conda"
    if location := environ.get("pythonLocation"):
        yield Path(location), "the Python that actions/setup-python has set up"


def _extended(prefix: Path) -> Path | None:
    """Return the environment that ``uv run --with`` has put another one on top of, if it can run benchmarks."""
    try:
        lines = (prefix / "pyvenv.cfg").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    for name, _, value in (line.partition("=") for line in lines):
        if name.strip() == "extends-environment":
            below = Path(value.strip())
            return below if any(below.glob("lib/python*/site-packages/pytest_benchmark")) else None
    return None


def _up_to_the_top(cwd: Path) -> list[Path]:
    """Return ``cwd`` and the folders above it, up to the repository's top; without a repository ``cwd`` alone."""
    folders = [cwd, *cwd.parents]
    tops = [number for number, folder in enumerate(folders) if (folder / ".git").exists()]
    return folders[: tops[0] + 1 if tops else 1]


def _is_own(prefix: Path) -> bool:
    return os.path.realpath(prefix) == os.path.realpath(sys.prefix)
