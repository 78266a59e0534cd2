"""Runs the worker by the path of its folder."""

import os
import sys

_FOLDER = os.path.dirname(os.path.abspath(__file__))
if sys.path and os.path.abspath(sys.path[0]) == _FOLDER:
    del sys.path[0]  # Before anything is imported: a module here must not shadow one of the suite's.

import importlib  # noqa: E402 - see above
import types  # noqa: E402

PACKAGE = "_gradperf_that_measures"
"""The name under which this gradperf is imported, beside any that the suite imports."""

if __name__ == "__main__":
    _package = types.ModuleType(PACKAGE)
    _package.__path__ = [os.path.abspath(os.path.join(_FOLDER, *[os.pardir] * 3))]
    sys.modules[PACKAGE] = _package
    sys.exit(importlib.import_module(f"{PACKAGE}.gate.measuring.worker.main").main())
