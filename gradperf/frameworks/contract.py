"""What a framework's folder and a style's file must offer. ``tests/test_contract.py`` checks each of them.

A framework is the folder ``gradperf/frameworks/<name>/``:

- ``__init__.py`` states facts that must be known without importing the framework: ``DEVICES``, of "cpu" and "cuda",
  and optionally ``COMPANIONS``, packages whose versions are recorded with its own.
- ``runtime.py`` is a :class:`Runtime`: a module with its functions.
- ``profiling.py`` is a ``Profiler``, as ``gradperf/frameworks/profiling.py`` describes it.

Only ``runtime.py`` and the files beside and below it import the framework.

A style is the file ``gradperf/frameworks/<framework>/<family>/<style>.py``: a module with ``prepare``, and with
what else it needs of :class:`Style`. There is nothing to register.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol, Self

import numpy as np

# Imported again from here, so that a style's file needs one line for all types of its signatures.
from gradperf.problems import Array as Array
from gradperf.problems import Arrays as Arrays

Outputs = Mapping[str, Any]
"""Named arrays of the framework. A list of arrays of one shape counts as one array with a further axis."""


def each(outputs: Outputs) -> Iterator[tuple[str, Any]]:
    """Yield every array with its name, or with the name of its list."""
    for name, value in outputs.items():
        for array in value if isinstance(value, list) else [value]:
            yield name, array


def dtype_of(inputs: Arrays) -> np.dtype[Any]:
    """Return the dtype of the inputs, which is that of the case; float64 without inputs."""
    return next(iter(inputs.values()), np.empty(0)).dtype


Run = Callable[..., Outputs]
"""Takes a number of steps, or no argument (:class:`Style`)."""
Forward = Callable[[], Any]
Backward = Callable[[Any], Outputs]


DIFFERENTIATIONS = frozenset(("backward", "grad", "grad_and_value", "gradient", "gradients", "value_and_grad"))
"""Functions of frameworks that differentiate, by their names there."""

TECHNIQUES = DIFFERENTIATIONS | {"apply", "einsum", "forward", "scan", "train_on_batch", "vmap"}
"""Functions of frameworks that a style can stand for; "apply" is that of a ``torch.autograd.Function``, "forward"
that of a ``torch.nn.Module``."""

Execution = Literal["eager", "jit", "one program", "graph", "xla", "inductor", "unknown"]
"""How the work of a call is executed: operation by operation; by programs of XLA that JAX compiled, one for each
step or one for all; by graphs of TensorFlow, as they are or compiled by XLA; by what torch's Inductor compiled.
"unknown" where no one can look inside."""


@dataclass(frozen=True)
class Style:
    """One way to compute the problems of a family."""

    prepare: Callable[[Any, Arrays, str, str], Run]
    """``prepare(problem, inputs, device, dtype) -> run``. Untimed: transfer, build, trace. ``run()`` is timed. Each
    call starts from the same initial state, does all steps of the problem, returns when its results are ready, and
    returns what ``problem.reference`` computes, under the same names, as arrays of the framework. ``run(steps)``
    does only the first ``steps``, so that a timed call can be short."""
    supports: Callable[[Any, str, str], str | None] = lambda problem, device, dtype: None
    """``supports(problem, device, dtype)`` returns why the style cannot run that case, on one line, or None."""
    install: Callable[[], None] | None = None
    """Work that a machine does once for all cases, such as precompiling a header. It is called in a process of its
    own, before first calls are measured."""
    phases: Callable[[Any, Arrays, str, str], tuple[Forward, Backward]] | None = None
    """``phases(problem, inputs, device, dtype) -> (forward, backward)``, for training: the two halves of a step at
    the initial weights. ``backward(forward())`` returns the outputs of ``problem.gradient_problem()``.
    ``backward`` may use up what ``forward`` returned."""
    uncounted: str | None = None
    """Why its matrix products cannot be counted, on one line: the module's ``UNCOUNTED``. Every other style must
    make exactly the products that the problem takes."""
    products: Literal["none", "all but weight gradients"] | None = None
    """Which matrix products a style that is ``uncounted`` makes all the same: the module's ``PRODUCTS``. They are
    counted. None if a count sees nothing of them."""

    calls: tuple[str, ...] = ()
    """The functions of its framework that it stands for, of :data:`TECHNIQUES`: the module's ``CALLS``. It must
    call each of them in every step, or while its step is traced. Without one that differentiates it calls none."""
    repeats: Callable[[Any], int] | None = None
    """``repeats(problem)`` returns how often it repeats its innermost loop in Python in one step. Without it, it
    has no loops but over layers and parameters."""
    execution: Execution = "eager"
    """How its work is executed: the module's ``EXECUTION``. A style must not be faster, or slower, by another way
    than its name says."""

    @classmethod
    def of(cls, module: Any) -> Self:
        """Read the style that ``module`` defines."""
        optional = {
            name: getattr(module, name)
            for name in ("supports", "install", "phases", "repeats")
            if hasattr(module, name)
        }
        for constant in ("UNCOUNTED", "PRODUCTS", "CALLS", "EXECUTION"):
            if hasattr(module, constant):
                optional[constant.lower()] = getattr(module, constant)
        return cls(module.prepare, **optional)


@dataclass(frozen=True)
class RuntimeFacts:
    """What a framework reports about itself once it is configured."""

    threads: int | None = None
    """None if it does not report them."""
    asynchronous: bool = False
    """Whether calls on the CPU may return before they are done, which takes a second thread."""
    reduced_precision: bool = False
    """Whether float32 products may be computed in TF32 or less."""


@dataclass(frozen=True)
class Operations:
    """The operations of one call that were counted."""

    products: int
    """Multiplications and additions in matrix products. A product in another dtype than the case's is none."""
    others: int
    """All other arithmetic, one for each entry: of the result, or of what a sum takes. Copies are none."""
    functions: frozenset[str]
    """Which of the functions that a problem must name (:func:`named_functions`) are among them."""
    copies: int = 0
    """Entries that were only copied, as far as they are counted."""
    elsewhere: int = 0
    """Entries of other arithmetic in another dtype of floats than the case's, without that of single numbers."""
    extra: int = 0
    """Operations by which the dearest branches exceed the cheapest, which are counted."""


FUNCTIONS = frozenset(
    (
        *("abs", "bernoulli", "bincount", "ceil", "clip", "conv2d", "convolve", "correlate", "cos", "cosh"),
        *("cumprod", "cumsum", "det", "eig", "eigh", "eigvals", "erf", "exp", "expm1", "floor", "histogram"),
        *("interp", "inv", "log", "log1p", "lstsq", "matrixpower", "matrixrank", "nonzero", "normal", "pinv"),
        *("qr", "randlike", "randnlike", "round", "sigmoid", "sin", "sinh", "slogdet", "softmax", "solve"),
        *("tan", "tanh", "topk", "uniform", "unique", "vdot"),
    )
)
"""Functions that no step takes unless its problem names them, unlike sums, products, powers, comparisons, max."""

_PARTS = (
    *("callback", "checknumerics", "cholesky", "dropout", "fft", "inverse", "isfinite", "isinf", "isnan", "linalg"),
    *("print", "pyfunc", "random", "sort", "svd", "threefry"),
)
"""Parts of the names of more such functions: of linear algebra, of random numbers, of Python in a program."""

_SAME = {
    **dict.fromkeys(("clamp", "clampmax", "clampmin", "clipbyvalue", "fmin", "min", "minimum"), "clip"),
    **dict.fromkeys(("absolute", "fabs"), "abs"),
    "logistic": "sigmoid",
    "rint": "round",
}


def function_named(operation: str) -> str:
    """Return how a framework's operation is named in :data:`FUNCTIONS`: "tanh" for tanh_backward and TanhGrad."""
    name = operation.lower().replace("_", "").removesuffix("backward").removesuffix("grad")
    return _SAME.get(name, name)


def named_functions(operations: Iterable[str]) -> frozenset[str]:
    """Return those of a framework's operations that a problem must name, by their names there."""
    names = {function_named(operation) for operation in operations}
    return frozenset(name for name in names if name in FUNCTIONS or any(part in name for part in _PARTS))


class Runtime(Protocol):
    """What the harness needs of a framework."""

    COUNTS_PREPARED: bool
    """Whether ``operations`` counts a call that is prepared already, and not always one that it prepares itself."""

    def version(self) -> str:
        """Return the version of the framework that was imported."""

    def configure(self, threads: int) -> None:
        """Bind threads and precision; called once, right after the import."""

    def missing(self, device: str) -> str | None:
        """Return why ``device`` cannot be used here, on one line, or None."""

    def from_numpy(self, array: Array, device: str) -> Any:
        """Copy to the framework and the device; the dtype stays."""

    def to_numpy(self, array: Any) -> np.ndarray[Any, Any]:
        """Copy back; the dtype stays."""

    def ready(self, array: Any) -> bool:
        """Return whether the computation of ``array`` has ended."""

    def device_peak_bytes(self, device: str) -> int | None:
        """Return the peak of the bytes allocated on ``device``; None for the CPU."""

    def wait(self, value: Any) -> None:
        """Wait until everything in ``value``, arrays in any nesting, is computed."""

    def facts(self) -> RuntimeFacts:
        """Return what the framework reports about its threads and its precision."""

    def modes(self) -> Mapping[str, Any]:
        """Return the settings that all code in this process shares, by name. No case may change them."""

    def overwrite(self, array: Any) -> bool:
        """Fill ``array`` with NaN and return True, or return False if arrays cannot be changed."""

    def compilations(self) -> AbstractContextManager[list[str]]:
        """Return a context with a list that grows by one line for everything compiled or traced inside it."""

    def operations(self, run: Run | None, prepare: Callable[[Arrays], Run], inputs: Arrays) -> Operations:
        """Count the operations of one call of ``run``, or of ``prepare(inputs)`` if there is none to count."""

    def unused(self, run: Run) -> int:
        """Return how many arrays a call keeps for a gradient that it does not compute; 0 if none are ever kept."""

    def execution(self, run: Callable[[], Any], prepare: Callable[[], Any]) -> str:
        """Return how a call of ``run``, made by ``prepare``, is executed: an :data:`Execution`, or other words."""

    def multiplier(self, a: Array, b: Array, device: str) -> Callable[[], Any]:
        """Return a function that multiplies two matrices on ``device`` and waits for the product."""

    def copier(self, size_bytes: int, device: str) -> Callable[[], Any]:
        """Return a function that copies ``size_bytes`` bytes on ``device`` and waits for the copy."""
