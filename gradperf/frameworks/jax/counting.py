"""Counts the operations of a program by reading its jaxpr; a scan counts once for each of its steps.

What a compiler computes only once does not count at each step, or not at all: it moves out of a loop what no step
changes, and computes beforehand what depends on the constants of a program alone.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax

from gradperf.frameworks.contract import Operations, named_functions


def operations(run: Callable[[], Any], dtype: Any) -> Operations:
    """Trace ``run`` as a whole, every step and every jitted function in it."""
    counter = _Counter(dtype)
    jaxpr = jax.make_jaxpr(run)().jaxpr
    # Outside of all programs everything is computed at each call.
    counter.count(jaxpr, [True] * len(jaxpr.invars), constants=True)
    functions = named_functions(counter.names)
    return Operations(counter.products, counter.others, functions, elsewhere=counter.elsewhere, extra=counter.extra)


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


@dataclass
class _Counter:
    """What was counted so far."""

    dtype: Any
    products: int = 0
    others: int = 0
    elsewhere: int = 0
    extra: int = 0
    names: set[str] = field(default_factory=set)

    def count(self, jaxpr: Any, varying: Iterable[bool], times: int = 1, *, constants: bool = False) -> list[bool]:
        """Count ``times`` all equations that depend on the ``varying`` inputs; return which outputs do.

        ``constants``: whether the constants count as varying too.
        """
        changes = dict(zip(jaxpr.invars, varying, strict=True)) | dict.fromkeys(jaxpr.constvars, constants)
        for equation in jaxpr.eqns:
            taken = [not _is_literal(each) and changes.get(each, constants) for each in equation.invars]
            found = self._equation(equation, taken, times) if any(taken) or constants else [False]
            changes |= dict(zip(equation.outvars, found * (len(equation.outvars) // len(found)), strict=True))
        return [not _is_literal(each) and changes.get(each, constants) for each in jaxpr.outvars]

    def _equation(self, equation: Any, varying: list[bool], times: int) -> list[bool]:
        """Count an equation; return for each of its outputs, or for all, whether it depends on the varying inputs.

        Raises NotImplementedError for a loop of unknown length.
        """
        name, inner = equation.primitive.name, [*_inner(equation.params.values())]
        if name == "while":
            raise NotImplementedError("the operations in a while loop cannot be counted")
        if name == "dot_general":
            self.products += times * _dot(equation) if _is_counted(equation, self.dtype) else 0
        elif name == "cond":
            self._cheapest([(branch, varying[1:]) for branch in inner], times)
        elif name == "scan":
            self._scan(equation, inner[0], varying, times)
        elif name in _PROGRAM and len(inner) == 1:
            return self.count(inner[0], varying, times)
        elif inner:
            for each in inner:
                self.count(each, [True] * len(each.invars), times)
        elif name not in _MOVES:
            taken = equation.invars if name.startswith(("reduce_", "cum", "arg")) else equation.outvars
            entries = max((math.prod(variable.aval.shape) for variable in taken), default=0)
            self.others += times * entries
            self.elsewhere += times * entries if entries > 1 and _is_elsewhere(equation, self.dtype) else 0
            self.names.add(name)
        return [True]

    def _cheapest(self, branches: Sequence[tuple[Any, list[bool]]], times: int) -> None:
        """Count the cheapest branch. Only one is run, and the others must not stand for its work."""
        each = [_Counter(self.dtype) for _ in branches]
        for counter, (branch, varying) in zip(each, branches, strict=True):
            counter.count(branch, varying, times)
            self.names |= counter.names
            self.elsewhere += counter.elsewhere
        products, others = ([getattr(one, name) for one in each] for name in ("products", "others"))
        self.products, self.others = self.products + min(products), self.others + min(others)
        self.extra += max(products) - min(products) + max(others) - min(others) + max(one.extra for one in each)

    def _scan(self, equation: Any, body: Any, varying: list[bool], times: int) -> None:
        """Count a loop: once for each step what a step changes, and once what none does."""
        first, carried = equation.params["num_consts"], equation.params["num_carry"]
        kept = [
            index < first or (index < first + carried and body.outvars[index - first] is variable)
            for index, variable in enumerate(body.invars)
        ]
        length = equation.params["length"]
        self.count(body, [not one for one in kept], times * length)
        once, at_steps = _Counter(self.dtype), _Counter(self.dtype)
        once.count(body, [changed or not one for changed, one in zip(varying, kept, strict=True)], times)
        at_steps.count(body, [not one for one in kept], times)
        self.products += once.products - at_steps.products
        self.others += once.others - at_steps.others


def _is_literal(value: Any) -> bool:
    """Return whether a value is a number in the program, which is no variable and cannot be looked up."""
    return hasattr(value, "val")


def _is_counted(equation: Any, dtype: Any) -> bool:
    """Return whether a product has the dtype, and its full precision."""
    lower = (jax.lax.Precision.DEFAULT, jax.lax.Precision.HIGH)
    precision = equation.params["precision"] or ()
    is_full = dtype != "float32" or not any(each in lower for each in precision)
    return bool(equation.invars[0].aval.dtype == dtype and is_full)


def _is_elsewhere(equation: Any, dtype: Any) -> bool:
    found = equation.outvars[0].aval.dtype
    return bool(jax.numpy.issubdtype(found, jax.numpy.floating) and found != dtype)


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
