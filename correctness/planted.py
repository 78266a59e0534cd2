"""Faults planted on purpose: a copy of a framework's folder with one line changed, imported under another name.

The line that is changed is quoted, so a fault that no longer fits the code fails loudly instead of proving nothing.
"""

import importlib
import itertools
import shutil
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import gradperf

_COUNT = itertools.count()


@dataclass(frozen=True)
class Fault:
    """One wrong line, and the problem on which it matters."""

    what: str
    framework: str
    style: str
    file: str
    right: str
    wrong: str
    problem: str = "tiny_bias_3x2x1"
    dtype: str = "float64"
    family: str = "training"
    caught_by: str = ""
    """What the message of the check says, for faults that one check alone can catch."""

    @property
    def id(self):
        """Name it in a test id."""
        return f"{self.framework}.{self.style}: {self.what}"


@contextmanager
def planted(fault, folder):
    """Give the style's module and the runtime, out of a copy of the framework with the fault in it."""
    name = f"planted{next(_COUNT)}"
    root = folder / name
    shutil.copytree(Path(gradperf.__file__).parent / "frameworks" / fault.framework, root / fault.framework)
    (root / "__init__.py").write_text("")
    changed = root / fault.framework / fault.file
    source = changed.read_text()
    assert source.count(fault.right) == 1, f"{fault.id}: not exactly once in {fault.file}:\n{fault.right}"
    changed.write_text(source.replace(fault.right, fault.wrong))
    for file in root.rglob("*.py"):
        file.write_text(
            file.read_text().replace(f"gradperf.frameworks.{fault.framework}", f"{name}.{fault.framework}")
        )
    sys.path.insert(0, str(folder))
    try:
        package = f"{name}.{fault.framework}"
        yield (
            importlib.import_module(f"{package}.{fault.family}.{fault.style}"),
            importlib.import_module(f"{package}.runtime"),
        )
    finally:
        sys.path.remove(str(folder))
        for module in [module for module in sys.modules if module.split(".")[0] == name]:
            del sys.modules[module]
