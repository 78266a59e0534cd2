"""Decides which files are documentation, so that no benchmark can depend on them."""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

PROSE = ("*.md", "*.rst", "*.adoc")
"""Patterns of names of prose. In a package or beside tests it may be what a benchmark reads."""

DOCUMENTATION = (
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
"""Patterns of file names; a pattern with a slash is for the whole path from the repository's top."""

_OF_TESTS = {"test", "tests", "testing", "bench", "benches", "benchmark", "benchmarks", "perf", "testdata"}
"""Names of folders of tests and their data."""

NEVER_DOCUMENTATION = frozenset(
    {".py", ".pyi", ".pyc", ".pyx", ".pxd", ".pxi", ".pth", ".so", ".pyd", ".dll", ".dylib", ".zip", ".egg", ".whl"}
    | {".c", ".cc", ".cpp", ".cu", ".cuh", ".h", ".hpp", ".rs", ".f", ".f90", ".toml", ".cfg", ".ini", ".lock"}
    | {".sh", ".npy", ".npz"}
)
"""Suffixes of files that may be imported, compiled, or read by pytest, wherever they lie."""


def is_documentation(path: str, roots: Iterable[Path] = ()) -> bool:
    """Whether no benchmark can depend on the file ``path``; an unknown kind of file counts as code.

    ``roots`` are top folders of sides, to see whether the file lies in a package.
    """
    pure = PurePosixPath(path)
    if path.endswith("/") or any(suffix.lower() in NEVER_DOCUMENTATION for suffix in pure.suffixes):
        return False
    if any(fnmatchcase(path if "/" in pattern else pure.name, pattern) for pattern in DOCUMENTATION):
        return True
    is_prose = any(fnmatchcase(pure.name, pattern) for pattern in PROSE)
    return is_prose and not is_of_tests(path) and not any(_is_in_package(root, pure) for root in roots)


def is_of_tests(path: str) -> bool:
    """Return whether a file lies in a folder of tests, by the names of the folders."""
    return any(name.lower() in _OF_TESTS for name in PurePosixPath(path).parts[:-1])


def _is_in_package(root: Path, path: PurePosixPath) -> bool:
    return any((root / folder / "__init__.py").is_file() for folder in path.parents)


def is_read(tests: Iterable[Path], changed: Iterable[str]) -> bool:
    """Return whether a Python file among the folders and files of ``tests`` names a file: it probably reads it."""
    names = {PurePosixPath(path).name for path in changed}
    files = [file for place in tests for file in (place.rglob("*.py") if place.is_dir() else [place])]
    return any(name in text for text in map(_text, files) for name in names)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
