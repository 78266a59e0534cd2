"""Asks a Python interpreter what it is, in the user's folder and environment, as pytest would run."""

import errno
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from gradperf.errors import UserError
from gradperf.gate.sides.activation import activated
from gradperf.text.printable import cut_middle

OLDEST = (3, 9)
"""The oldest Python that can run the worker."""

TIMEOUT_S = 30.0
"""Seconds that an interpreter has for its answer."""

_SHOWN = 200
"""Characters of a foreign program's message: it may quote the whole question."""

_QUESTION = Path(__file__).with_name("describe_python.py").read_text(encoding="utf-8")


@dataclass(frozen=True)
class InterpreterFacts:
    """What an interpreter reports about itself."""

    python: Path
    version: str
    implementation: str
    """Which build it is, and where: two builds of one version may differ in speed."""
    prefix: str
    distributions: tuple[tuple[str, str], ...]
    """Name and version of every installed distribution, with the origin if it was not published."""
    searched: tuple[str, ...] = ()
    """Folders from which it imports, in order."""
    projects: tuple[str, ...] = ()
    """Folders of the projects that are installed editable."""
    installed: tuple[str, ...] = ()
    """Folders of the standard library and of installed packages."""


def differing(base: InterpreterFacts, head: InterpreterFacts) -> tuple[str, ...]:
    """Return the names of the distributions that differ, but for one folder that both have installed editable.

    Its sources are the same, whatever version each side noted when it was installed.
    """
    before, after = dict(base.distributions), dict(head.distributions)
    names = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    return tuple(name for name in names if not _same_folder(before.get(name, ""), after.get(name, "")))


def _same_folder(before: str, after: str) -> bool:
    origins = {version.partition(" of ")[2] for version in (before, after)}
    return len(origins) == 1 and '"editable": true' in origins.pop()


def check_interpreter(path: str | Path, cwd: Path | None = None) -> InterpreterFacts:
    """Return the facts about the interpreter ``path``; raise UserError if it cannot run benchmarks."""
    python = _executable(os.path.expanduser(path), cwd or Path.cwd())
    try:
        done = subprocess.run(  # noqa: S603 - the interpreter that the user named
            [python, "-c", _QUESTION],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd=cwd,
            env=activated(python, os.environ),
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"{python} did not answer within {TIMEOUT_S:g} s; is it a Python interpreter?") from None
    except OSError as error:
        if error.errno == errno.ENOEXEC:
            raise UserError(f"{python} is not a Python interpreter") from None
        raise UserError(f"{python} cannot be started: {error.strerror}") from None
    # Code that is loaded at every start may have printed something before.
    lines = done.stdout.splitlines()
    try:
        answer = json.loads(lines[-1]) if done.returncode == 0 and lines else None
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or "version" not in answer:
        errors = done.stderr.decode(errors="replace").strip().splitlines()
        raise UserError(
            f"{python} is not a Python interpreter"
            + (f"; it says: {cut_middle(errors[-1], _SHOWN)}" if errors else "")
        )
    if "prefix" not in answer:
        oldest = ".".join(map(str, OLDEST))
        raise UserError(f"{python} is Python {answer['version']}; the gate needs {oldest} or later")
    if answer["missing"]:
        names = " and ".join(name.replace("_", "-") for name in answer["missing"])
        # Environments that uv makes have no pip.
        tool = f"{python} -m pip install" if answer["has_pip"] else f"uv pip install --python {python}"
        raise UserError(
            f"{python} has no {names}; install with: {tool} pytest pytest-benchmark; "
            "or name another interpreter with --python"
        )
    return InterpreterFacts(
        python=python,
        version=answer["version"],
        implementation=answer["implementation"],
        prefix=answer["prefix"],
        distributions=tuple((name, version) for name, version in answer["distributions"]),
        searched=tuple(answer["searched"]),
        projects=tuple(answer["projects"]),
        installed=tuple(answer["installed"]),
    )


def _executable(path: str, cwd: Path) -> Path:
    """Return the file that the user means. Links are not resolved: the Python of an environment is one."""
    if os.sep not in path:
        if found := shutil.which(path):
            return Path(os.path.abspath(found))
        if not (cwd / path).exists():
            raise UserError(
                f"there is no interpreter {path!r} on PATH; give --python, --base-python or --head-python a path"
            )
    python = Path(os.path.abspath(cwd / path))
    if python.is_dir():
        inside = python / "bin" / "python"
        raise UserError(f"{python} is a folder" + (f"; did you mean {inside}?" if inside.exists() else ""))
    if not python.exists():
        raise UserError(f"the interpreter {python} does not exist")
    if not os.access(python, os.X_OK):
        raise UserError(f"{python} is not executable, so it is not a Python interpreter")
    return python
