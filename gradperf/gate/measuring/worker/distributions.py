"""Finds the modules that installed distributions bring into this process."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import PurePosixPath

_SOURCES = (".py", ".so", ".pyd")


def modules_of(names: list[str]) -> dict[str, list[str]]:
    """Return by distribution the names under which it is imported: its outermost packages and modules.

    A namespace has no file of its own, so what is in it counts. A distribution that is not installed has no names.
    """
    return {name: _modules(name) for name in names}


def _modules(name: str) -> list[str]:
    try:
        distribution = metadata.distribution(name)
        files = [PurePosixPath(str(file)) for file in distribution.files or ()]
        listed = (distribution.read_text("top_level.txt") or "").split()
    except Exception:  # not installed, or its facts are damaged
        return []
    packages = {file.parent for file in files if file.name == "__init__.py"}
    modules = set()
    for file in files:
        if file.suffix in _SOURCES:
            outer = [folder for folder in reversed(file.parents) if folder in packages]
            parts = outer[0].parts if outer else (*file.parent.parts, file.name.partition(".")[0])
            if parts and all(part.isidentifier() for part in parts):
                modules.add(".".join(parts))
    # An editable installation lists no sources, and some say nothing else either.
    return sorted(modules or listed or [re.sub(r"[-.]+", "_", name)])
