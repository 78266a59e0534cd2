"""Counts the matrix products of a program by reading its jaxpr; a scan counts once for each of its steps."""

import math
from collections.abc import Callable
from typing import Any

import jax


def product_flops(run: Callable[[], Any]) -> int:
    """Trace ``run`` as a whole, every step and every jitted function in it."""
    return _products(jax.make_jaxpr(run)().jaxpr)


def _products(jaxpr: Any) -> int:
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            total += _dot(equation)
        if equation.primitive.name == "cond":
            # Only one branch is run. The others must not stand for its work.
            total += min(map(_products, _inner(equation.params["branches"])))
            continue
        times = equation.params["length"] if equation.primitive.name == "scan" else 1
        for inner in _inner(equation.params.values()):
            total += times * _products(inner)
    return total


def _dot(equation: Any) -> int:
    """Return 2·m·k·n: entries of the result, times the length that is summed over, times two."""
    (contracted, _), _ = equation.params["dimension_numbers"]
    summed = math.prod(equation.invars[0].aval.shape[axis] for axis in contracted)
    return 2 * math.prod(equation.outvars[0].aval.shape) * summed


def _inner(values: Any) -> Any:
    """Yield the programs within an equation: bodies of loops, branches, jitted functions."""
    for value in values:
        if isinstance(value, tuple | list):
            yield from _inner(value)
        elif hasattr(value, "eqns"):
            yield value
        elif hasattr(value, "jaxpr"):  # a closed jaxpr
            yield value.jaxpr
