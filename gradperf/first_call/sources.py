"""Reads which modules of a package a module imports, from the source files. Nothing is imported.

Lazy imports count, and those for types. The name of a module in a string counts too: ``import_module``,
``python -m`` and pytest import by such names. A name that is put together when the program runs is not found.
"""

import ast
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path


class Sources:
    """The source files of a package. Each is read once, so that all answers are about the same moment.

    Modules are named without the package's own name, which alone is ``""``.
    """

    def __init__(self, package: Path) -> None:
        self.package = package
        self._texts: dict[str, bytes] = {}
        self._imports: dict[str, set[str]] = {}

    @cached_property
    def files(self) -> dict[str, Path]:
        """All modules, and their files."""
        found = {}
        for file in sorted(self.package.rglob("*.py")):
            parts = file.relative_to(self.package).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
        return found

    def text(self, module: str) -> bytes:
        """Return the bytes of the file of ``module``."""
        if module not in self._texts:
            self._texts[module] = self.files[module].read_bytes()
        return self._texts[module]

    def imports(self, module: str) -> set[str]:
        """Return the modules of the package that the file of ``module`` imports itself."""
        if module not in self._imports:
            self._imports[module] = self._read_imports(module)
        return self._imports[module]

    def _read_imports(self, module: str) -> set[str]:
        name = self.package.name
        folder = module.split(".") if self.files[module].name == "__init__.py" else module.split(".")[:-1]
        found = set()
        for node in ast.walk(ast.parse(self.text(module))):
            if isinstance(node, ast.Import):
                targets = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                above = folder[: len(folder) - node.level + 1] if node.level else []
                start = ".".join(filter(None, [name * bool(node.level), *above, node.module or ""]))
                targets = [f"{start}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                targets = [node.value] if node.value.removeprefix(f"{name}.") in self.files else []
            else:
                continue
            for target in targets:
                first, _, rest = target.partition(".")
                if first == name:
                    # A name that is no module is something in the module before it.
                    found.add(rest if rest in self.files else rest.rpartition(".")[0])
        return found

    def needed_by(self, modules: Iterable[str]) -> set[str]:
        """Return ``modules`` and all that run if they are imported: their imports, and the packages around each."""
        needed: set[str] = set()
        waiting = list(modules)
        while waiting:
            if (module := waiting.pop()) not in needed:
                needed.add(module)
                parts = module.split(".")
                around = (".".join(parts[:depth]) for depth in range(len(parts)))
                waiting += [*self.imports(module), *(package for package in around if package in self.files)]
        return needed
