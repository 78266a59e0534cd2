"""Watches what a whole process shares, so that no case can change it for the cases after it.

Such as the garbage collector, the environment, the clocks, and the functions that measure. What a style changes
there would make later cases slower, or leave them unchecked.
"""

import gc
import os
import signal
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from types import FunctionType, ModuleType
from typing import Any

_OWN = __name__.partition(".")[0] + "."
_WATCHED_MODULES = (
    *(
        "builtins",
        "gc",
        "math",
        "numpy",
        "numpy.linalg",
        "os",
        "pytest_benchmark.fixture",
        "pytest_benchmark.stats",
    ),
    *("resource", "time"),
)
_BY_PYTEST = ("PYTEST_CURRENT_TEST",)
"""Variables that change with every test."""

_OURS = "the variable GRADPERF"
"""A new variable counts if it is ours. Libraries set others when they are loaded, and read theirs then."""

Facts = dict[str, Any]


def facts() -> Facts:
    """Return what is watched, by its name in a message. Functions are compared by identity."""
    return {
        "gc.isenabled()": gc.isenabled(),
        "gc.get_threshold()": gc.get_threshold(),
        "gc.get_debug()": gc.get_debug(),
        "len(gc.callbacks)": len(gc.callbacks),
        "tracemalloc.is_tracing()": tracemalloc.is_tracing(),
        "sys.getswitchinterval()": sys.getswitchinterval(),
        "sys.gettrace()": sys.gettrace(),
        "sys.getprofile()": sys.getprofile(),
        "the interval timer": signal.getitimer(signal.ITIMER_REAL)[1],
        **_of_system(),
        **{f"the variable {name}": value for name, value in os.environ.items() if _is_watched(name)},
        **_functions(),
    }


def _is_watched(variable: str) -> bool:
    """Return whether a variable counts; one with an underscore in front is a library's own, such as Inductor's."""
    return variable not in _BY_PYTEST and not variable.startswith("_")


def _of_system() -> Facts:
    found: Facts = {"the priority": os.nice(0)}
    if hasattr(os, "sched_getaffinity"):
        found["the CPUs of this process"] = os.sched_getaffinity(0)
    return found


def _functions() -> Facts:
    """Return the functions that measure and check: those of our modules, of some others, and of their classes.

    Of our modules also the modules that they use, such as the clock's, and their limits.
    """
    found: Facts = {}
    for name, module in list(sys.modules.items()):
        if is_own := name.startswith(_OWN):
            found |= {f"{name}.{key}": value for key, value in _limits_in(module)}
        if is_own or name in _WATCHED_MODULES:
            for key, value in _functions_in(module, name):
                found[f"{name}.{key}"] = value
    return found


def _limits_in(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Yield the constants of a module that are numbers or words, or mappings to them."""
    for key, value in list(vars(module).items()):
        if key.isupper() and isinstance(value, int | float | str | dict):
            if not isinstance(value, dict):
                yield key, value
            elif all(isinstance(limit, int | float | str | tuple) for limit in value.values()):
                yield key, dict(value)


def _functions_in(module: ModuleType, name: str) -> Iterator[tuple[str, Any]]:
    for key, value in list(vars(module).items()):
        if isinstance(value, type) and value.__module__ == name:
            yield key, value
            for inner, method in list(vars(value).items()):
                if isinstance(method, FunctionType):
                    yield f"{key}.{inner}", method
        elif callable(value) or isinstance(value, ModuleType):
            yield key, value


class Watch:
    """What the process shares, as it should be; nothing before :meth:`begin`."""

    def __init__(self) -> None:
        self._expected: Facts | None = None

    def begin(self) -> None:
        """Take the process as it is now, with the functions of all modules that are imported by now."""
        self._expected = facts()

    @contextmanager
    def allowing(self) -> Iterator[None]:
        """Accept what changes inside: a framework that is imported may set variables."""
        if self._expected is None:
            yield
            return
        before = facts()
        yield
        after = facts()
        for name in before.keys() | after.keys():
            if not _same(before.get(name), after.get(name)):
                self._expected[name] = after.get(name)

    def changes(self) -> list[str]:
        """Return what is not as it should be, a phrase each. What was imported since is taken as it is."""
        if self._expected is None:
            return []
        now, found = facts(), []
        for name in self._expected.keys() | now.keys():
            if name not in self._expected and not name.startswith(_OURS):
                self._expected[name] = now[name]
            elif not _same(self._expected.get(name), now.get(name)):
                found.append(describe(name, self._expected.get(name), now.get(name)))
        return sorted(found)


def describe(name: str, expected: Any, now: Any) -> str:
    """Return in words what changed."""
    if _is_compared_by_identity(expected):
        return f"{name} was replaced"
    return f"{name} is {now!r}, it was {expected!r}"


def _same(one: Any, other: Any) -> bool:
    if _is_compared_by_identity(one) or _is_compared_by_identity(other):
        return one is other
    return bool(one == other)


def _is_compared_by_identity(value: Any) -> bool:
    return callable(value) or isinstance(value, ModuleType)


process = Watch()
"""Of this process. It begins before any style is imported."""
