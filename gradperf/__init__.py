"""gradperf: what does this gradient cost, is it right, and did my change make it slower?

A *problem* says what is computed, a *style* how, and a *case* is one problem in one style on one device in one
dtype. Importing this package imports neither numpy nor any framework.

Public are the functions :func:`check`, :func:`bench`, :func:`pair`, :func:`load` and :func:`explain`, the commands
with their options and exit codes, the schemas of the records, the pytest marker ``gate``, the environment variable
``GRADPERF_GATE`` and :mod:`gradperf.stage`, which reads it. Everything else may change in any version.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = ("Benched", "Checked", "LoadedRun", "Paired", "bench", "check", "explain", "load", "pair")
"""Names in :mod:`gradperf.api`.

Their types are in the stub beside this file: an import here, though only for types, would count among the sources
on which a remembered first call depends.
"""


def __getattr__(name: str) -> Any:
    """Return a public function or class when it is first used."""
    if name in _PUBLIC:
        return getattr(import_module(f"{__name__}.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Name what is public."""
    return sorted([*globals(), *_PUBLIC])
