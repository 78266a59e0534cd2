"""How a function of tensors is called: as it is, traced by ``tf.function``, or compiled by XLA.

Each of these functions is called once, in ``prepare``, with the arguments of the later calls.

Tracing returns the concrete function. The ``tf.function`` around it would compare its arguments with those it was
traced for at every call. That takes 100 µs of Python, as much as the step of a tiny network.

All data are arguments. A tensor of up to 128 entries that the function only refers to becomes a constant of its
graph, and what depends on it alone is computed once, before the first call.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

Function = Callable[..., Any]
CallAs = Callable[..., Function]


def eager(function: Function, *arguments: Any) -> Function:
    """Return the function itself."""
    return function


def traced(function: Function, *arguments: Any, jit_compile: bool | None = None) -> Function:
    """Return its graph."""
    # No AutoGraph: no Python control flow here depends on a tensor, and it warns about lambdas it cannot parse.
    polymorphic = tf.function(function, autograph=False, jit_compile=jit_compile)
    concrete = polymorphic.get_concrete_function(*arguments)
    # The graph is optimised, or compiled, when it is first called.
    concrete(*arguments)
    return concrete


def compiled(function: Function, *arguments: Any) -> Function:
    """Return what XLA compiles from its graph."""
    return traced(function, *arguments, jit_compile=True)
