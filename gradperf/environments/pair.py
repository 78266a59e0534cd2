"""Makes the two environments of an upgrade, or finds those of the last time."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gradperf.environments import cache, differences, installer
from gradperf.environments.copy import copy
from gradperf.environments.differences import Change
from gradperf.errors import UserError
from gradperf.gate.sides.interpreters import InterpreterFacts, check_interpreter


@dataclass(frozen=True)
class Environments:
    """The two environments, and how they differ."""

    base: Path
    head: Path
    """The Python of each."""
    changes: tuple[Change, ...]


def make(python: str, requirements: Sequence[str], cwd: Path, say: Callable[[str], None]) -> Environments:
    """Copy the environment of ``python`` twice, and install ``requirements`` into one of the copies."""
    facts = check_interpreter(python, cwd)
    _check(requirements, facts)
    place = cache.place(os.environ)
    with cache.opened(place, say):
        base = place / cache.key(facts)
        head = place / cache.key(facts, requirements)
        if not cache.kept(base):
            say(f"copying {facts.prefix}")
            _copied(facts, base, [])
        if cache.kept(head):
            say("using the environments of the last time")
        else:
            _copied(facts, head, requirements, say)
        return Environments(
            base / "bin" / "python", head / "bin" / "python", _changes(base, head, requirements, say)
        )


def _check(requirements: Sequence[str], facts: InterpreterFacts) -> None:
    """Raise UserError for what cannot be a requirement, or is installed already."""
    for requirement in requirements:
        if os.path.isdir(requirement):
            raise UserError(f"{requirement} is a folder; make a wheel of it, and give that")
        if not differences.requested([requirement]) and not os.path.isfile(requirement):
            raise UserError(f"{requirement!r} is no requirement; write NAME==VERSION")
    versions = {differences.canonical(name): version for name, version in facts.distributions}
    pins = [requirement.split("==") for requirement in requirements if requirement.count("==") == 1]
    if len(pins) == len(requirements) and all(versions.get(differences.canonical(n)) == v for n, v in pins):
        raise UserError(f"nothing to compare: {' '.join(requirements)} is what {facts.python} has already")


def _copied(
    facts: InterpreterFacts, folder: Path, requirements: Sequence[str], say: Callable[[str], None] | None = None
) -> None:
    """Make one environment; nothing of it is left if that fails."""
    try:
        python = copy(facts, folder)
        if say is not None:
            has_pip = any(differences.canonical(name) == "pip" for name, _ in facts.distributions)
            installer.install(python, requirements, has_pip=has_pip, say=say)
        cache.complete(folder, copy_of=facts.prefix, upgraded=list(requirements))
    except BaseException:
        cache.drop(folder)
        raise


def _changes(base: Path, head: Path, requirements: Sequence[str], say: Callable[[str], None]) -> tuple[Change, ...]:
    """Return what differs; raise UserError if that is nothing, or does not fit together."""
    before, after = (check_interpreter(folder / "bin" / "python") for folder in (base, head))
    found = differences.changes(before, after)
    if not found:
        cache.drop(head)
        raise UserError(f"nothing to compare: {' '.join(requirements)} changes nothing that is installed")
    known = set(map(str, differences.conflicts(before.python)))
    new = [one for one in differences.conflicts(after.python) if str(one) not in known]
    for conflict in new:
        if not differences.is_local(conflict.name, after):
            cache.drop(head)
            raise UserError(f"{conflict}; upgrade {conflict.name} too, or name another version")
        say(f"{conflict}; it is your own, so it is tried nevertheless")
    return tuple(found)
