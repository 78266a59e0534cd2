"""Counts the matrix products of a program by reading its jaxpr; a scan counts once for each of its steps."""

import math
from collections.abc import Callable
from typing import Any

import jax


def product_flops(run: Callable[[], Any], dtype: Any) -> int:
    """Trace ``run`` as a whole, every step and every jitted function in it."""
    return _products(jax.make_jaxpr(run)().jaxpr, dtype)


_PROGRAM = ("jit", "pjit")
_STRUCTURE = ("broadcast_in_dim", "stack", "unstack", "concatenate", "reshape", "squeeze", "slice", "transpose")
"""Operations that arrange what programs take and return."""


def execution(run: Callable[[], Any]) -> str:
    """Return whether products, or all work if there are none, are in compiled programs, and in how many.

    Most functions of ``jax.numpy`` are small programs themselves; one that has no products counts as an operation
    where there are products elsewhere.
    """
    equations = jax.make_jaxpr(run)().jaxpr.eqns
    count = sum(map(_has_product, equations))
    if count:
        working = [equation for equation in equations if _has_product(equation)]
    else:
        working = [equation for equation in equations if equation.primitive.name not in _STRUCTURE]
    programs = sum(equation.primitive.name in _PROGRAM for equation in working)
    if not programs:
        return "eager"
    if programs < len(working):
        return "partly compiled"
    return "one program" if programs == 1 else "jit"


def _has_product(equation: Any) -> bool:
    if equation.primitive.name == "dot_general":
        return True
    return any(_has_product(each) for inner in _inner(equation.params.values()) for each in inner.eqns)


def _products(jaxpr: Any, dtype: Any) -> int:
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general" and equation.invars[0].aval.dtype == dtype:
            total += _dot(equation)
        if equation.primitive.name == "cond":
            # Only one branch is run. The others must not stand for its work.
            total += min(_products(branch, dtype) for branch in _inner(equation.params["branches"]))
            continue
        times = equation.params["length"] if equation.primitive.name == "scan" else 1
        for inner in _inner(equation.params.values()):
            total += times * _products(inner, dtype)
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
