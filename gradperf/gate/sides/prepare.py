"""Prepares the two sides of a comparison: where each runs, with which Python, and which files it imports.

The sides must differ in nothing but what is compared. Two revisions are two copies with equally long paths in one
temporary folder. Two interpreters both run in the user's own folder. Each side imports its own files, even if the
project is installed from the user's checkout: paths that lead there are replaced by the side's.
"""

import os
import secrets
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gradperf.errors import UserError
from gradperf.gate.janitor import Janitor
from gradperf.gate.sides import checkout, copies
from gradperf.gate.sides.activation import activated
from gradperf.gate.sides.documentation import is_documentation
from gradperf.gate.sides.git import without_location
from gradperf.gate.sides.interpreters import InterpreterFacts, check_interpreter, differing
from gradperf.gate.sides.search import hiding
from gradperf.gate.sides.variables import redirected

CONTROLS = ("ctrl", "twin")
"""The folders of the processes that are the control, with names as long as the others."""


@dataclass(frozen=True)
class Side:
    """One of the two that are compared."""

    name: Literal["base", "head"]
    python: Path
    root: Path
    """Its top folder: whatever is imported from below is its own."""
    folder: Path
    """The folder in which pytest is started."""
    environment: Mapping[str, str]
    description: str
    """One line for the report."""
    late: tuple[str, ...] = ()
    """Folders to search for modules after the standard library, as they would hide some of it."""


@dataclass(frozen=True)
class Sides:
    """Both sides, and how they differ."""

    base: Side
    head: Side
    changed: tuple[str, ...]
    """Paths that differ, from the repository's top."""
    warnings: tuple[str, ...]
    identical: bool
    """Whether everything that a benchmark could import is the same."""
    checkout: Path | None
    """The user's checkout, from which no side may import; None if the sides run in it."""
    environment: Mapping[str, Any]
    """Commits and interpreters of both, for the record."""
    folder: Path
    """A temporary folder; the janitor removes it."""
    separate: bool = False
    """Whether each side has an environment of its own, into which its own version may be installed."""
    distributions: tuple[str, ...] = ()
    """Names of the distributions that differ between the two environments."""
    controls: tuple[Side, ...] = ()
    """The base twice more, in folders of their own, for the control: processes must not share what they write."""


def prepare(
    base: str | None,
    base_python: str | None,
    head_python: str | None,
    cwd: Path,
    janitor: Janitor,
    python: str = sys.executable,
) -> Sides:
    """Make both sides; the janitor removes them.

    With ``base_python`` alone, both run in ``cwd``, each with its interpreter. Otherwise the base is the revision
    ``base``, or the commit at which the branch left the main branch. The head is the user's files as they are now.
    ``python`` is the interpreter of a side for which none is named.
    """
    cwd = Path(os.path.realpath(cwd))
    facts = _interpreters(base_python or python, head_python or python, cwd)
    if base is None and base_python is not None:
        return _in_place(facts, cwd, _temporary_folder(janitor))
    repo = checkout.repository(cwd)
    top = Path(os.path.realpath(repo))
    commit = checkout.default_base(repo) if base is None else checkout.resolve(repo, base)
    folder = _temporary_folder(janitor)
    if folder.is_relative_to(top):
        raise UserError(f"the temporary folder {folder.parent} is in the repository; set TMPDIR to another one")
    # Paths of equal length: their length changes addresses in memory, and so the times.
    roots = {name: folder / name for name in ("base", "head", "ctrl", "twin")}
    differences = copies.make(repo, commit, roots["base"], roots["head"], janitor.pipe())
    for name in CONTROLS:
        copies.duplicate(roots["base"], roots[name])
    descriptions = {
        "base": f"commit {checkout.describe(repo, commit)}",
        "head": _describe_head(repo, len(differences.uncommitted)),
    }
    same_python = facts["base"].python == facts["head"].python

    def side(name: Literal["base", "head"], copy: str = "") -> Side:
        root = roots[copy or name]
        place = root / cwd.relative_to(top)
        try:
            place.mkdir(
                parents=True, exist_ok=True
            )  # a side may lack it: then all its benchmarks are new or removed
        except OSError:
            raise UserError(f"{descriptions[name]} has a file where you have the folder {cwd}") from None
        environment = activated(facts[name].python, without_location(os.environ))
        environment = redirected(environment, top, root, cwd, differences.changed)
        given = environment.get("PYTHONPATH", "")
        path = own_path(facts[name], repo, root, cwd, given)
        late = _late(path, given, top, root, cwd)
        environment["PYTHONPATH"] = os.pathsep.join(entry for entry in path if entry not in late)
        environment["PWD"] = str(place)
        # The copy is ours: compile its files once, not in every process, and in the copy, which shows what ran.
        for variable in ("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"):
            environment.pop(variable, None)
        return Side(
            name=name,
            python=facts[name].python,
            root=root,
            folder=place,
            environment=environment,
            description=descriptions[name] + ("" if same_python else f", by {_describe_python(facts[name])}"),
            late=late,
        )

    return Sides(
        base=side("base"),
        head=side("head"),
        controls=tuple(side("base", name) for name in CONTROLS),
        changed=differences.changed,
        warnings=tuple(checkout.warnings(repo)),
        identical=identical(differences.changed, facts["base"], facts["head"], [*roots.values()]),
        checkout=repo,
        environment={
            **_record(facts),
            "base_commit": commit,
            "head_commit": checkout.head(repo),
            "uncommitted": list(differences.uncommitted),
        },
        folder=folder,
        separate=facts["base"].prefix != facts["head"].prefix,
        distributions=differing(facts["base"], facts["head"]),
    )


def _in_place(facts: Mapping[str, InterpreterFacts], cwd: Path, folder: Path) -> Sides:
    """Return two sides that run in the user's own folder."""

    def side(name: Literal["base", "head"]) -> Side:
        return Side(
            name=name,
            python=facts[name].python,
            root=cwd,
            folder=cwd,
            # Write no ``__pycache__`` into the user's folder. One that is there already is used.
            environment={**activated(facts[name].python, os.environ), "PYTHONDONTWRITEBYTECODE": "1"},
            description=f"your files, by {_describe_python(facts[name])}",
            late=hiding([str(cwd)]),
        )

    return Sides(
        base=side("base"),
        head=side("head"),
        changed=(),
        warnings=(),
        identical=identical((), facts["base"], facts["head"]),
        checkout=None,
        environment=_record(facts),
        folder=folder,
        distributions=differing(facts["base"], facts["head"]),
    )


def identical(
    changed: Sequence[str], base: InterpreterFacts, head: InterpreterFacts, roots: Sequence[Path] = ()
) -> bool:
    """Whether everything that a benchmark could import is the same on both sides.

    ``roots`` are the top folders of both sides.
    """
    same_language = (base.version, base.implementation) == (head.version, head.implementation)
    same_packages = base.prefix == head.prefix or base.distributions == head.distributions
    return same_language and same_packages and all(is_documentation(path, roots) for path in changed)


def _interpreters(base_python: str, head_python: str, cwd: Path) -> dict[str, InterpreterFacts]:
    """Return the facts about both interpreters; if they are one, ask it once."""
    base = check_interpreter(base_python, cwd)
    head = base if base_python == head_python else check_interpreter(head_python, cwd)
    return {"base": base, "head": head}


def _temporary_folder(janitor: Janitor) -> Path:
    """Make a temporary folder, announced to the janitor before it exists."""
    folder = Path(os.path.realpath(tempfile.gettempdir())) / f"gradperf-{secrets.token_hex(8)}"
    janitor.folder(folder)
    folder.mkdir(mode=0o700)
    return folder


def _record(facts: Mapping[str, InterpreterFacts]) -> dict[str, Any]:
    return {
        f"{name}_python": {
            "executable": str(interpreter.python),
            "version": interpreter.version,
            "implementation": interpreter.implementation,
            "distributions": dict(interpreter.distributions),
        }
        for name, interpreter in facts.items()
    }


def _describe_head(repo: Path, uncommitted: int) -> str:
    commit = f"your working tree: commit {checkout.describe(repo, 'HEAD')}"
    if not uncommitted:
        return f"{commit}, nothing uncommitted"
    return f"{commit} with {uncommitted} uncommitted file{'s' if uncommitted > 1 else ''}"


def _describe_python(facts: InterpreterFacts) -> str:
    return f"Python {facts.version} ({facts.python})"


def own_path(facts: InterpreterFacts, repo: Path, root: Path, cwd: Path, given: str) -> list[str]:
    """Return the PYTHONPATH with which the side ``root`` imports its own files instead of those of ``repo``.

    First come the folders of ``repo`` that the interpreter searches, then the source folders of the project that
    contains ``cwd`` and the side's ``src`` and top folder, then entries of the user's PYTHONPATH, ``given``, that
    lie elsewhere. A folder in another worktree of the repository counts as the same folder of this one: one
    environment often serves all worktrees.
    """
    top = Path(os.path.realpath(repo))
    tops = sorted({top, *checkout.worktrees(repo)}, key=lambda path: len(path.parts), reverse=True)
    environments = [
        folder
        for folder in (facts.prefix, *facts.installed)
        if any(_strictly_within(folder, worktree) for worktree in tops)
    ]
    own: list[Path] = []
    elsewhere: list[str] = []

    def add(entry: str | Path) -> bool:
        """Add the side's counterpart of a folder in the repository; return whether it is one."""
        path = Path(os.path.realpath(cwd / entry))
        # An environment in the repository is not code of the project.
        if any(path.is_relative_to(os.path.realpath(p)) for p in environments):
            return False
        for worktree in tops:  # the longest first: they may be nested
            if path.is_relative_to(worktree):
                own.append(root / path.relative_to(worktree))
                return True
        return False

    for entry in given.split(os.pathsep) if given else ():
        if not add(entry):
            elsewhere.append(str(cwd / entry))
    for entry in facts.searched:
        add(entry)
    for installed in facts.projects:
        for folder in _sources(Path(installed)):
            add(folder)
    for project in (*_nearest_project(root, root / cwd.relative_to(top)), root):
        own.extend(_sources(project))
    return list(dict.fromkeys([*map(str, own), *elsewhere]))


def _nearest_project(root: Path, folder: Path) -> Iterator[Path]:
    """Yield the project that contains ``folder``, if below ``root``: one repository may hold many."""
    for place in (folder, *folder.parents):
        if place == root:
            return
        if any((place / name).is_file() for name in ("pyproject.toml", "setup.py", "setup.cfg")):
            yield place
            return


def _sources(project: Path) -> Iterator[Path]:
    """Yield the folders in which a project's packages usually lie."""
    # If src itself is a package, do not search it: its modules may have the names of Python's own.
    if (project / "src").is_dir() and not (project / "src" / "__init__.py").exists():
        yield project / "src"
    yield project


def _late(path: Sequence[str], given: str, top: Path, root: Path, cwd: Path) -> tuple[str, ...]:
    """Return the folders of a PYTHONPATH that would hide modules of Python and that the user did not name."""
    named = {os.path.realpath(cwd / entry) for entry in given.split(os.pathsep) if entry}
    own = [entry for entry in path if Path(entry).is_relative_to(root)]
    ours = [entry for entry in own if os.path.realpath(top / Path(entry).relative_to(root)) not in named]
    return hiding(ours)


def _strictly_within(path: str, folder: Path) -> bool:
    """Whether ``path`` is below ``folder``; an environment may also be the repository's top itself."""
    real = Path(os.path.realpath(path))
    return real != folder and real.is_relative_to(folder)
