"""What a framework's folder and a style's file must offer; ``tests/test_contract.py`` holds every one to it.

A framework is the folder ``gradperf/frameworks/<name>/``. Its ``__init__.py`` states facts that must be known
without importing the framework: ``DEVICES``, those it can use somewhere, of "cpu" and "cuda", and, where
it has any, ``COMPANIONS``, packages whose version is recorded with its own. Its ``runtime.py``
is a :class:`Runtime`. Only ``runtime.py`` and the files beside and below it import the framework.

A style is the file ``gradperf/frameworks/<framework>/<family>/<style>.py``. It has

``prepare(problem, inputs, device, dtype) -> run``
    Untimed: transfer, build, trace. ``run()`` is what is timed. Every call starts from the same initial state,
    does all the problem's steps, ends when the results are ready, and returns what ``problem.reference``
    computes, under the same names, as the framework's own arrays. Several of one shape may come as a list: that is
    one array with an axis more.

``supports(problem, device, dtype) -> reason | None`` (optional)
    One line that says why this style cannot run that case.

``install()`` (optional)
    What a machine does once, whatever is compiled after it, such as precompiling a header. Called before first
    calls are measured, in a process of its own.

``UNCOUNTED`` (optional)
    One line that says why its matrix products cannot be counted. All others must make exactly those that the
    problem takes.

``phases(problem, inputs, device, dtype) -> (forward, backward)`` (optional, training only)
    The two halves of a step at the initial weights, forward and backward, for timing them apart:
    ``backward(forward())`` gives the outputs of ``problem.gradient_problem()``. ``backward`` may use up what
    ``forward`` returned, so each call of it gets a fresh one.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from gradperf.problems import Array, Arrays

Outputs = Mapping[str, Any]
"""Named arrays of the framework, or lists of them."""


def each(outputs: Outputs) -> Iterator[tuple[str, Any]]:
    """Give every array under the name that it has, or its list has."""
    for name, value in outputs.items():
        for array in value if isinstance(value, list) else [value]:
            yield name, array


Run = Callable[[], Outputs]
Forward = Callable[[], Any]
Backward = Callable[[Any], Outputs]


@dataclass(frozen=True)
class Told:
    """What a framework says of itself once it is configured; None where it has no word for it."""

    threads: int | None = None
    asynchronous: bool = False
    """Whether calls on the CPU may return before they are done: with one thread, that takes a second one."""
    reduced_precision: bool = False
    """Whether float32 products may be computed in TF32 or less."""


class Runtime(Protocol):
    """The few verbs that the harness needs of a framework."""

    def version(self) -> str:
        """Version of the framework that was imported."""
        ...

    def configure(self, threads: int) -> None:
        """Bind threads and precision; called once, right after the import."""
        ...

    def missing(self, device: str) -> str | None:
        """One line that says why ``device`` cannot be used here, or None."""
        ...

    def from_numpy(self, array: Array, device: str) -> Any:
        """Copy to the framework and the device, dtype kept."""
        ...

    def to_numpy(self, array: Any) -> np.ndarray[Any, Any]:
        """Copy back, dtype kept."""
        ...

    def ready(self, array: Any) -> bool:
        """Tell whether the computation that gives ``array`` has ended."""
        ...

    def device_peak_bytes(self, device: str) -> int | None:
        """Give the most bytes that were ever allocated on ``device``; None for the CPU."""
        ...

    def wait(self, value: Any) -> None:
        """Return when everything in ``value``, arrays in any nesting, is computed; at once where it always is."""
        ...

    def told(self) -> Told:
        """Give the framework's own words about its threads and its precision."""
        ...

    def overwrite(self, array: Any) -> bool:
        """Fill ``array`` with NaN; False where arrays cannot be changed."""
        ...

    def compilations(self) -> AbstractContextManager[list[str]]:
        """Give a list that grows by one line for everything compiled or traced anew inside the context."""
        ...

    def product_flops(self, run: Run, prepare: Callable[[Arrays], Run], inputs: Arrays) -> int:
        """Count the operations in matrix products of one call of ``run``, or of ``prepare(inputs)``."""
        ...

    def multiplier(self, a: Array, b: Array, device: str) -> Callable[[], Any]:
        """Give a call that multiplies two matrices on ``device``, and returns when their product is there."""
        ...

    def copier(self, size_bytes: int, device: str) -> Callable[[], Any]:
        """Give a call that copies so many bytes on ``device``, and returns when they are there."""
        ...
