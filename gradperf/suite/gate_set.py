"""The cases that ``gradperf gate`` times in this repository unless told otherwise: marked ``gate``, forty of them.

Ten of each framework, of every problem that one of its changes could slow down in a way of its own: large and tiny
networks, Adam, the polynomial's long loop, products and derivatives. Left out is what takes seconds to prepare
(``torch.compiled``; ``torch.module``, whose optimizer imports the compiler) or to call (``jax.grad``), as every one
of forty to a hundred processes would take them: a gate that takes an hour is switched off. So is what no run could
decide: ``numpy.analytic`` is 5 % faster or slower in each new process.
"""

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
"""Problem and framework.style of each, on the CPU and in the dtype that the problem was published in."""

CONTROL = "numpy.by_hand"
"""The control is the first case of this framework and style: quick to start, and of an ordinary spread."""
