"""Counts the operations of a style, with arrays that count all arithmetic they take part in.

The style is prepared again with such arrays. numpy's constructors are replaced while it prepares and runs, so that
arrays which it allocates count too: ``a.dot(b, out)`` calls a method of ``a`` alone.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, ClassVar
from unittest.mock import patch

import numpy as np

from gradperf.frameworks.contract import Array, Arrays, Operations, Run, dtype_of, named_functions

_CONSTRUCTORS = (
    *("array", "asarray", "ascontiguousarray", "asfortranarray", "copy", "empty", "zeros", "ones", "full"),
    *("empty_like", "zeros_like", "ones_like", "full_like", "concatenate", "stack", "eye", "arange", "linspace"),
)
_PRODUCTS = (np.matmul, np.vecdot, np.matvec, np.vecmat)
"""The ufuncs of numpy that multiply matrices; ``@`` is the first of them."""
_COPIES = (
    np.array,
    np.asarray,
    np.copy,
    np.copyto,
    np.ascontiguousarray,
    np.asfortranarray,
    np.concatenate,
    np.stack,
)
_MOVES = (
    *("atleast_1d", "atleast_2d", "broadcast_arrays", "broadcast_to", "can_cast", "concatenate", "copy", "copyto"),
    *("diag", "einsum", "empty_like", "expand_dims", "full_like", "may_share_memory", "moveaxis", "ndim"),
    *(
        "ones_like",
        "ravel",
        "reshape",
        "result_type",
        "shape",
        "shares_memory",
        "size",
        "split",
        "squeeze",
        "stack",
    ),
    *("swapaxes", "transpose", "where", "zeros_like"),
)
"""Functions that only move or fill entries, or whose arithmetic is counted by itself."""


class Counted(np.ndarray[Any, np.dtype[Any]]):
    """An array that adds 2·m·k·n to :attr:`flops` for every matrix product that it takes part in.

    It adds one for each entry of other arithmetic to :attr:`others`.
    """

    flops = 0
    others = 0
    copies = 0
    elsewhere = 0
    functions: ClassVar[set[str]] = set()
    product_dtype: "np.dtype[Any] | None" = None
    """Products in another one count as none; None if all count."""

    def __array_ufunc__(self, ufunc: Any, method: str, *operands: Any, **named: Any) -> Any:
        out = named.get("out")
        named = {name: _plain(value) for name, value in named.items()}
        if out is not None:
            named["out"] = tuple(map(_plain, out))
        result = getattr(ufunc, method)(*map(_plain, operands), **named)
        if ufunc in _PRODUCTS:
            _note(operands[0], result)
        else:
            _note_other(ufunc.__name__, np.size(result if method == "__call__" else operands[0]), result)
        return out[0] if out is not None and len(out) == 1 else _counted(result)

    def dot(self, other: Any, out: Any = None) -> Any:
        """Count ``a.dot(b, out)``."""
        result = _plain(self).dot(_plain(other), None if out is None else _plain(out))
        _note(self, result)
        return _counted(result) if out is None else out

    def __getitem__(self, index: Any) -> Any:
        """Return an array that counts, of no axes instead of a number."""
        found = np.ndarray.__getitem__(self, index)
        if isinstance(found, np.ndarray):
            return found
        return _counted(_plain(self)[(*index, ...) if isinstance(index, tuple) else (index, ...)])

    def copy(self, order: Any = "C") -> Any:
        """Count the entries that are copied."""
        Counted.copies += self.size
        return super().copy(order)

    def astype(self, *arguments: Any, **named: Any) -> Any:
        """Count the entries that are copied."""
        Counted.copies += self.size
        return super().astype(*arguments, **named)

    def view(self, *arguments: Any, **named: Any) -> Any:
        """Return a view that counts too, whatever type was asked for."""
        return np.ndarray.view(np.ndarray.view(self, np.ndarray).view(*arguments, **named), Counted)

    def __array_function__(self, function: Any, types: Any, operands: Any, named: Any) -> Any:
        """Count ``np.dot``, which ``np.tensordot`` calls too, ``np.inner`` and ``np.einsum``.

        ``np.einsum`` counts the entries that its indices run over. A function that calls nothing that is counted
        counts once for each entry that it takes.
        """
        before = Counted.flops, Counted.others
        returned = self._called(function, types, operands, named)
        if function in _COPIES:
            Counted.copies += np.size(returned) if returned is not None else np.size(operands[0])
        elif before == (Counted.flops, Counted.others) and function.__name__ not in _MOVES:
            _note_other(function.__name__, max(map(np.size, operands), default=0), returned)
        else:
            Counted.functions.add(function.__name__)
        return returned

    def _called(self, function: Any, types: Any, operands: Any, named: Any) -> Any:
        if function is np.dot:
            return np.asarray(operands[0]).view(Counted).dot(*operands[1:], **named)
        if function is np.inner:
            _note(operands[0], np.inner(*map(_plain, operands)))
        if function is np.where and len(operands) == 3:  # most other functions call ufuncs
            Counted.others += np.broadcast(*operands).size
        if function is np.einsum and isinstance(operands[0], str) and all(map(_is_counted, operands[1:])):
            Counted.flops += 2 * _entries(operands[0], operands[1:])
        return super().__array_function__(function, types, operands, named)


def _plain(value: Any) -> Any:
    return np.ndarray.view(value, np.ndarray) if isinstance(value, Counted) else value


def _counted(value: Any) -> Any:
    return np.ndarray.view(value, Counted) if isinstance(value, np.ndarray) else value


def _note_other(name: str, entries: int, result: Any) -> None:
    Counted.others += entries
    Counted.functions.add(name)
    dtype = getattr(result, "dtype", None)
    if entries > 1 and dtype is not None and dtype.kind in "fc" and not _is_counted(result):
        Counted.elsewhere += entries


def _is_counted(array: Any) -> bool:
    return Counted.product_dtype in (None, np.asarray(array).dtype)


def _note(a: Any, result: Any) -> None:
    flops = 2 * np.size(result) * np.shape(a)[-1]
    # A vector from the left is a sum: of squares in a loss, over the batch in the gradient of a bias.
    if np.ndim(a) == 1:
        Counted.others += flops
    elif _is_counted(result):
        Counted.flops += flops


def _entries(indices: str, operands: tuple[Array, ...]) -> int:
    """Return the product of the lengths of all indices of an einsum."""
    terms = indices.replace(" ", "").partition("->")[0].split(",")
    lengths: dict[str, int] = {}
    for term, array in zip(terms, operands, strict=True):
        lengths.update(zip(term, array.shape, strict=True))
    return math.prod(lengths.values())


@contextmanager
def _everything_counted() -> Iterator[None]:
    def counting(constructor: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *operands, **named: _counted(constructor(*operands, **named))

    with ExitStack() as stack:
        for name in _CONSTRUCTORS:
            stack.enter_context(patch.object(np, name, counting(getattr(np, name))))
        yield


def foreign_product_flops(prepare: Callable[[Arrays], Run], inputs: Arrays) -> int:
    """Count the operations in matrix products that another framework's style makes with numpy.

    Of those that ``prepare`` makes too. numpy's constructors stay as they are: the framework uses them itself.
    """
    Counted.flops, Counted.product_dtype = 0, None
    prepare({name: _counted(array) for name, array in inputs.items()})()
    return Counted.flops


def operations(prepare: Callable[[Arrays], Run], inputs: Arrays) -> Operations:
    """Count the operations of the second call: a result kept from the first call takes none."""
    with _everything_counted():
        run = prepare({name: _counted(array) for name, array in inputs.items()})
        run()
        Counted.flops, Counted.others, Counted.product_dtype = 0, 0, dtype_of(inputs)
        Counted.copies, Counted.elsewhere = 0, 0
        Counted.functions.clear()
        run()
    functions = named_functions(Counted.functions)
    return Operations(Counted.flops, Counted.others, functions, Counted.copies, Counted.elsewhere)
