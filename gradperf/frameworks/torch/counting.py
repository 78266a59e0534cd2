"""Counts the operations in torch's matrix products while a style runs, backward passes included."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode  # so torch's notes on extending it import it
from torch.utils.flop_counter import flop_registry


def product_flops(run: Callable[[], Any], dtype: Any) -> int:
    """Return the operations in the matrix products of a call; 0 if one has another dtype."""
    # A compiled program cannot be counted, so its source is.
    with torch.compiler.set_stance("force_eager"), _Counting(dtype) as counting:
        run()
    return counting.flops if counting.holds else 0


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
        self.holds = True
        """Whether all matrices of floats so far have the dtype. An optimizer has other scalars."""

    def __torch_dispatch__(self, function: Any, types: Any, operands: Any = (), named: Any = None) -> Any:
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
        first = returned[0] if isinstance(returned, tuple) and returned else returned
        if isinstance(first, torch.Tensor) and first.dim() > 1 and first.dtype.is_floating_point:
            self.holds &= first.dtype == self._dtype
        return returned

    def _branch(self, function: Any, operands: Any) -> Any:
        """Call the branch of a condition that is taken, and count what it calls."""
        if function is not torch.ops.higher_order.cond:
            raise NotImplementedError(f"the matrix products in {function} cannot be counted")
        condition, of_true, of_false, values = operands
        with self:
            return (of_true if condition else of_false)(*values)
