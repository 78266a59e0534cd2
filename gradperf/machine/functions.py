"""Remembers the functions that measure and check, and finds those that were replaced since.

Thousands of functions are looked at several times for each case. So their places are listed once.
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

_OWN = __name__.partition(".")[0] + "."
_OTHERS = ("time", "os", "gc", "resource", "numpy", "numpy.linalg", "pytest_benchmark.stats")


@dataclass(frozen=True)
class Place:
    """Where a function is found, and which."""

    name: str
    """In a message."""
    namespace: Mapping[str, Any]
    key: str
    value: Any

    @property
    def now(self) -> Any:
        """Return what is there at this moment; None for nothing."""
        return self.namespace.get(self.key)


class Functions:
    """The functions of our modules, of some others, and of their classes, as they were when first seen."""

    def __init__(self) -> None:
        self._modules: set[str] = set()
        self._places: list[Place] = []
        self.add_new()

    def add_new(self) -> None:
        """Take the functions of modules that were imported since as they are."""
        for name in sorted(sys.modules.keys() - self._modules):
            self._modules.add(name)
            if name in _OTHERS or name.startswith(_OWN):
                self._places.append(Place(name, sys.modules, name, sys.modules[name]))
                self._places += _places(sys.modules[name], name)

    def replaced(self) -> list[Place]:
        """Return the places that hold something else than they did."""
        return [place for place in self._places if place.namespace.get(place.key) is not place.value]

    def accept(self, replaced: list[Place]) -> None:
        """Take what these places hold now as right."""
        names = {place.name for place in replaced}
        self._places = [
            Place(place.name, place.namespace, place.key, place.now) if place.name in names else place
            for place in self._places
        ]


def _places(module: ModuleType, name: str) -> Iterator[Place]:
    for key, value in list(vars(module).items()):
        if isinstance(value, FunctionType | BuiltinFunctionType):
            yield Place(f"{name}.{key}", vars(module), key, value)
        elif isinstance(value, type) and value.__module__ == name:
            yield Place(f"{name}.{key}", vars(module), key, value)
            for inner, method in list(vars(value).items()):
                if isinstance(method, FunctionType):
                    yield Place(f"{name}.{key}.{inner}", vars(value), inner, method)
