"""The two sides of a comparison: where each runs, by which Python, and which files it imports.

Its law: **the sides differ in nothing but what is to be compared.** Both are worktrees, of equally long names, in
one temporary folder; or, where two interpreters are compared, both run in the user's own folder. Each imports its
own files, although the project may be installed from the user's checkout: what leads there leads to the side.

An interpreter is asked, not guessed at: by itself, in the user's folder and environment, as pytest would run.
"""

import errno
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from gradperf.errors import UserError
from gradperf.gate.janitor import Janitor, without_location
from gradperf.gate.sides import checkout

OLDEST = (3, 9)
"""The worker needs this Python at least."""

ASKING_S = 30.0
"""An interpreter that has not answered by then does not."""

DOCUMENTATION = (
    "*.md",
    "*.rst",
    "*.adoc",
    "AUTHORS*",
    "CHANGELOG*",
    "CHANGES*",
    "CITATION.cff",
    "CODEOWNERS",
    "CODE_OF_CONDUCT*",
    "CONTRIBUTING*",
    "CONTRIBUTORS*",
    "COPYING*",
    "LICENCE*",
    "LICENSE*",
    "NOTICE*",
    "README*",
    "SECURITY*",
    ".gitattributes",
    ".gitignore",
    ".mailmap",
    ".pre-commit-config.yaml",
    ".readthedocs.yaml",
    ".readthedocs.yml",
    ".github/*",
    "doc/*",
    "docs/*",
)
"""What no benchmark reads: patterns of names; with a slash, of whole paths, from the repository's top."""

NEVER_DOCUMENTATION = frozenset(
    {".py", ".pyi", ".pyc", ".pyx", ".pxd", ".pxi", ".pth", ".so", ".pyd", ".dll", ".dylib", ".zip", ".egg", ".whl"}
    | {".c", ".cc", ".cpp", ".cu", ".cuh", ".h", ".hpp", ".rs", ".f", ".f90", ".toml", ".cfg", ".ini", ".lock"}
    | {".sh", ".npy", ".npz"}
)
"""Endings of what is code, wherever it lies: imported, compiled, or read by pytest."""

_QUESTION = """
import sys
if sys.path[:1] == [""]:  # the folder itself: pytest decides whether that is searched
    del sys.path[0]
import json
found = {"version": "%d.%d.%d" % sys.version_info[:3]}
if sys.version_info >= (3, 9):
    import importlib.metadata, importlib.util, os, sysconfig
    distributions, projects = {}, []
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"]
        if not name or name in distributions:  # the first one found is the one imported
            continue
        distributions[name] = str(distribution.version)
        try:
            origin = json.loads(distribution.read_text("direct_url.json") or "{}")
        except ValueError:
            origin = {}
        if origin:  # the version of what was not published says little
            distributions[name] += " of " + json.dumps(origin, sort_keys=True)
        if origin.get("dir_info", {}).get("editable") and origin["url"].startswith("file://"):
            from urllib.parse import unquote, urlparse
            projects.append(unquote(urlparse(origin["url"]).path))
    kept = os.path.join(sys.prefix, "conda-meta")  # conda's packages may be no Python, as a BLAS
    if os.path.isdir(kept):
        distributions.update(("conda " + name[:-5], "") for name in os.listdir(kept) if name.endswith(".json"))
    searched = [entry for entry in sys.path if os.path.isabs(entry)]  # others are marks for import hooks
    # setuptools' editable installs that keep a table of packages instead of a folder to search
    for name, module in list(sys.modules.items()):
        if name.startswith("__editable__"):
            for package, place in dict(getattr(module, "MAPPING", {})).items():
                if os.path.basename(place).split(".")[0] == package:
                    searched.append(os.path.dirname(place))
    paths = sysconfig.get_paths()
    found.update(
        implementation=" ".join(
            [sys.implementation.name, str(sysconfig.get_config_var("SOABI")), sys.base_prefix, *sys.version.split()]
        ),
        prefix=sys.prefix,
        distributions=sorted(distributions.items()),
        missing=[n for n in ("pytest", "pytest_benchmark") if importlib.util.find_spec(n) is None],
        searched=searched,
        projects=projects,
        installed=[paths[n] for n in ("stdlib", "platstdlib", "purelib", "platlib")],
    )
print("\\n" + json.dumps(found))
"""


@dataclass(frozen=True)
class InterpreterFacts:
    """What an interpreter says of itself."""

    python: Path
    version: str
    implementation: str
    """Which build it is, and where: two of the same version may differ in speed."""
    prefix: str
    distributions: tuple[tuple[str, str], ...]
    """Name and version of all that is installed; with the origin of what was not published."""
    searched: tuple[str, ...] = ()
    """Folders it imports from, in its order."""
    projects: tuple[str, ...] = ()
    """Folders of the projects that are installed editable."""
    installed: tuple[str, ...] = ()
    """Folders of its own and of what is installed."""


@dataclass(frozen=True)
class Side:
    """One of the two that are compared."""

    name: Literal["base", "head"]
    python: Path
    folder: Path
    """Pytest is started here."""
    environment: Mapping[str, str]
    told: str
    """What it is, in one line for the report."""


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
    """The user's checkout, where neither side runs in it: no module may come from there."""
    environment: Mapping[str, Any]
    """What the record keeps of both: commits and interpreters."""
    folder: Path
    """Temporary; goes with the janitor."""


def check_interpreter(path: str | Path, cwd: Path | None = None) -> InterpreterFacts:
    """Ask the interpreter ``path`` what it is; raises UserError where benchmarks cannot run by it."""
    python = _found(os.path.expanduser(path), cwd or Path.cwd())
    try:
        done = subprocess.run(  # noqa: S603 - the interpreter that the user named
            [python, "-c", _QUESTION],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd=cwd,
            timeout=ASKING_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"{python} did not answer within {ASKING_S:g} s; is it a Python interpreter?") from None
    except OSError as error:
        if error.errno == errno.ENOEXEC:
            raise UserError(f"{python} is not a Python interpreter") from None
        raise UserError(f"{python} cannot be started: {error.strerror}") from None
    # What is loaded at every start may have printed something before.
    lines = done.stdout.splitlines()
    try:
        found = json.loads(lines[-1]) if done.returncode == 0 and lines else None
    except ValueError:
        found = None
    if not isinstance(found, dict) or "version" not in found:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise UserError(f"{python} is not a Python interpreter" + (f"; it says: {said[-1]}" if said else ""))
    if "prefix" not in found:
        needed = ".".join(map(str, OLDEST))
        raise UserError(f"{python} is Python {found['version']}; the gate needs {needed} or later")
    if found["missing"]:
        names = " and ".join(name.replace("_", "-") for name in found["missing"])
        raise UserError(f"{python} has no {names}; install with: {python} -m pip install pytest pytest-benchmark")
    return InterpreterFacts(
        python=python,
        version=found["version"],
        implementation=found["implementation"],
        prefix=found["prefix"],
        distributions=tuple((name, version) for name, version in found["distributions"]),
        searched=tuple(found["searched"]),
        projects=tuple(found["projects"]),
        installed=tuple(found["installed"]),
    )


def _found(path: str, cwd: Path) -> Path:
    """Find the file that the user means; links stay, for an environment's Python is one."""
    if os.sep not in path:
        if found := shutil.which(path):
            return Path(os.path.abspath(found))
        if not (cwd / path).exists():
            raise UserError(f"there is no interpreter {path!r} on PATH; give --base-python or --head-python a path")
    python = Path(os.path.abspath(cwd / path))
    if python.is_dir():
        inside = python / "bin" / "python"
        raise UserError(f"{python} is a folder" + (f"; did you mean {inside}?" if inside.exists() else ""))
    if not python.exists():
        raise UserError(f"the interpreter {python} does not exist")
    if not os.access(python, os.X_OK):
        raise UserError(f"{python} is not executable, so it is not a Python interpreter")
    return python


def is_documentation(path: str) -> bool:
    """Tell whether no benchmark can depend on the file ``path``; what is unknown counts as code."""
    pure = PurePosixPath(path)
    if path.endswith("/") or any(suffix.lower() in NEVER_DOCUMENTATION for suffix in pure.suffixes):
        return False
    return any(fnmatchcase(path if "/" in pattern else pure.name, pattern) for pattern in DOCUMENTATION)


def identical(changed: Sequence[str], base: InterpreterFacts, head: InterpreterFacts) -> bool:
    """Tell whether everything that a benchmark could import is the same on both sides."""
    same_language = (base.version, base.implementation) == (head.version, head.implementation)
    same_packages = base.prefix == head.prefix or base.distributions == head.distributions
    return same_language and same_packages and all(map(is_documentation, changed))


def prepare(
    base: str | None, base_python: str | None, head_python: str | None, cwd: Path, janitor: Janitor
) -> Sides:
    """Make both sides; the janitor removes what was made.

    With ``base_python`` alone both run in ``cwd``, each by its interpreter. Otherwise the base is the revision
    ``base``, or where the branch left the main branch; the head is the user's files as they are now.
    """
    cwd = Path(os.path.realpath(cwd))
    facts = _interpreters(base_python, head_python, cwd)
    if base is None and base_python is not None:
        return _in_place(facts, cwd, _temporary(janitor))
    repo = checkout.repository(cwd)
    top = Path(os.path.realpath(repo))
    commit = checkout.default_base(repo) if base is None else checkout.resolve(repo, base)
    folder = _temporary(janitor)
    if folder.is_relative_to(top):
        raise UserError(f"the temporary folder {folder.parent} is in the repository; set TMPDIR to another one")
    # Equal lengths, on purpose: where things lie in memory depends on it, and with that how long they take.
    roots = {"base": folder / "base", "head": folder / "head"}
    checkout.check_out(repo, commit, roots["base"], janitor)
    dirty = checkout.snapshot(repo, roots["head"], janitor)
    changed = checkout.changed_files(repo, commit)
    told = {"base": f"commit {checkout.describe(repo, commit)}", "head": _told_head(repo, dirty)}

    def side(name: Literal["base", "head"]) -> Side:
        place = roots[name] / cwd.relative_to(top)
        try:
            place.mkdir(parents=True, exist_ok=True)  # where one side lacks it, all benchmarks are new, or removed
        except OSError:
            raise UserError(f"{told[name]} has a file where you have the folder {cwd}") from None
        environment = without_location(os.environ.items())
        environment["PYTHONPATH"] = os.pathsep.join(own_path(facts[name], repo, roots[name], cwd))
        environment["PWD"] = str(place)
        # The folder is ours: compiled once, the side's files need not be compiled for every process.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        return Side(
            name=name,
            python=facts[name].python,
            folder=place,
            environment=environment,
            told=told[name] + (f", by {_named(facts[name])}" if _differ(facts) else ""),
        )

    return Sides(
        base=side("base"),
        head=side("head"),
        changed=changed,
        warnings=tuple(checkout.warnings(repo)),
        identical=identical(changed, facts["base"], facts["head"]),
        checkout=repo,
        environment={
            **_recorded(facts),
            "base_commit": commit,
            "head_commit": checkout.resolve(repo, "HEAD"),
            "uncommitted": sorted(dirty),
        },
        folder=folder,
    )


def _in_place(facts: Mapping[str, InterpreterFacts], cwd: Path, folder: Path) -> Sides:
    """Give two sides that run in the user's own folder."""

    def side(name: Literal["base", "head"]) -> Side:
        return Side(
            name=name,
            python=facts[name].python,
            folder=cwd,
            # No ``__pycache__`` in the user's folder. What is there already is used.
            environment={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            told=f"your files, by {_named(facts[name])}",
        )

    return Sides(
        base=side("base"),
        head=side("head"),
        changed=(),
        warnings=(),
        identical=identical((), facts["base"], facts["head"]),
        checkout=None,
        environment=_recorded(facts),
        folder=folder,
    )


def _interpreters(base_python: str | None, head_python: str | None, cwd: Path) -> dict[str, InterpreterFacts]:
    """Ask both interpreters; one that is both only once."""
    base = check_interpreter(base_python or sys.executable, cwd)
    head = base if base_python == head_python else check_interpreter(head_python or sys.executable, cwd)
    return {"base": base, "head": head}


def _temporary(janitor: Janitor) -> Path:
    """Make a temporary folder, known to the janitor before it exists."""
    folder = Path(os.path.realpath(tempfile.gettempdir())) / f"gradperf-{secrets.token_hex(8)}"
    janitor.folder(folder)
    folder.mkdir(mode=0o700)
    return folder


def _differ(facts: Mapping[str, InterpreterFacts]) -> bool:
    return facts["base"].python != facts["head"].python


def _recorded(facts: Mapping[str, InterpreterFacts]) -> dict[str, Any]:
    return {
        f"{name}_python": {
            "executable": str(found.python),
            "version": found.version,
            "implementation": found.implementation,
            "distributions": dict(found.distributions),
        }
        for name, found in facts.items()
    }


def _told_head(repo: Path, dirty: Mapping[str, bool]) -> str:
    commit = f"your working tree: commit {checkout.describe(repo, 'HEAD')}"
    if not dirty:
        return f"{commit}, nothing uncommitted"
    return f"{commit} with {len(dirty)} uncommitted file{'s' if len(dirty) > 1 else ''}"


def _named(facts: InterpreterFacts) -> str:
    return f"Python {facts.version} ({facts.python})"


def own_path(facts: InterpreterFacts, repo: Path, root: Path, cwd: Path) -> list[str]:
    """Give the PYTHONPATH by which the side ``root`` imports its own files instead of those of ``repo``.

    First whatever the interpreter searches in ``repo``, then the side's ``src`` and top folder, as pytest run there
    would; then what is elsewhere on the user's PYTHONPATH.
    """
    top = Path(os.path.realpath(repo))
    places = [folder for folder in (facts.prefix, *facts.installed) if _strictly_within(folder, top)]
    own: list[Path] = []
    elsewhere: list[str] = []

    def add(entry: str | Path) -> bool:
        """Add the side's counterpart of a folder in the repository."""
        path = Path(os.path.realpath(cwd / entry))
        # An environment in the repository is no code of the project.
        if not path.is_relative_to(top) or any(path.is_relative_to(os.path.realpath(p)) for p in places):
            return False
        own.append(root / path.relative_to(top))
        return True

    given = os.environ.get("PYTHONPATH", "")
    for entry in given.split(os.pathsep) if given else ():
        if not add(entry):
            elsewhere.append(str(cwd / entry))
    for entry in facts.searched:
        add(entry)
    for project in facts.projects:
        for folder in _sources(Path(project)):
            add(folder)
    for folder in _sources(root):
        own.append(folder)
    return list(dict.fromkeys([*map(str, own), *elsewhere]))


def _sources(project: Path) -> Iterable[Path]:
    """Give the folders that a project's packages usually lie in."""
    # A package that is itself called src is found from above; its modules may be named like Python's own.
    if (project / "src").is_dir() and not (project / "src" / "__init__.py").exists():
        yield project / "src"
    yield project


def _strictly_within(path: str, folder: Path) -> bool:
    """Tell whether ``path`` is below ``folder``: an environment may also be the repository's top itself."""
    real = Path(os.path.realpath(path))
    return real != folder and real.is_relative_to(folder)
