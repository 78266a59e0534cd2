"""Counts the operations of torch while a style runs, backward passes included."""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode  # so torch's notes on extending it import it
from torch.utils.flop_counter import flop_registry

from gradperf.frameworks.contract import Operations, named_functions
from gradperf.frameworks.torch import compiler

Result = TypeVar("Result")

_MOVES = (
    *("_foreach_copy_", "_foreach_zero_", "_local_scalar_dense", "_to_copy", "_unsafe_view", "alias", "arange"),
    *("cat", "clone", "copy", "copy_", "detach", "detach_", "diagonal", "empty", "empty_like", "empty_strided"),
    *("expand", "eye", "fill_", "full", "full_like", "gather", "index", "lift_fresh", "lift_fresh_copy", "narrow"),
    *("new_empty", "new_empty_strided", "new_full", "new_ones", "new_zeros", "ones", "ones_like", "permute"),
    *("reshape", "resize_", "scalar_tensor", "select", "select_backward", "select_scatter", "set_", "slice"),
    *("slice_backward", "slice_scatter", "split", "squeeze", "stack", "t", "transpose", "unbind", "unfold"),
    *("unsqueeze", "view", "zero_", "zeros", "zeros_like"),
)
"""Operators that only move or fill entries."""
_COPIES = ("_to_copy", "cat", "clone", "copy", "copy_", "stack")


def operations(run: Callable[[], Any], dtype: Any) -> Operations:
    """Return the operations of a call; none in matrix products if one has another dtype."""
    with _Counting(dtype) as counting:
        uncompiled(run)
    flops, functions = counting.flops if counting.holds else 0, named_functions(counting.functions)
    return Operations(flops, counting.others, functions, counting.copies, counting.elsewhere)


def unused(run: Callable[[], Any]) -> int:
    """Return how many tensors autograd keeps in a call and does not use; 0 if that cannot be seen."""
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> tuple[int, torch.Tensor]:
        kept[len(kept)] = 0
        return len(kept) - 1, tensor

    def use(number_and_tensor: tuple[int, torch.Tensor]) -> torch.Tensor:
        number, tensor = number_and_tensor
        kept[number] += 1
        return tensor

    try:
        with torch.autograd.graph.saved_tensors_hooks(keep, use):
            uncompiled(run)
    except RuntimeError:  # the transforms of torch.func allow no hooks
        kept.clear()
    return sum(not uses for uses in kept.values())


def uncompiled(call: Callable[[], Result]) -> Result:
    """Call without ``torch.compile``: a compiled program cannot be counted, so its source is."""
    with compiler.stance("force_eager"):
        return call()


class _Counting(TorchDispatchMode):
    """Sees every operator that is called, down to those that no other composes.

    torch's own counter takes twice as long, and a style may call 100,000 operators. Of ``torch.cond`` it counts the
    larger branch, taken or not; here the one that is taken is counted.
    """

    supports_higher_order_operators = True

    def __init__(self, dtype: Any) -> None:
        super().__init__()
        self._dtype = torch.from_numpy(np.empty(0, dtype)).dtype
        self._whole: set[Any] = set()
        self.flops = 0
        self.others = 0
        self.copies = 0
        self.elsewhere = 0
        self.functions: set[str] = set()
        self.holds = True
        """Whether all matrices of floats so far have the dtype. An optimizer has other scalars."""

    def _count(self, function: Any, types: Any, operands: Any = (), named: Any = None) -> Any:
        """Call the operator, or those that it is composed of, and count it."""
        if not hasattr(function, "overloadpacket"):  # an operator of higher order
            return self._branch(function, operands)
        named = named or {}
        packet = function.overloadpacket
        if function not in self._whole:
            if packet not in flop_registry:
                with self:
                    returned = function.decompose(*operands, **named)
                if returned is not NotImplemented:
                    return returned
            self._whole.add(function)
        returned = function(*operands, **named)
        if packet in flop_registry:
            self.flops += flop_registry[packet](*operands, **named, out_val=returned)
        elif packet.__name__ not in _MOVES and not function.is_view:
            entries = max(_entries(returned), *map(_entries, operands), 0, 0)
            self.functions.add(_function(packet.__name__, operands, named))
            self.others += entries
            self.elsewhere += entries if entries > 1 and self._is_elsewhere(returned) else 0
        elif packet.__name__ in _COPIES:
            self.copies += _entries(returned)
        first = returned[0] if isinstance(returned, tuple) and returned else returned
        if isinstance(first, torch.Tensor) and first.dim() > 1 and first.dtype.is_floating_point:
            self.holds &= first.dtype == self._dtype
        return returned

    def _is_elsewhere(self, returned: Any) -> bool:
        return isinstance(returned, torch.Tensor) and returned.is_floating_point() and returned.dtype != self._dtype

    def _branch(self, function: Any, operands: Any) -> Any:
        """Call the branch of a condition that is taken, and count what it calls."""
        if function is not torch.ops.higher_order.cond:
            raise NotImplementedError(f"the matrix products in {function} cannot be counted")
        condition, of_true, of_false, values = operands
        with self:
            return (of_true if condition else of_false)(*values)


# Defined in the class, torch would wrap it for its compiler, which loads the compiler and makes each call slower.
_Counting.__torch_dispatch__ = _Counting._count  # type: ignore[assignment]  # its self is of this class


def _function(operator: str, operands: Any, named: Any) -> str:
    """Return the name of the function; a clamp from below alone is a ReLU."""
    above = named.get("max", operands[2] if len(operands) > 2 else None)
    return "relu" if operator in ("clamp", "clamp_min") and above is None else operator


def _entries(value: Any) -> int:
    """Return the entries of a tensor, or of all tensors in a list; 0 for anything else."""
    if isinstance(value, torch.Tensor):
        return value.numel()
    return sum(map(_entries, value)) if isinstance(value, list | tuple) else 0
