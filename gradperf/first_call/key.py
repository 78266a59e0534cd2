"""The key of a first call: two first calls with the same key may stand for each other.

It is a SHA-256 of everything that a first call depends on: the case and its settings, the source files that run in
its process, the versions, and the machine. What changes from minute to minute, such as the load, is not in it.

The seed is: the results of a first call are checked for the inputs of one seed.
"""

import hashlib
import json
import os
import platform
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gradperf import frameworks
from gradperf.cases import Case, Settings
from gradperf.first_call import fresh_process
from gradperf.first_call.sources import Sources
from gradperf.machine import libraries

_PACKAGE = Path(frameworks.__file__).parents[1]

_COMPILERS = ("c++", "g++", "clang++")
"""Those that torch.compile may start. ``CXX`` may name another."""


class Keys:
    """The keys of the cases of a run, as the machine and the sources were when this was made.

    ``machine`` is what identifies the machine, ready for JSON. Under ``versions`` it has those of all frameworks; a
    case depends on its own alone.
    """

    def __init__(self, settings: Settings, machine: Mapping[str, Any], package: Path = _PACKAGE) -> None:
        self._sources = Sources(package)
        self._versions: Mapping[str, str] = machine["versions"]
        self._common = {
            "settings": asdict(settings),
            "machine": {name: value for name, value in machine.items() if name != "versions"},
            "system": platform.platform(),
            "python": sys.version,
            # Here, because frameworks set some of these variables when they are imported or used.
            "environment": {**libraries.environment(), "CXX": os.environ.get("CXX")},
            "compilers": dict(_compilers()),
        }

    def of(self, case: Case) -> str:
        """Return the key of ``case``: 64 hexadecimal digits. Imports no framework."""
        packages = ("numpy", case.framework, *frameworks.companions(case.framework))
        facts = {
            **self._common,
            "case": case.id,
            "problem": repr(case.problem),
            "versions": {name: self._versions.get(name) for name in packages},
            "sources": {name: hashlib.sha256(self._sources.text(name)).hexdigest() for name in self.modules(case)},
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()

    def modules(self, case: Case) -> list[str]:
        """Return the modules of gradperf on which the first call of ``case`` depends.

        They are the style, the runtime of its framework, what starts both, and all that these import: not another
        style. ``first_call`` is in it as a whole, because it decides what is measured.
        """
        folder = f"frameworks.{case.framework}"
        _, room, starts = fresh_process.__name__.split(".")
        roots = (f"{folder}.{case.problem.family}.{case.style}", f"{folder}.runtime", f"{room}.{starts}")
        whole_room = (name for name in self._sources.files if name.partition(".")[0] == room)
        return sorted({*self._sources.needed_by(roots), *whole_room})


def _compilers() -> Iterator[tuple[str, Any]]:
    """Yield each compiler with its file, its size and its time: an upgrade changes them."""
    for name in (*_COMPILERS, os.environ.get("CXX", "")):
        if name and (found := shutil.which(name)):
            file = Path(found).resolve()
            yield name, (str(file), file.stat().st_size, file.stat().st_mtime_ns)
