"""Copies the environment of an interpreter: the same packages, at another place.

A virtual environment is copied file by file. Any other, such as the system's or one of conda, whose packages find
their libraries by their place, is not: the new one looks into it for what it does not have itself.
"""

import csv
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from gradperf.errors import UserError
from gradperf.gate.sides.activation import activated
from gradperf.gate.sides.interpreters import InterpreterFacts

LARGE = 1 << 20
"""Bytes from which a file, most likely a library, is linked instead of copied. Installers replace a file whole."""


def copy(facts: InterpreterFacts, folder: Path) -> Path:
    """Make the environment ``folder`` with the packages of an interpreter; return its Python."""
    old = Path(facts.prefix)
    is_virtual = (old / "pyvenv.cfg").is_file()
    try:
        _make(facts.python, folder, sees_more=not is_virtual or _sees_the_system(old))
        if is_virtual:
            for packages in _packages(facts):
                place = folder / packages.relative_to(old)
                shutil.copytree(packages, place, symlinks=True, copy_function=_link_or_copy, dirs_exist_ok=True)
                _copy_programs(packages, place, old, folder)
    except (OSError, shutil.Error) as error:
        is_full = "No space left" in str(error)
        reason = "no space is left on the disk" if is_full else getattr(error, "strerror", None) or str(error)[:300]
        raise UserError(
            f"the environment {old} cannot be copied to {folder}: {reason}; XDG_CACHE_HOME names another place"
        ) from None
    return folder / "bin" / "python"


def _make(python: Path, folder: Path, *, sees_more: bool) -> None:
    command = [str(python), "-m", "venv", "--without-pip", *(["--system-site-packages"] if sees_more else [])]
    done = subprocess.run(  # noqa: S603 - the interpreter that the user chose
        [*command, str(folder)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=activated(python, os.environ),
        check=False,
    )
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or "no reason given").splitlines()[-1]
        raise UserError(f"{python} cannot make an environment in {folder}: {said}")


def _sees_the_system(prefix: Path) -> bool:
    lines = (prefix / "pyvenv.cfg").read_text(encoding="utf-8", errors="replace").lower().splitlines()
    return any("".join(line.split()) == "include-system-site-packages=true" for line in lines)


def _packages(facts: InterpreterFacts) -> list[Path]:
    """Return the folders of packages in a virtual environment, each once."""
    inside = [place for place in package_folders(facts) if place.is_relative_to(facts.prefix)]
    return list({os.path.realpath(place): place for place in inside if place.is_dir()}.values())


def package_folders(facts: InterpreterFacts) -> list[Path]:
    """Return where packages are installed: not the standard library, which lies above some of them."""
    return [Path(place) for place in facts.installed if place.endswith("-packages")]


def _link_or_copy(source: str, target: str) -> str:
    if os.path.getsize(source) >= LARGE:
        try:
            os.link(source, target)
            return target
        except OSError:  # another file system, or one without links
            pass
    shutil.copy2(source, target)
    return target


def _copy_programs(packages: Path, place: Path, old: Path, new: Path) -> None:
    """Copy what packages have installed elsewhere in their environment, such as programs."""
    for record in place.glob("*.dist-info/RECORD"):
        for path in _outside(record):
            source, target = (Path(os.path.normpath(start / path)) for start in (packages, place))
            if source.is_relative_to(old) and target.is_relative_to(new) and source.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)
                if target.parent.name == "bin":
                    _readdress(target, old, new)


def _outside(record: Path) -> Iterator[str]:
    with record.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        for row in csv.reader(file):
            if row and row[0].startswith(".."):
                yield row[0]


def _readdress(program: Path, old: Path, new: Path) -> None:
    """Let a program's first lines name the Python of the new environment."""
    data = program.read_bytes()
    if data.startswith(b"#!"):
        lines = data.split(b"\n", 3)  # a long path stands in the second line
        head = [line.replace(os.fsencode(old / "bin"), os.fsencode(new / "bin")) for line in lines[:3]]
        program.write_bytes(b"\n".join([*head, *lines[3:]]))
