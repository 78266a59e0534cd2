"""Finds the frameworks and their styles in this folder, and loads them. A style is one way of computing a problem.

``import torch`` takes seconds and changes the process: threads, signal handlers, memory. A run of numpy alone
must not wait for that. So listing names reads file names, and only :func:`load` and :func:`style` import.
"""

import inspect
import pkgutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from gradperf.frameworks.contract import Runtime, Style
from gradperf.machine import watch

DTYPES = ("float32", "float64")


class Unavailable(Exception):
    """A framework that cannot be imported here; the message is the reason."""


class CompiledEarly(Exception):
    """A style that does at its import what belongs to its first call."""


@cache
def names() -> tuple[str, ...]:
    """Return the names of the frameworks, sorted."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg))


@cache
def styles(framework: str, family: str) -> tuple[str, ...]:
    """Return the names of the styles of ``framework`` for problems of ``family``."""
    folders = [f"{path}/{framework}/{family}" for path in __path__]
    return tuple(sorted(module.name for module in pkgutil.iter_modules(folders)))


def devices(framework: str) -> tuple[str, ...]:
    """Return the devices that ``framework`` supports, whether or not this machine has them."""
    return import_module(f"{__name__}.{framework}").DEVICES


def companions(framework: str) -> tuple[str, ...]:
    """Return packages whose version matters as much as the framework's own, such as jaxlib for jax."""
    return getattr(import_module(f"{__name__}.{framework}"), "COMPANIONS", ())


_loaded: dict[str, Runtime | Unavailable] = {}
_configured: list[tuple[Runtime, Mapping[str, Any]]] = []
"""Those that could be imported, with what each was set to when it was configured."""


def load(framework: str, threads: int) -> Runtime:
    """Import and configure ``framework``, once per process; raises :class:`Unavailable` with the reason.

    The threads of the first call stay: pools do not change their size once they are in use.
    """
    if framework not in _loaded:
        try:
            with watch.process.allowing():  # a framework may set variables
                runtime = cast("Runtime", import_module(f"{__name__}.{framework}.runtime"))
                runtime.configure(threads)
            _configured.append((runtime, runtime.modes()))
            _loaded[framework] = runtime
        except ModuleNotFoundError as error:
            if error.name is not None and error.name.startswith("gradperf"):
                raise
            what = "is not installed" if error.name == framework else "is not fully installed"
            _loaded[framework] = Unavailable(
                f"{framework} {what} (no module {error.name!r}): pip install 'gradperf[{framework}]'"
            )
        except Exception as error:
            # A broken installation can raise anything: OSError for a library, AttributeError for an old numpy.
            _loaded[framework] = Unavailable(
                f"{framework} is installed but broken: importing it raised {type(error).__name__}: {error}"
            )
    found = _loaded[framework]
    if isinstance(found, Unavailable):
        raise found
    return found


@dataclass(frozen=True)
class Source:
    """The file of a style."""

    doc: str
    code: str
    """What comes after the docstring."""


def source(framework: str, family: str, name: str) -> Source:
    """Read the file of a style, without importing its framework."""
    (folder,) = [folder for folder in map(Path, __path__) if (folder / framework / family / f"{name}.py").is_file()]
    text = (folder / framework / family / f"{name}.py").read_text(encoding="utf-8")
    doc, _, code = text.removeprefix('"""').partition('"""')
    return Source(inspect.cleandoc(doc), code.strip())


def changes() -> list[str]:
    """Return what a case changed of what all cases share: modes of frameworks, and what ``watch`` names."""
    found = watch.process.changes()
    for runtime, before in _configured:
        now = runtime.modes()
        found += [watch.describe(key, before[key], now[key]) for key in before if before[key] != now[key]]
    return found


def style(framework: str, family: str, name: str) -> Style:
    """Import and return one style; raises :class:`CompiledEarly`."""
    module = f"{__name__}.{framework}.{family}.{name}"
    loaded = _loaded.get(framework)
    if module in sys.modules or loaded is None or isinstance(loaded, Unavailable):
        return Style.of(import_module(module))
    with loaded.compilations() as compiled:
        found = import_module(module)
    if compiled:
        del sys.modules[module]  # the next import must be refused too
        raise CompiledEarly(f"it compiles when it is imported, before any time is taken: {compiled[0]}")
    return Style.of(found)
