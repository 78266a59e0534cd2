"""numpy's runtime: only the CPU; its threads are those of its BLAS, bound by the environment before the import."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy

from gradperf.frameworks.contract import Array, Arrays, Operations, Run, RuntimeFacts
from gradperf.frameworks.numpy import counting

COUNTS_PREPARED = False


def version() -> str:
    return numpy.__version__


def configure(threads: int) -> None:
    """Keep the count; ``gradperf.machine.threads.bind`` bound the BLAS before numpy was imported."""
    global _threads
    _threads = threads


_threads = 1


def missing(device: str) -> str | None:
    return None


def from_numpy(array: Array, device: str) -> Array:
    return array


def to_numpy(array: Any) -> Any:
    return array


def ready(array: Any) -> bool:
    return True


def device_peak_bytes(device: str) -> int | None:
    return None


def wait(value: Any) -> None:
    """Return at once: every call returns its results ready."""


def facts() -> RuntimeFacts:
    """Report nothing: the threads of the BLAS are checked directly."""
    return RuntimeFacts()


def modes() -> dict[str, Any]:
    return {"numpy.geterr()": numpy.geterr(), "numpy.getbufsize()": numpy.getbufsize()}


def overwrite(array: Any) -> bool:
    if not array.flags.writeable:
        return False
    array[...] = numpy.nan
    return True


@contextmanager
def compilations() -> Iterator[list[str]]:
    """Return an empty list: nothing is ever compiled."""
    yield []


def operations(run: Run | None, prepare: Callable[[Arrays], Run], inputs: Arrays) -> Operations:
    return counting.operations(prepare, inputs)


def unused(run: Run) -> int:
    """Return 0: none are kept."""
    return 0


def execution(run: Callable[[], Any], prepare: Callable[[], Any]) -> str:
    """Return that numpy knows no other way."""
    return "eager"


def multiplier(a: Array, b: Array, device: str) -> Callable[[], Any]:
    product = numpy.empty((len(a), b.shape[1]), a.dtype)
    return lambda: numpy.matmul(a, b, product)


def copier(size_bytes: int, device: str) -> Callable[[], Any]:
    """Copy with all threads of the run, because numpy itself copies with one."""
    source, target = (numpy.zeros(size_bytes, numpy.uint8) for _ in range(2))
    if _threads == 1:
        return lambda: numpy.copyto(target, source)
    pieces = [*zip(numpy.array_split(target, _threads), numpy.array_split(source, _threads), strict=True)]
    pool = ThreadPoolExecutor(_threads)
    return lambda: [*pool.map(lambda piece: numpy.copyto(*piece), pieces)]
