"""The cases that ``gradperf gate`` times in this repository by default: forty, marked ``gate``.

Ten for each framework. Together they cover every problem that a change could slow down on its own: large and tiny
networks, Adam, the long loop of the polynomial, products and derivatives. Left out are cases that take seconds to
prepare (``torch.compiled``; ``torch.module``, whose optimizer imports the compiler) or to call (``jax.grad``):
up to 128 processes (four for each of up to 32 pairs) would each spend them, and people switch off a gate that takes
an hour. Also left out is ``numpy.analytic``: its time differs by 5 % between processes, so no run could decide.
"""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # it imports numpy, which must wait until the threads are bound
    from gradperf.cases import Case

_STYLES = {
    "two_layer_784x30x10": [
        *("numpy.by_hand", "numpy.by_hand_inplace"),
        *("torch.tensors", "torch.autograd", "torch.function"),
        *("tensorflow.graph", "tensorflow.function", "tensorflow.xla"),
        *("jax.jit", "jax.scan"),
    ],
    "two_layer_1000x100x10": ["numpy.by_hand", "torch.autograd", "tensorflow.function", "jax.scan"],
    "tiny_3x2x1": ["numpy.by_hand", "torch.function", "tensorflow.function", "jax.jit"],
    "tiny_bias_adam_3x2x1": [
        *("numpy.by_hand", "numpy.by_hand_inplace", "torch.layers", "tensorflow.function", "jax.scan"),
    ],
    "polynomial_degree4": [
        *("numpy.by_hand", "numpy.by_hand_inplace", "torch.autograd", "tensorflow.graph"),
        *("jax.jit", "jax.scan"),
    ],
    "matmul_64x64x64": ["numpy.operator", "torch.operator", "tensorflow.operator", "jax.jit"],
    "matmul_5x784x10": ["numpy.einsum", "torch.einsum", "tensorflow.einsum", "jax.einsum"],
    "sine_derivative_100": ["torch.ones", "tensorflow.function", "jax.vmap"],
}

CASES = frozenset((problem, style) for problem, styles in _STYLES.items() for style in styles)
"""Problem and framework.style of each case. All are on the CPU, in the dtype that the problem was published in."""

_CONTROL = "numpy.by_hand"
"""The control is the first case in this style, which starts quickly and has an ordinary spread."""


def mark(case: "Case") -> pytest.MarkDecorator | None:
    """Return the ``gate`` mark of this case, or None if the gate does not time it by default."""
    style = f"{case.framework}.{case.style}"
    if case.device != "cpu" or (case.problem.name, style) not in CASES:
        return None
    return pytest.mark.gate(group=case.framework, control=style == _CONTROL)
