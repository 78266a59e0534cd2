"""numpy's runtime: one device, the CPU; threads are those of its BLAS, bound by environment before import."""

from typing import Any

import numpy

from gradperf.problems import Array


def version() -> str:
    return numpy.__version__


def configure(threads: int) -> None:
    """Nothing is left to do: ``gradperf.threads.bind`` set the BLAS's threads before numpy was imported."""


def missing(device: str) -> str | None:
    return None


def from_numpy(array: Array, device: str) -> Array:
    return array


def to_numpy(array: Any) -> Any:
    return array


def ready(array: Any) -> bool:
    return True
