"""The arguments of pytest, which choose the benchmarks of both sides."""

import os
import tomllib
from collections.abc import Sequence
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
    option, equals, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
    path, colons, test = value.partition("::")
    real, top = os.path.realpath(path), os.path.realpath(checkout)
    if not os.path.isabs(path) or not Path(real).is_relative_to(top):
        return argument
    return option + equals + os.path.relpath(real, os.path.realpath(folder)) + colons + test


def places(folder: Path, arguments: Sequence[str]) -> list[Path]:
    """Return the folders and files of tests that the arguments name, as far as they exist, else ``folder``."""
    named = [folder / argument.partition("::")[0] for argument in arguments if not argument.startswith("-")]
    return [place for place in named if place.exists()] or [folder]


def of_side(arguments: Sequence[str], folder: Path, other: Path) -> list[str]:
    """Return the arguments of the side in ``folder``, without tests that only the side in ``other`` has.

    pytest refuses to run what is not there. If nothing would be left, it has to: else it would run all there is.
    """
    named = [number for number, argument in enumerate(arguments) if _has(other, argument)]
    missing = {
        number
        for number in named
        # The word after an option may be its value.
        if not _has(folder, arguments[number]) and not (number and arguments[number - 1].startswith("-"))
    }
    if len(missing) == len(named):
        return [*arguments]
    return [argument for number, argument in enumerate(arguments) if number not in missing]


def _has(folder: Path, argument: str) -> bool:
    """Return whether a folder has the file of an argument, and a word in it for each part of a test's name."""
    path, *names = argument.partition("[")[0].split("::")
    if argument.startswith("-") or not (folder / path).exists():
        return False
    if not names:
        return True
    try:
        text = (folder / path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return all(name in text for name in names)
