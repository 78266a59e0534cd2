"""Remembers the functions that measure and check, and their limits, and finds those that were replaced since.

Thousands are looked at several times for each case. So their places are listed once.
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import FunctionType, ModuleType
from typing import Any

_OWN = __name__.partition(".")[0] + "."
_OTHERS = (
    *("builtins", "gc", "math", "numpy", "numpy.linalg", "os"),
    *("pytest_benchmark.fixture", "pytest_benchmark.stats", "resource", "time"),
)


@dataclass(frozen=True, eq=False)
class Place:
    """Where a function, a module or a limit is found, and which."""

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
    """The functions of our modules, of some others, and of their classes, as they were when first seen.

    Of our modules also the modules that they use, such as the clock's, and their limits.
    """

    def __init__(self) -> None:
        self._modules: set[str] = set()
        self._places: list[Place] = []
        self.add_new()

    def add_new(self) -> None:
        """Take the functions of modules that were imported since as they are."""
        for name in sorted(sys.modules.keys() - self._modules):
            self._modules.add(name)
            if (is_own := name.startswith(_OWN)) or name in _OTHERS:
                module = sys.modules[name]
                self._places.append(Place(name, sys.modules, name, module))
                self._places += _functions_in(module, name)
                self._places += _limits_in(module, name) if is_own else ()

    def replaced(self) -> list[Place]:
        """Return the places that hold something else than they did."""
        return [
            place
            for place in self._places
            if (now := place.namespace.get(place.key)) is not place.value and _differ(place.value, now)
        ]

    def accept(self, replaced: list[Place]) -> None:
        """Take what these places hold now as right."""
        self._places = [replace(place, value=place.now) if place in replaced else place for place in self._places]


def is_compared_by_identity(value: Any) -> bool:
    """Return whether an equal value is not enough: a clock that counts alike now may not do so later."""
    return callable(value) or isinstance(value, ModuleType)


def _differ(one: Any, other: Any) -> bool:
    return is_compared_by_identity(one) or is_compared_by_identity(other) or bool(one != other)


def _functions_in(module: ModuleType, name: str) -> Iterator[Place]:
    for key, value in list(vars(module).items()):
        if is_compared_by_identity(value):
            yield Place(f"{name}.{key}", vars(module), key, value)
        if isinstance(value, type) and value.__module__ == name:
            for inner, method in list(vars(value).items()):
                if isinstance(method, FunctionType):
                    yield Place(f"{name}.{key}.{inner}", vars(value), inner, method)


def _limits_in(module: ModuleType, name: str) -> Iterator[Place]:
    """Yield the constants of a module that are numbers or words, or mappings to them."""
    for key, value in list(vars(module).items()):
        if key.isupper() and isinstance(value, int | float | str):
            yield Place(f"{name}.{key}", vars(module), key, value)
        elif key.isupper() and isinstance(value, dict) and all(map(_is_limit, value.values())):
            yield Place(f"{name}.{key}", vars(module), key, dict(value))


def _is_limit(value: Any) -> bool:
    return isinstance(value, int | float | str | tuple)
