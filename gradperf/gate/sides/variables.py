"""Leads variables with paths into the user's checkout to a side's own copy.

A benchmark may find data by an exported variable, or a script of the repository on PATH. Where the sides differ,
each needs its own.
"""

import os
import shlex
from collections.abc import Collection, Mapping
from pathlib import Path

from gradperf.gate.sides import pytest_arguments

_KEPT = ("HOME", "PWD", "OLDPWD", "PYTHONPATH", "VIRTUAL_ENV", "CONDA_PREFIX")
"""Variables that are no paths to files of the project, or that others set."""

_OPTIONS = "PYTEST_ADDOPTS"


def redirected(
    environ: Mapping[str, str], top: Path, root: Path, cwd: Path, changed: Collection[str]
) -> dict[str, str]:
    """Return ``environ`` for the side in ``root``: paths below ``top`` are its own, if a changed file is there.

    Other paths stay: what git does not have exists in the checkout alone. ``cwd`` is the user's folder.
    """
    result = {
        name: value
        if name in _KEPT
        else os.pathsep.join(_own(path, top, root, changed) for path in value.split(os.pathsep))
        for name, value in environ.items()
    }
    if options := environ.get(_OPTIONS):
        result[_OPTIONS] = _with_own_paths(options, top, cwd)
    return result


def _own(path: str, top: Path, root: Path, changed: Collection[str]) -> str:
    if not os.path.isabs(path) or not (real := Path(os.path.realpath(path))).is_relative_to(top):
        return path
    inside = real.relative_to(top)
    if any(Path(file).is_relative_to(inside) for file in changed):
        return str(root / inside)
    return path


def _with_own_paths(options: str, top: Path, cwd: Path) -> str:
    try:
        words = shlex.split(options)
    except ValueError:  # pytest reports it
        return options
    return shlex.join(pytest_arguments.relative(cwd, top, word) for word in words)
