"""The arguments of pytest, which choose the benchmarks of both sides."""

import os
import tomllib
from pathlib import Path
from typing import Any

from gradperf.errors import UserError


def configured(folder: Path) -> list[str]:
    """Return ``[tool.gradperf.gate] arguments`` of the nearest pyproject.toml: what this repository gates."""
    for place in (folder, *folder.parents):
        file = place / "pyproject.toml"
        if not file.is_file():
            continue
        try:
            value: Any = tomllib.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"{file} cannot be read: {error}") from None
        for name, missing in (("tool", {}), ("gradperf", {}), ("gate", {}), ("arguments", [])):
            value = value.get(name, missing) if isinstance(value, dict) else None
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            raise UserError(f"{file}: [tool.gradperf.gate] arguments has to be a list of strings")
        # Their paths start at that file's folder, but pytest starts in the user's.
        if place == folder:
            return value
        return [os.path.relpath(place / word, folder) if (place / word).exists() else word for word in value]
    return []


def relative(folder: Path, checkout: Path, argument: str) -> str:
    """Make an absolute path into the checkout relative, because each side has its own copy of that file."""
    path, colons, test = argument.partition("::")
    real, top = os.path.realpath(path), os.path.realpath(checkout)
    if not os.path.isabs(path) or not Path(real).is_relative_to(top):
        return argument
    return os.path.relpath(real, os.path.realpath(folder)) + colons + test
