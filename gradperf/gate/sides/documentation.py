"""Decides which files are documentation, so that no benchmark can depend on them."""

from fnmatch import fnmatchcase
from pathlib import PurePosixPath

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
"""Patterns of file names; a pattern with a slash is for the whole path from the repository's top."""

NEVER_DOCUMENTATION = frozenset(
    {".py", ".pyi", ".pyc", ".pyx", ".pxd", ".pxi", ".pth", ".so", ".pyd", ".dll", ".dylib", ".zip", ".egg", ".whl"}
    | {".c", ".cc", ".cpp", ".cu", ".cuh", ".h", ".hpp", ".rs", ".f", ".f90", ".toml", ".cfg", ".ini", ".lock"}
    | {".sh", ".npy", ".npz"}
)
"""Suffixes of files that may be imported, compiled, or read by pytest, wherever they lie."""


def is_documentation(path: str) -> bool:
    """Whether no benchmark can depend on the file ``path``; an unknown kind of file counts as code."""
    pure = PurePosixPath(path)
    if path.endswith("/") or any(suffix.lower() in NEVER_DOCUMENTATION for suffix in pure.suffixes):
        return False
    return any(fnmatchcase(path if "/" in pattern else pure.name, pattern) for pattern in DOCUMENTATION)
