"""Finds git filters that files of a checkout need, but that are not installed or not set up here.

Without them git cannot make copies of these files, or copies hold what git stores in place of their content.
"""

import os
import shlex
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gradperf.errors import UserError
from gradperf.gate.sides import git

REMEDIES = {
    "lfs": "install git-lfs (https://git-lfs.com), then `git lfs install` and `git lfs pull`",
    "git-crypt": "install git-crypt, then `git-crypt unlock`",
}
"""By filter: how to get its content. For others there is no common way."""

_NO_FILTER = {"unspecified", "unset", "set", ""}
"""Values of the attribute that name no filter."""


def check(repo: Path) -> None:
    """Raise UserError if a filter that git requires cannot run here."""
    for problem in _problems(repo):
        if problem.required:
            raise UserError(
                f"git cannot copy {problem.files} without the filter {problem.name!r}, "
                f"but {problem.what}: {problem.remedy}"
            )


def warnings(repo: Path) -> list[str]:
    """Return a warning for each filter without which git copies what it stores."""
    return [
        f"both sides have {problem.files} as git stores it, without the filter {problem.name!r}, "
        f"as {problem.what}: {problem.remedy}"
        for problem in _problems(repo)
        if not problem.required
    ]


@dataclass(frozen=True)
class _Problem:
    """A filter that cannot run here."""

    name: str
    files: str
    what: str
    remedy: str
    required: bool


def _problems(repo: Path) -> Iterator[_Problem]:
    for name, paths in _used(repo).items():
        missing, is_set_up = _missing(repo, name)
        if is_set_up and not missing:
            continue
        other = f"install it, or change git's setting filter.{name}" if missing else "set it up as the project says"
        yield _Problem(
            name,
            f"{paths[0]!r}" + (f" and {len(paths) - 1} more" if len(paths) > 1 else ""),
            f"its program {missing} is not installed" if missing else "it is not set up here",
            REMEDIES.get(name, other),
            git.line(repo, "config", "--type=bool", f"filter.{name}.required") == "true",
        )


def _used(repo: Path) -> dict[str, list[str]]:
    """Return the files that need each filter: those that git would commit now."""
    files = git.output(repo, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    attributes = git.split(git.output(repo, "check-attr", "-z", "--stdin", "filter", stdin=files))
    used: dict[str, list[str]] = {}
    for path, value in zip(attributes[::3], attributes[2::3], strict=True):
        if value not in _NO_FILTER:
            used.setdefault(value, []).append(path)
    return used


def _missing(repo: Path, name: str) -> tuple[str, bool]:
    """Return a program of the filter that does not exist, and whether the filter is set up at all."""
    process, *others = (
        git.line(repo, "config", f"filter.{name}.{kind}") for kind in ("process", "clean", "smudge")
    )
    commands = [command for command in ([process] if process else others) if command]
    missing = (program for command in commands if not _exists(repo, program := _program(command)))
    return next(missing, ""), bool(commands)


def _program(command: str) -> str:
    """Return the first word of a command as the shell reads it."""
    try:
        word = next(iter(shlex.split(command)), "")
    except ValueError:  # a quote without an end, which the shell reports
        return ""
    return os.path.expandvars(os.path.expanduser(word))


def _exists(repo: Path, program: str) -> bool:
    """Return whether git's shell finds a program; what is more than a name is not judged."""
    if not program or any(sign in program for sign in "=;&|<>$`(){}\n"):
        return True
    path = os.pathsep.join(_folders(git.line(repo, "--exec-path"), os.environ.get("PATH")))
    done = subprocess.run(  # noqa: S603 - the word is an argument, not run
        ["sh", "-c", 'command -v -- "$1"', "sh", program],  # noqa: S607 - the shell that git uses
        cwd=repo,
        env={**os.environ, "PATH": path},
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def _folders(*paths: str | None) -> Iterable[str]:
    return (path for path in paths if path)
