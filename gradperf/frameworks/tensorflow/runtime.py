"""TensorFlow's runtime: CPU and CUDA, bound thread pools, float32 products in full precision."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from unittest.mock import patch

# Both are read when TensorFlow, and with it Keras, is imported. Level 3 shows only fatal messages of the C++
# library; otherwise every import prints the instructions of the CPU. Keras must run on TensorFlow, whatever
# ~/.keras/keras.json says. A user who set either variable keeps it.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

from gradperf.frameworks.tensorflow.quiet import quietly

with quietly():
    import tensorflow as tf

from gradperf.frameworks.contract import Array, Arrays, Operations, Run, RuntimeFacts, dtype_of
from gradperf.frameworks.tensorflow import counting

Value = TypeVar("Value")

PLACES = {"cpu": "/CPU:0", "cuda": "/GPU:0"}

COUNTS_PREPARED = True


def version() -> str:
    return str(tf.__version__)


def configure(threads: int) -> None:
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    # A case that says float32 must not be computed in TF32.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    # Otherwise TensorFlow takes all memory of the GPU, and leaves none to the next framework in this process.
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)


def missing(device: str) -> str | None:
    if device == "cuda" and not tf.config.list_physical_devices("GPU"):
        return "tensorflow sees no CUDA device"
    return None


def on(device: str) -> Any:
    """Return a context in which everything is placed on ``device``."""
    return tf.device(PLACES[device])


def from_numpy(array: Array, device: str) -> Any:
    with on(device):
        return tf.constant(array)


def to_numpy(array: Any) -> Any:
    return array.numpy() if tf.is_tensor(array) else array


def synchronized(value: Value, device: str) -> Value:
    """Return ``value`` when the device has finished. Eager calls on the CPU return when they are done."""
    if device == "cuda":
        tf.test.experimental.sync_devices()
    return value


def ready(array: Any) -> bool:
    # Eager calls on the CPU return when they are done. No public function asks a GPU.
    return True


def device_peak_bytes(device: str) -> int | None:
    return int(tf.config.experimental.get_memory_info("GPU:0")["peak"]) if device == "cuda" else None


def wait(value: Any) -> None:
    if tf.config.list_physical_devices("GPU"):
        tf.test.experimental.sync_devices()


def facts() -> RuntimeFacts:
    """Return the threads of its larger pool."""
    pools = (
        tf.config.threading.get_intra_op_parallelism_threads(),
        tf.config.threading.get_inter_op_parallelism_threads(),
    )
    return RuntimeFacts(max(pools), reduced_precision=tf.config.experimental.tensor_float_32_execution_enabled())


def modes() -> dict[str, Any]:
    threading, found = tf.config.threading, {}
    for mode in (
        *(tf.executing_eagerly, tf.config.functions_run_eagerly, tf.config.get_soft_device_placement),
        *(tf.config.optimizer.get_jit, tf.config.optimizer.get_experimental_options),
        *(threading.get_intra_op_parallelism_threads, threading.get_inter_op_parallelism_threads),
        tf.config.experimental.tensor_float_32_execution_enabled,
    ):
        found[f"{mode.__name__}() of tensorflow"] = mode()
    if "keras" in sys.modules:
        found["keras.config.floatx()"] = tf.keras.config.floatx()
        found["keras.config.dtype_policy()"] = tf.keras.config.dtype_policy().name
    return found


def overwrite(array: Any) -> bool:
    if tf.is_tensor(array):
        return False
    array[...] = float("nan")  # a session returns numpy's arrays
    return True


@contextmanager
def compilations() -> Iterator[list[str]]:
    """Record every new graph, as each trace makes one."""
    seen: list[str] = []
    start = tf.Graph.__init__

    def noted(self: Any, *arguments: Any, **named: Any) -> None:
        seen.append("a function was traced")
        start(self, *arguments, **named)

    with patch.object(tf.Graph, "__init__", noted):
        yield seen


def operations(run: Run | None, prepare: Callable[[Arrays], Run], inputs: Arrays) -> Operations:
    return counting.operations(run or prepare(inputs), dtype_of(inputs))


def unused(run: Run) -> int:
    """Return 0: none are kept."""
    return 0


def execution(run: Callable[[], Any], prepare: Callable[[], Any]) -> str:
    with compilations() as traced:
        prepare()
    return counting.execution(run) if traced else "eager"


def multiplier(a: Array, b: Array, device: str) -> Callable[[], Any]:
    left, right = from_numpy(a, device), from_numpy(b, device)

    def multiply() -> Any:
        with on(device):
            product = tf.linalg.matmul(left, right)
        return synchronized(product, device)

    return multiply


def copier(size_bytes: int, device: str) -> Callable[[], Any]:
    with on(device):
        source = tf.zeros(size_bytes, tf.uint8)

    def copy() -> Any:
        with on(device):
            target = tf.raw_ops.DeepCopy(x=source)
        return synchronized(target, device)

    return copy
