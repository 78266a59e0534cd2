"""Finds out where the modules of this process came from: its own side, or somewhere else."""

from __future__ import annotations

import importlib.util
import os
import sys
import sysconfig

INSTALLED = ("site-packages", "dist-packages")
"""Names of the folders that hold installed packages."""


def is_test(path: str) -> bool:
    """Return whether a file is one of tests, by its name."""
    name = os.path.basename(path)
    return name.startswith(("test_", "conftest")) or name.endswith("_test.py")


def count_own(folder: str) -> int:
    """Count the imported modules that lie in ``folder``, the files of this side, and are not tests."""
    own = os.path.realpath(folder)
    return sum(_is_within(path, own) and not is_test(path) and not marks_tests(path) for _, path in _files())


def strays(folder: str, foreign: str) -> list[str]:
    """Return the modules that were imported from ``foreign``, the user's checkout, instead of from ``folder``."""
    own = [os.path.realpath(prefix) for prefix in (folder, sys.prefix, sys.base_prefix)]
    return [
        f"{name} ({path})"
        for name, path in _files()
        if _is_within(path, foreign)
        and not _is_installed(os.path.relpath(path, foreign))
        and not any(_is_within(path, prefix) for prefix in own)
    ]


def loaded() -> dict[str, str]:
    """Return the file of each imported module that is not of the standard library."""
    return {name: path for name, path in _files() if not _is_standard(path)}


def found(names: list[str]) -> dict[str, list[str]]:
    """Return where each top-level module is found: the file of a module, the folders of a package.

    Names that are not found, and those of the standard library, are left out.
    """
    places = {name: _places(name) for name in names}
    return {name: paths for name, paths in places.items() if paths and not any(map(_is_standard, paths))}


def _places(name: str) -> list[str]:
    try:
        spec = importlib.util.find_spec(name)
        if spec is None:
            return []
        folders = spec.submodule_search_locations
        paths = [spec.origin] if folders is None else list(folders)
        return [os.path.realpath(path) for path in paths if isinstance(path, str) and os.path.isabs(path)]
    except Exception:  # a module without a specification, or an import hook that fails
        return []


def _files() -> list[tuple[str, str]]:
    """Return the names and files of all imported modules but the worker's own."""
    worker = __name__.split(".")[0]
    return [
        (name, os.path.realpath(file))
        for name, module in list(sys.modules.items())
        if (file := getattr(module, "__file__", None))
        and module is not sys.modules["__main__"]
        and name.split(".")[0] != worker
    ]


def _is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _is_installed(path: str) -> bool:
    return any(part in INSTALLED for part in path.split(os.sep))


def _is_standard(path: str) -> bool:
    library = [os.path.realpath(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")]
    return any(_is_within(path, folder) and not _is_installed(os.path.relpath(path, folder)) for folder in library)


def marks_tests(path: str) -> bool:
    """Return whether a file is the ``__init__.py`` beside tests, which contains no code of the project."""
    folder, name = os.path.split(path)
    if name != "__init__.py":
        return False
    try:
        return any(beside.endswith(".py") and is_test(beside) for beside in os.listdir(folder))
    except OSError:
        return False
