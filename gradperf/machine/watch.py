"""Watches what a whole process shares, so that no case can change it for the cases after it.

Such as the garbage collector, the environment, the clocks, and the functions that measure. What a style changes
there would make later cases slower, or leave them unchecked.
"""

import gc
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

_OWN = __name__.partition(".")[0] + "."
_WATCHED_MODULES = ("time", "os", "gc", "resource", "numpy", "numpy.linalg", "pytest_benchmark.stats")
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
    """Return the functions that measure and check: those of our modules, of some others, and of their classes."""
    found: Facts = {}
    for name, module in list(sys.modules.items()):
        if name in _WATCHED_MODULES or name.startswith(_OWN):
            for key, value in _functions_in(module, name):
                found[f"{name}.{key}"] = value
    return found


def _functions_in(module: ModuleType, name: str) -> Iterator[tuple[str, Any]]:
    for key, value in list(vars(module).items()):
        if isinstance(value, FunctionType | BuiltinFunctionType):
            yield key, value
        elif isinstance(value, type) and value.__module__ == name:
            yield key, value
            for inner, method in list(vars(value).items()):
                if isinstance(method, FunctionType):
                    yield f"{key}.{inner}", method


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
    if callable(expected):
        return f"{name} was replaced"
    return f"{name} is {now!r}, it was {expected!r}"


def _same(one: Any, other: Any) -> bool:
    return one is other if callable(one) or callable(other) else bool(one == other)


process = Watch()
"""Of this process. It begins before any style is imported."""
