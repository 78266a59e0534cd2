"""Finds folders that would hide modules of the standard library if they were searched before it.

A repository may have a ``profile.py`` on top. The command ``pytest`` does not search there.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

_HARMLESS = {"test", "this", "antigravity", "idlelib", "turtledemo"}
"""Nothing imports these."""


def hides_standard_library(folder: Path) -> bool:
    """Return whether a folder has a module or package with a name of the standard library."""
    names = sys.stdlib_module_names - _HARMLESS
    try:
        return any(
            (path.suffix == ".py" and path.stem in names)
            or (path.name in names and (path / "__init__.py").is_file())
            for path in folder.iterdir()
        )
    except OSError:
        return False


def hiding(folders: Sequence[str]) -> tuple[str, ...]:
    """Return those of the folders that have to be searched after the standard library."""
    return tuple(folder for folder in folders if hides_standard_library(Path(folder)))
