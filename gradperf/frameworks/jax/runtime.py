"""jax's runtime: CPU and CUDA, float64 switched on, float32 products in full precision.

Every array is placed on a named device, and computations run where their arguments are. So a CPU case stays on the
CPU even if the default device is a GPU.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

# Otherwise JAX takes three quarters of the GPU's memory at its first use, and leaves torch too little.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import jax

from gradperf.frameworks.contract import Array, Arrays, Operations, Run, RuntimeFacts, dtype_of
from gradperf.frameworks.jax import counting
from gradperf.machine import tasks

_compiled: list[str] = []


def _note(event: str, duration_secs: float, **_: str | int) -> None:
    if "compile" in event:
        _compiled.append(event)


jax.monitoring.register_event_duration_secs_listener(_note)

COUNTS_PREPARED = True


def version() -> str:
    return jax.__version__


def configure(threads: int) -> None:
    jax.config.update("jax_enable_x64", True)
    # On a GPU the default is TF32.
    jax.config.update("jax_default_matmul_precision", "highest")
    # NPROC is the size of the CPU client's thread pool. It is read at the first use of a device.
    os.environ["NPROC"] = str(threads)
    if threads == 1:
        # Otherwise one thread dispatches the next call while another computes the last one: 1.5 CPU seconds per
        # second at the small sizes.
        jax.config.update("jax_cpu_enable_async_dispatch", False)
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{flags} --xla_cpu_multi_thread_eigen=false".strip()


_POOL = "tf_XLAEigen"
"""The name of the threads among which XLA divides an operation on the CPU."""

_threads: int | None = None
"""How many of them JAX started; None if there are none by this name."""


def missing(device: str) -> str | None:
    global _threads
    before = tasks.named(_POOL)  # TensorFlow's XLA has such threads too
    try:
        jax.devices(device)
    except (RuntimeError, AssertionError):  # the second where JAX_PLATFORMS names only platforms that are missing
        chosen = os.environ.get("JAX_PLATFORMS")
        # JAX uses the CPU too where none is named. It fails if any that is named is missing.
        remedy = "; unset it" if device == "cpu" else ""
        why = f" (JAX_PLATFORMS={chosen}{remedy})" if chosen else ""
        return f"jax sees no {'CUDA' if device == 'cuda' else device} device{why}"
    _threads = tasks.named(_POOL) - before or _threads
    return None


def from_numpy(array: Array, device: str) -> jax.Array:
    return jax.device_put(array, jax.devices(device)[0])


def to_numpy(array: Any) -> Any:
    return np.asarray(array)


def ready(array: Any) -> bool:
    return bool(array.is_ready())


def device_peak_bytes(device: str) -> int | None:
    stats = jax.devices(device)[0].memory_stats() if device == "cuda" else None
    return int(stats["peak_bytes_in_use"]) if stats else None


def wait(value: Any) -> None:
    jax.block_until_ready(value)


def facts() -> RuntimeFacts:
    """Return the threads that were counted: JAX does not report them."""
    return RuntimeFacts(
        _threads,
        asynchronous=jax.config.read("jax_cpu_enable_async_dispatch"),
        reduced_precision=jax.config.jax_default_matmul_precision != "highest",  # type: ignore[attr-defined]  # dynamic
    )


def modes() -> dict[str, Any]:
    names = [name for name in dir(type(jax.config)) if name.startswith("jax_")]
    return {f"jax.config.{name}": getattr(jax.config, name) for name in names}


def overwrite(array: Any) -> bool:
    return False


@contextmanager
def compilations() -> Iterator[list[str]]:
    _compiled.clear()
    yield _compiled


def operations(run: Run | None, prepare: Callable[[Arrays], Run], inputs: Arrays) -> Operations:
    return counting.operations(run or prepare(inputs), dtype_of(inputs))


def unused(run: Run) -> int:
    """Return 0: none are kept."""
    return 0


def execution(run: Callable[[], Any], prepare: Callable[[], Any]) -> str:
    return counting.execution(run)


def multiplier(a: Array, b: Array, device: str) -> Callable[[], Any]:
    left, right = from_numpy(a, device), from_numpy(b, device)
    multiply = jax.jit(jax.numpy.matmul)
    return lambda: multiply(left, right).block_until_ready()


def copier(size_bytes: int, device: str) -> Callable[[], Any]:
    source = from_numpy(np.zeros(size_bytes, np.uint8), device)
    copy = jax.jit(lambda array: array + 1)  # XLA would not copy the array itself
    return lambda: copy(source).block_until_ready()
