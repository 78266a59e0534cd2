"""Finds out where the modules of this process came from: its own side, or somewhere else."""

from __future__ import annotations

import os
import sys


def is_test(path: str) -> bool:
    """Return whether a file is one of tests, by its name."""
    name = os.path.basename(path)
    return name.startswith(("test_", "conftest")) or name.endswith("_test.py")


def count_own(folder: str) -> int:
    """Count the imported modules that lie in ``folder``, the files of this side, and are not tests."""
    own = os.path.realpath(folder)
    return sum(_is_within(path, own) and not is_test(path) for _, path in _files())


def strays(folder: str, foreign: str) -> list[str]:
    """Return the modules that were imported from ``foreign``, the user's checkout, instead of from ``folder``."""
    own = [os.path.realpath(prefix) for prefix in (folder, sys.prefix, sys.base_prefix)]
    return [
        f"{name} ({path})"
        for name, path in _files()
        if _is_within(path, foreign) and not any(_is_within(path, prefix) for prefix in own)
    ]


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
