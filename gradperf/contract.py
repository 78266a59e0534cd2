"""What a framework's folder and a style's file must offer; ``tests/test_contract.py`` holds every one to it.

A framework is the folder ``gradperf/frameworks/<name>/``. Its ``__init__.py`` states facts that must be known
without importing the framework: ``DEVICES``, those it can use somewhere, of "cpu" and "cuda", and, where
it has any, ``COMPANIONS``, packages whose version is recorded with its own. Its ``runtime.py``
is a :class:`Runtime`. Only ``runtime.py`` and the files beside and below it import the framework.

A style is the file ``gradperf/frameworks/<framework>/<family>/<style>.py``. It has

``prepare(problem, inputs, device, dtype) -> run``
    Untimed: transfer, build, trace. ``run()`` is what is timed. Every call starts from the same initial state,
    does all the problem's steps, ends when the results are ready, and returns what ``problem.reference``
    computes, under the same names, as the framework's own arrays.

``supports(problem, device, dtype) -> reason | None`` (optional)
    One line that says why this style cannot run that case.

``phases(problem, inputs, device, dtype) -> (forward, backward)`` (optional, training only)
    The two halves of a step at the initial weights, forward and backward, for timing them apart:
    ``backward(forward())`` gives the outputs of ``problem.gradient_problem()``. ``backward`` may use up what
    ``forward`` returned, so each call of it gets a fresh one.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from gradperf.problems import Array

Outputs = Mapping[str, Any]
"""Named arrays of the framework."""

Run = Callable[[], Outputs]
Forward = Callable[[], Any]
Backward = Callable[[Any], Outputs]


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
