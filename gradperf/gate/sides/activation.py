"""The variables of a process as if the environment of its interpreter were the active one.

A benchmark may start ``python`` or another program by its name. That must be the program beside the interpreter of
its side, not one of the environment that gradperf runs in, or of another one that is active.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path


def activated(python: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Return ``environ`` for a process of ``python``; nothing in it leads to packages of another environment."""
    prefix, beside = python.parent.parent, str(python.parent)
    others = [other for other in _virtual_environments(environ) if not _same(other, prefix)]
    result = dict(environ)
    if not _same(prefix, Path(sys.prefix)):
        # The launcher of Python on macOS sets the second. Either would send this interpreter to another's library.
        for name in ("PYTHONHOME", "__PYVENV_LAUNCHER__"):
            result.pop(name, None)
    result.pop("VIRTUAL_ENV", None)
    if _is_virtual(prefix):
        result["VIRTUAL_ENV"] = str(prefix)
    if _is_of_conda(prefix):
        result["CONDA_PREFIX"] = str(prefix)
    path = _folders(environ.get("PATH", ""), others)
    # Folders such as /usr/bin keep their place: they hold other programs too.
    if beside not in path or _is_virtual(prefix) or _is_of_conda(prefix):
        path = [beside, *(folder for folder in path if folder != beside)]
    result["PATH"] = os.pathsep.join(path)
    result.pop("PYTHONPATH", None)
    if modules := _folders(environ.get("PYTHONPATH", ""), others):
        result["PYTHONPATH"] = os.pathsep.join(modules)
    return result


def _virtual_environments(environ: Mapping[str, str]) -> list[Path]:
    """Return the virtual environments that gradperf runs in, and the active one."""
    # `uv run --with` puts one on top of others.
    searched = [str(Path(entry).parents[2]) for entry in sys.path if entry.endswith("/site-packages")]
    known = dict.fromkeys([sys.prefix, *searched, environ.get("VIRTUAL_ENV", "")])
    return [Path(prefix) for prefix in known if prefix and _is_virtual(Path(prefix))]


def _folders(variable: str, others: list[Path]) -> list[str]:
    """Return the folders in a variable without programs and packages of other environments."""
    # A project may lie in the folder of an environment too.
    theirs = [os.path.realpath(other / inside) for other in others for inside in ("bin", "lib", "lib64")]
    return [
        folder
        for folder in (variable.split(os.pathsep) if variable else ())
        if not any(Path(os.path.realpath(folder)).is_relative_to(place) for place in theirs)
    ]


def _is_virtual(prefix: Path) -> bool:
    return (prefix / "pyvenv.cfg").is_file()


def _is_of_conda(prefix: Path) -> bool:
    return (prefix / "conda-meta").is_dir()


def _same(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)
