"""Counts the operations of a program by reading its jaxpr; a scan counts once for each of its steps."""

import math
from collections.abc import Callable
from typing import Any

import jax

from gradperf.frameworks.contract import FUNCTIONS, Operations, function_named


def operations(run: Callable[[], Any], dtype: Any) -> Operations:
    """Trace ``run`` as a whole, every step and every jitted function in it."""
    return _operations(jax.make_jaxpr(run)().jaxpr, dtype)


_PROGRAM = ("jit", "pjit")
_STRUCTURE = ("broadcast_in_dim", "stack", "unstack", "concatenate", "reshape", "squeeze", "slice", "transpose")
"""Operations that arrange what programs take and return."""
_MOVES = (
    *_STRUCTURE,
    *("convert_element_type", "copy", "copy_p", "device_put", "dynamic_slice", "dynamic_update_slice", "gather"),
    *("expand_dims", "iota", "optimization_barrier", "pad", "rev", "scatter", "split", "stop_gradient"),
)
"""Operations that only move or fill entries."""


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


def _operations(jaxpr: Any, dtype: Any) -> Operations:
    products, others, functions = 0, 0, frozenset[str]()
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        inner = [*_inner(equation.params.values())]
        if name == "dot_general":
            products += _dot(equation) if equation.invars[0].aval.dtype == dtype else 0
        elif name == "cond":
            # Only one branch is run. The others must not stand for its work.
            branches = [_operations(branch, dtype) for branch in inner]
            products += min(branch.products for branch in branches)
            others += min(branch.others for branch in branches)
            functions = functions.union(*(branch.functions for branch in branches))
        elif inner:
            times = equation.params["length"] if name == "scan" else 1
            for within in (_operations(each, dtype) for each in inner):
                products, others = products + times * within.products, others + times * within.others
                functions |= within.functions
        elif name not in _MOVES:
            taken = equation.invars if name.startswith(("reduce_", "cum", "arg")) else equation.outvars
            others += max((math.prod(variable.aval.shape) for variable in taken), default=0)
            functions |= FUNCTIONS & {function_named(name)}
    return Operations(products, others, functions)


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
