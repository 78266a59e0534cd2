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
from typing import Any

from gradperf.machine.functions import Functions, is_compared_by_identity

_BY_PYTEST = ("PYTEST_CURRENT_TEST",)
"""Variables that change with every test."""

_OURS = "the variable GRADPERF"
"""A new variable counts if it is ours. Libraries set others when they are loaded, and read theirs then."""

Facts = dict[str, Any]


def facts() -> Facts:
    """Return what is watched, by its name in a message, other than functions."""
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
    }


def _is_watched(variable: str) -> bool:
    """Return whether a variable counts; one with an underscore in front is a library's own, such as Inductor's."""
    return variable not in _BY_PYTEST and not variable.startswith("_")


def _of_system() -> Facts:
    found: Facts = {"the priority": os.nice(0)}
    if hasattr(os, "sched_getaffinity"):
        found["the CPUs of this process"] = os.sched_getaffinity(0)
    return found


class Watch:
    """What the process shares, as it should be; nothing before :meth:`begin`."""

    def __init__(self) -> None:
        self._expected: Facts | None = None
        self._functions: Functions | None = None

    def begin(self) -> None:
        """Take the process as it is now, with the functions of all modules that are imported by now."""
        self._expected, self._functions = facts(), Functions()

    @contextmanager
    def allowing(self) -> Iterator[None]:
        """Accept what changes inside: a framework that is imported may set variables."""
        if self._expected is None or self._functions is None:
            yield
            return
        before, replaced_before = facts(), self._functions.replaced()
        yield
        after = facts()
        for name in before.keys() | after.keys():
            if before.get(name) != after.get(name):
                self._expected[name] = after.get(name)
        self._functions.accept([place for place in self._functions.replaced() if place not in replaced_before])

    def changes(self) -> list[str]:
        """Return what is not as it should be, a phrase each. What was imported since is taken as it is."""
        if self._expected is None or self._functions is None:
            return []
        now, found = facts(), []
        for name in self._expected.keys() | now.keys():
            if name not in self._expected and not name.startswith(_OURS):
                self._expected[name] = now[name]
            elif self._expected.get(name) != now.get(name):
                found.append(describe(name, self._expected.get(name), now.get(name)))
        found += [describe(place.name, place.value, place.now) for place in self._functions.replaced()]
        self._functions.add_new()
        return sorted(found)


def describe(name: str, expected: Any, now: Any) -> str:
    """Return in words what changed."""
    if is_compared_by_identity(expected):
        return f"{name} was replaced"
    return f"{name} is {now!r}, it was {expected!r}"


process = Watch()
"""Of this process. It begins before any style is imported."""
