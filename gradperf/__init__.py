"""gradperf: what does this gradient cost, is it right, and did my change make it slower?

A *problem* says what is computed, a *style* how, and a *case* is one problem in one style on one device in one
dtype. Importing this package imports neither numpy nor any framework.

Public are the functions :func:`check`, :func:`pair`, :func:`load` and :func:`explain`, the commands with their
options and exit codes, the schemas of the records, the pytest marker ``gate``, the environment variable
``GRADPERF_GATE`` and :mod:`gradperf.stage`, which reads it. Everything else may change in any version.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # numpy is imported with the first function that is used
    from gradperf.api import Checked, LoadedRun, Paired, check, explain, load, pair

__version__ = "0.1.0"

__all__ = ["Checked", "LoadedRun", "Paired", "check", "explain", "load", "pair"]


def __getattr__(name: str) -> Any:
    """Return a public function or class when it is first used."""
    if name in __all__:
        return getattr(import_module(f"{__name__}.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Name what is public."""
    return sorted([*globals(), *__all__])
