"""What differs between two environments, and what does not fit together in one."""

import json
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gradperf.errors import UserError
from gradperf.gate.sides.activation import activated
from gradperf.gate.sides.interpreters import InterpreterFacts

_QUESTION = Path(__file__).with_name("describe_conflicts.py").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Change:
    """A distribution that differs."""

    name: str
    before: str | None
    after: str | None
    """Versions; None where it is not installed."""

    def __str__(self) -> str:
        if self.before is None:
            return f"{self.name} {self.after}, new"
        if self.after is None:
            return f"{self.name} {self.before}, gone"
        return f"{self.name} from {self.before} to {self.after}"


@dataclass(frozen=True)
class Conflict:
    """A requirement of an installed distribution that is not met."""

    name: str
    version: str
    wanted: str
    """Such as ``numpy<2.4``."""
    found: str | None

    def __str__(self) -> str:
        return f"{self.name} {self.version} requires {self.wanted}, but {self.found or 'none'} is installed"


def changes(before: InterpreterFacts, after: InterpreterFacts) -> list[Change]:
    """Return the distributions that differ, by name."""
    old, new = ({canonical(name): version for name, version in one.distributions} for one in (before, after))
    return [
        Change(name, old.get(name), new.get(name))
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]


def conflicts(python: Path) -> list[Conflict]:
    """Return the requirements in the environment of ``python`` that are not met."""
    done = subprocess.run(  # noqa: S603 - an interpreter of an environment that we made
        [str(python), "-c", _QUESTION],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=activated(python, os.environ),
        check=False,
    )
    try:
        found = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise UserError(
            f"{python} cannot say what is installed: {said[-1] if said else 'it ended early'}"
        ) from None
    return [Conflict(*one) for one in found]


def is_local(name: str, facts: InterpreterFacts) -> bool:
    """Whether a distribution was installed from a folder of the user: the project itself, most likely."""
    return any('"dir_info"' in version for own, version in facts.distributions if canonical(own) == name)


def canonical(name: str) -> str:
    """Return the name under which an index knows a distribution."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requested(requirements: Sequence[str]) -> set[str]:
    """Return the names in requirements that begin with one."""
    found = (re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", requirement) for requirement in requirements)
    return {canonical(name[0]) for name in found if name}
