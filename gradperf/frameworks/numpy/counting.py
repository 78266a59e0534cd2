"""Counts the matrix products of a style: its arrays are replaced by ones that note every product made of them.

The style is prepared anew with such arrays. What it allocates itself joins in too: numpy's constructors are
replaced while it prepares and runs, since ``a.dot(b, out)`` asks only ``a`` who it is.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np

from gradperf.contract import Run
from gradperf.problems import Array, Arrays

_CONSTRUCTORS = ("empty", "zeros", "ones", "ascontiguousarray", "concatenate", "stack")


class Counted(np.ndarray[Any, np.dtype[Any]]):
    """An array that adds 2·m·k·n to :attr:`flops` for every product of matrices that it takes part in."""

    flops = 0

    def __array_ufunc__(self, ufunc: Any, method: str, *operands: Any, **named: Any) -> Any:
        """Count ``np.matmul``, which ``@`` calls too; everything else is passed on."""
        if ufunc is np.matmul:
            _note(*operands[:2])
        out = named.get("out")
        if out is not None:
            named["out"] = tuple(map(_plain, out))
        result = getattr(ufunc, method)(*map(_plain, operands), **named)
        return out[0] if out is not None and len(out) == 1 else _counted(result)

    def dot(self, other: Any, out: Any = None) -> Any:
        """Count ``a.dot(b, out)``."""
        _note(self, other)
        if out is None:
            return _counted(_plain(self).dot(_plain(other)))
        _plain(self).dot(_plain(other), _plain(out))
        return out

    def __array_function__(self, function: Any, types: Any, operands: Any, named: Any) -> Any:
        """Count ``np.dot``; ``np.einsum`` is counted by the entries that its indices run over."""
        if function is np.dot:
            return np.asarray(operands[0]).view(Counted).dot(*operands[1:], **named)
        if function is np.einsum and isinstance(operands[0], str):
            Counted.flops += 2 * _entries(operands[0], operands[1:])
        return super().__array_function__(function, types, operands, named)


def _plain(value: Any) -> Any:
    return value.view(np.ndarray) if isinstance(value, Counted) else value


def _counted(value: Any) -> Any:
    return value.view(Counted) if isinstance(value, np.ndarray) else value


def _note(a: Any, b: Any) -> None:
    # A product of two vectors, the sum of squares of a loss, is no matrix product.
    if a.ndim == 2 and b.ndim >= 1:
        Counted.flops += 2 * a.size * (b.shape[1] if b.ndim == 2 else 1)


def _entries(indices: str, operands: tuple[Array, ...]) -> int:
    """Product of the lengths of all indices of an einsum."""
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


def product_flops(prepare: Callable[[Arrays], Run], inputs: Arrays) -> int:
    """Operations in matrix products during the second call: a result kept from the first takes none."""
    with _everything_counted():
        run = prepare({name: _counted(array) for name, array in inputs.items()})
        run()
        Counted.flops = 0
        run()
    return Counted.flops
