"""Finds out whether what was compared is what changed: whether each changed file could run on its own side.

A side may import an installed copy of the project, or another checkout's files, instead of its own. Then both
sides run the same code, and a change has no effect. So for each changed file, the first pair of processes tells
where its module came from.
"""

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from glob import escape
from itertools import chain
from pathlib import Path, PurePosixPath

from gradperf.gate.measuring.worker.modules import INSTALLED, is_test, marks_tests
from gradperf.gate.sides.documentation import is_documentation, is_of_tests
from gradperf.gate.sides.prepare import Side
from gradperf.pairs.process import SideError
from gradperf.text.patterns import means

EXTENSIONS = (".so", ".pyd")
"""Suffixes of compiled modules."""

_SOURCES = {".pyx", ".pxd", ".pxi", ".c", ".cc", ".cpp", ".cxx", ".h", ".hh", ".hpp", ".hxx", ".cu", ".cuh"} | {
    *(".rs", ".f", ".for", ".ftn", ".f90", ".f95", ".f03", ".f08", ".pyf", ".zig", ".go", ".nim", ".swift"),
    *(".inl", ".ipp", ".tpp", ".txx", ".ixx", ".cppm", ".hip", ".mm", ".s", ".asm", ".java", ".kt", ".cmake"),
}
"""Suffixes in lower case."""
_TEMPLATES = {".in", ".src", ".tp", ".tpl", ".template", ".j2", ".jinja", ".jinja2", ".mako"}
"""Suffixes that follow those of a source which is made from the file."""
_BUILD_FILES = {
    "Cargo.toml",
    "Cargo.lock",
    "CMakeLists.txt",
    "meson.build",
    "meson.options",
    "meson_options.txt",
} | {*("SConstruct", "BUILD.bazel", "configure.ac", "go.mod", "go.sum")}
_BUILD_SCRIPTS = {"setup.py", "build.py", "Makefile"}
"""They build extensions only where there are sources of one in their folder or below."""
_NOT_BUILT = {"test", "tests", "doc", "docs"}
"""Folders whose compiled sources are not part of an extension."""

_SHOWN = 3
"""So many files are named, the others are counted."""


@dataclass(frozen=True)
class Origins:
    """Where the modules of one side's process came from."""

    own_modules: int | None = None
    """How many lie in the side and are not tests; None if it was not asked."""
    loaded: Mapping[str, str] = field(default_factory=dict)
    """The file of each imported module."""
    found: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By name of a top-level module: the file of a module, or the folders of a package."""
    brought: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By distribution that differs between the environments: the modules that it brings."""
    opened: Sequence[str] = ()
    """Files of the user's checkout that were opened, from its top folder."""
    apart: Sequence[str] = ()
    """Commands that were run without the variables by which the side's modules are found."""


@dataclass(frozen=True)
class Elsewhere:
    """A changed file whose module comes from another place than its side."""

    path: str
    """From the top folder of the side."""
    module: str
    place: str


def names_of(root: Path, changed: Iterable[str]) -> list[str]:
    """Return the top-level modules that changed files of the side ``root`` may belong to."""
    asked = [path for path in changed if _matters(root, path) and not is_test(path)]
    return sorted({name.top for path in asked for name in _names(root, path)})


def check(
    sides: Iterable[Side],
    origins: Mapping[str, Origins],
    changed: Sequence[str],
    *,
    separate: bool,
    accepted: Mapping[str, str],
) -> list[str]:
    """Return what the user accepted, a sentence each; raise SideError if other changes were not compared.

    ``separate``: each side has an environment of its own, with its own version installed.
    """
    excused: dict[str, str] = {}

    def is_excused(path: str) -> bool:
        reason = next((reason for key, reason in accepted.items() if means(key, path)), None)
        if reason is not None:
            excused[path] = reason
        return reason is not None

    sides = [side for side in sides if side.name in origins]
    roots = [Path(os.path.realpath(side.root)) for side in sides]
    for side in sides:
        apart = elsewhere(side, origins[side.name], changed, separate=separate, roots=roots)
        if left := [one for one in apart if not is_excused(one.path)]:
            raise SideError(_explain(side.name, left))
        opened = [path for path in origins[side.name].opened if path in changed and not is_documentation(path)]
        if opened := [path for path in opened if not is_excused(path)]:
            raise SideError(
                f"{listed(opened)} changed, but the {side.name} opened it in your checkout, not in its own copy. "
                "A path there is written in full in the suite, or in a variable, so both sides read the same. "
                "If no benchmark depends on it: --accept PATH --reason TEXT"
            )
    parts = [] if separate else [path for path in changed if _is_submodule(path, roots)]
    if parts := [path for path in parts if not is_excused(path)]:
        raise SideError(
            f"the submodule {listed(parts)} changed, but neither side has files of submodules, so they were not "
            "compared. Install what is in it, each side in an environment of its own, and name them with "
            "--base-python and --head-python. If no benchmark depends on it: --accept PATH --reason TEXT"
        )
    sources = [] if separate else not_built(sides, origins, changed)
    if sources := [path for path in sources if not is_excused(path)]:
        raise SideError(
            f"{listed(sources)} changed, but neither side was built from its own sources: both ran what is "
            "installed. Install each side in an environment of its own, and name them with --base-python and "
            "--head-python. If no benchmark depends on it: --accept PATH --reason TEXT"
        )
    return [f"{path} changed and was not compared, but accepted: {reason}" for path, reason in excused.items()]


def changes_code(changed: Iterable[str], accepted: Iterable[str], roots: Iterable[Path] = ()) -> bool:
    """Return whether a file of a module or package that is no test differs, and is not accepted.

    ``roots`` are the top folders of both sides.
    """
    roots = list(roots)
    code = [path for path in changed if _is_code(path) or any(_is_read_by_code(top, path) for top in roots)]
    return any(not any(means(key, path) for key in accepted) for path in code)


def _is_submodule(path: str, roots: Iterable[Path]) -> bool:
    """Return whether a path that git stores is a folder on a side: it is empty there."""
    folders = [root / path for root in roots if (root / path).is_dir() and not (root / path).is_symlink()]
    return not path.endswith("/") and any(next(folder.iterdir(), None) is None for folder in folders)


def _is_code(path: str) -> bool:
    return path.endswith(".py") and not is_test(path)


def _is_read_by_code(root: Path, path: str) -> bool:
    """Return whether a file that is no module lies in a package of the project, or in a namespace."""
    if not _matters(root, path) or is_test(path) or is_compiled_source(path):
        return False
    folders = [folder for folder in (root / path).parents if root in folder.parents]
    beside = [[file.name for file in folder.glob("*.py")] for folder in folders]
    return not is_of_tests(path) and any(beside) and not any(map(is_test, chain(*beside)))


def _explain(side: str, apart: Sequence[Elsewhere]) -> str:
    first = apart[0]
    return (
        f"{listed([one.path for one in apart])} changed, but the {side} imports other code in its place: "
        f"{first.module} comes from {first.place}, and differs. So what changed was not compared. "
        "`pip install -e .` makes the project importable from its own files; or install each side in an "
        "environment of its own, and name them with --base-python and --head-python. "
        "If no benchmark depends on it: --accept PATH --reason TEXT"
    )


def listed(names: Sequence[str]) -> str:
    """Join the first names, and count the others."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def elsewhere(
    side: Side, origins: Origins, changed: Iterable[str], *, separate: bool, roots: Sequence[Path] = ()
) -> list[Elsewhere]:
    """Return the changed files in whose place this side ran, or would run, a different file from outside.

    ``roots`` are the top folders of both sides.
    """
    root, own = Path(os.path.realpath(side.root)), set(origins.loaded.values())
    apart = []
    for path in changed:
        if not _matters(root, path) or is_compiled_source(path):
            continue
        file = root / path
        evidence = file if _is_module(path) else _package_file(root, file)
        if os.path.realpath(evidence) in own:
            continue
        imported, findable = _counterparts(root, path, origins)
        # A process that the benchmark started may have run the side's file, and left it compiled.
        was_compiled = _was_compiled(evidence)
        # pytest finds tests by their folder. One that was not imported has no part in the run.
        places = imported if imported or is_test(path) or was_compiled else findable
        if not imported and not was_compiled and not _has_loaded(root, file, own):
            places = [
                *places,
                *_renamed(file, evidence, [top / evidence.relative_to(root) for top in roots], origins),
            ]
            places += _run_apart(root, path, origins)
        for name, place in places:
            if not place.is_relative_to(root) and _differs(file, place, separate=separate):
                apart.append(Elsewhere(path, name, str(place)))
                break
    return apart


def not_built(sides: Sequence[Side], origins: Mapping[str, Origins], changed: Iterable[str]) -> list[str]:
    """Return the changed sources of compiled modules, unless each side imported a compiled module of its own."""
    roots = [Path(side.root) for side in sides]
    sources = [path for path in changed if is_compiled_source(path) or _builds(path, roots)]
    return [] if sources and all(_has_own_extension(side, origins[side.name]) for side in sides) else sources


def is_compiled_source(path: str) -> bool:
    """Return whether a file has to be compiled, and is not of tests or documentation."""
    pure = PurePosixPath(path)
    *_, before, last = ("", "", *map(str.lower, pure.suffixes))
    is_source = (before if last in _TEMPLATES else last) in _SOURCES
    return (is_source or pure.name in _BUILD_FILES) and not _NOT_BUILT.intersection(pure.parts[:-1])


def _builds(path: str, roots: Iterable[Path]) -> bool:
    """Return whether a file is a script beside or above sources of a compiled module."""
    pure = PurePosixPath(path)
    if pure.name not in _BUILD_SCRIPTS or (pure.name == "Makefile" and len(pure.parts) == 1):
        return False
    return any(
        is_compiled_source(os.path.relpath(os.path.join(folder, name), root))
        for root in roots
        for folder, _, names in os.walk((root / path).parent)
        for name in names
    )


def ran_own(side: Side) -> bool:
    """Return whether any process, also one that a benchmark started, compiled a file of this side but tests."""
    for folder, folders, files in os.walk(side.root):
        folders[:] = [name for name in folders if name not in (".git", *INSTALLED)]
        if os.path.basename(folder) != "__pycache__":
            continue
        sources = {os.path.join(os.path.dirname(folder), name.split(".")[0] + ".py") for name in files}
        if any(os.path.exists(file) and not is_test(file) and not marks_tests(file) for file in sources):
            return True
    return False


def _has_own_extension(side: Side, origins: Origins) -> bool:
    root = Path(os.path.realpath(side.root))
    files = [Path(file) for file in origins.loaded.values() if file.endswith(EXTENSIONS)]
    own = [file.relative_to(root) for file in files if file.is_relative_to(root)]
    return any(not {*INSTALLED}.intersection(file.parts) for file in own)


def _matters(root: Path, path: str) -> bool:
    """Return whether a file of this side may be run, or read by what is run."""
    is_stub = path.endswith(".pyi")
    return not (is_documentation(path, [root]) or is_stub) and (root / path).is_file()


@dataclass(frozen=True)
class _Name:
    """A name under which a file, or the package that contains it, may be imported."""

    module: str
    base: Path
    """The top-level module in the side: a file, or the folder of a package."""
    is_namespace: bool = False
    """Whether there is a folder, but no module of this name."""

    @property
    def top(self) -> str:
        return self.module.partition(".")[0]


def _is_module(path: str) -> bool:
    return path.endswith((".py", *EXTENSIONS))


def _stem(file: Path) -> str:
    """Return the name of a module's file without endings: a compiled one has several."""
    return file.name.partition(".")[0]


def _package(root: Path, file: Path) -> Path | None:
    """Return the innermost package that contains a file."""
    inside = (folder for folder in file.parents if folder.is_relative_to(root))
    return next((folder for folder in inside if (folder / "__init__.py").is_file()), None)


def _outermost(root: Path, file: Path) -> Path | None:
    """Return the outermost package that contains a file."""
    package = _package(root, file)
    while package is not None and root not in (package, package.parent):
        if not (package.parent / "__init__.py").is_file():
            break
        package = package.parent
    return package


def _package_file(root: Path, file: Path) -> Path:
    """Return the ``__init__.py`` of the innermost package that contains a file; without one, the file."""
    package = _package(root, file)
    return file if package is None else package / "__init__.py"


def _names(root: Path, path: str) -> Iterator[_Name]:
    """Yield the names of a file, shortest first: a folder above its package may be searched, or a namespace."""
    file = root / path
    inner = _package(root, file)
    parts = file.relative_to(root).parts[:-1]
    if not _is_module(path):
        if inner is None:
            yield from _namespaces(root, parts)
            return
        file = inner / "__init__.py"
        parts = file.relative_to(root).parts[:-1]
    words = [*parts] if _stem(file) == "__init__" else [*parts, _stem(file)]
    # A folder inside of a package is hardly searched itself.
    package = _outermost(root, file)
    top = words if package is None or package == root else package.relative_to(root).parts
    outermost = len(top) - 1
    for start in range(outermost, -1, -1):
        if not all(word.isidentifier() for word in words[start:]):
            return
        base = root.joinpath(*parts[: start + 1]) if start < len(parts) else file
        yield _Name(".".join(words[start:]), base)


def _namespaces(root: Path, parts: Sequence[str]) -> Iterator[_Name]:
    """Yield the names of a folder that is no package, shortest first."""
    for start in range(len(parts) - 1, -1, -1):
        if not all(part.isidentifier() for part in parts[start:]):
            return
        yield _Name(".".join(parts[start:]), root.joinpath(*parts[: start + 1]), is_namespace=True)


def _counterparts(root: Path, path: str, origins: Origins) -> tuple[list[tuple[str, Path]], list[tuple[str, Path]]]:
    """Return the files that modules of this file's names were imported from, and would be: names and places."""
    file, imported, findable = root / path, [], []
    for name in _names(root, path):
        if not name.is_namespace and (own := origins.loaded.get(name.module)) is not None:
            place = Path(own)
            if _is_module(path):
                if _stem(place) == _stem(file):
                    imported.append((name.module, place))
            elif _stem(place) == "__init__":
                imported.append((name.module, place.parent / file.relative_to(_package_file(root, file).parent)))
        elif (other := _would_be(file, name, origins.found.get(name.top, ()))) is not None:
            findable.append((name.module, other))
    return imported, findable


def _has_loaded(root: Path, file: Path, own: Collection[str]) -> bool:
    """Return whether anything of the package that contains a file was imported from this side."""
    package = _outermost(root, file)
    return package is not None and any(Path(loaded).is_relative_to(package) for loaded in own)


def _renamed(file: Path, evidence: Path, versions: Iterable[Path], origins: Origins) -> list[tuple[str, Path]]:
    """Return what was imported in place of a file if it is installed under another name than that of its folder.

    Then a module has the name of the file that is ``evidence``, and the content of one of its ``versions``.
    """
    contents = {content for version in versions if (content := _content(version)).strip()}
    places = [(name, Path(loaded)) for name, loaded in origins.loaded.items()]
    return [
        (name, place.parent / file.relative_to(evidence.parent))
        for name, place in places
        if place.name == evidence.name and _content(place) in contents
    ]


def _run_apart(root: Path, path: str, origins: Origins) -> list[tuple[str, Path]]:
    """Return the commands that name the module of a file and do not search the side for it."""
    return [
        (name.module, Path(f"where `{command}` finds it, which ignores the PYTHONPATH of its side"))
        for name in _names(root, path)
        for command in origins.apart
        if re.search(rf"\b{re.escape(name.top)}\b", command)
    ]


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""


def _would_be(file: Path, name: _Name, places: Sequence[str]) -> Path | None:
    """Return the file that would be imported for ``file``; it need not exist. None if it is another module."""
    if name.base == file:  # a module alone; a package of that name is something else
        modules = (Path(place) for place in places)
        return next((place for place in modules if place.is_file() and _stem(place) == _stem(file)), None)
    is_package = (name.base / "__init__.py").is_file()
    folders = [
        folder
        for folder in map(Path, places)
        # A package is not a folder that happens to have its name.
        if folder.is_dir() and (is_package or not (folder / "__init__.py").is_file())
    ]
    inside = file.relative_to(name.base)
    # A namespace may lie in several folders: Python takes the first that has the next part of the name.
    having = (folder for folder in folders if (folder / inside.parts[0]).exists())
    folder = next(having, folders[0] if is_package and folders else None)
    return None if folder is None else folder / inside


def _was_compiled(file: Path) -> bool:
    return next((file.parent / "__pycache__").glob(f"{escape(_stem(file))}.*.pyc"), None) is not None


def _differs(file: Path, place: Path, *, separate: bool) -> bool:
    """Return whether ``place`` holds something else than ``file``.

    In an environment of this side alone, a module may be compiled, and a file that is not installed is not needed.
    """
    if separate and (not place.exists() or (place.suffix in EXTENSIONS and file.suffix not in EXTENSIONS)):
        return False
    try:
        return file.read_bytes() != place.read_bytes()
    except OSError:
        return True
