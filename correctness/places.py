"""Where faults are planted: framework, style, and the file in the framework's folder."""

BY_HAND = ("numpy", "by_hand", "backprop.py")
INPLACE = ("numpy", "by_hand_inplace", "training/by_hand_inplace.py")
OUTER = ("numpy", "outer_product", "backprop.py")
TENSORS = ("torch", "tensors", "training/tensors.py")
AUTOGRAD = ("torch", "autograd", "by_autograd.py")
TORCH_NETWORK = ("torch", "autograd", "network.py")
TAPE = ("tensorflow", "tape", "by_tape.py")
TF_NETWORK = ("tensorflow", "tape", "network.py")
GRAPH = ("tensorflow", "graph", "training/graph.py")
JIT = ("jax", "jit", "stepwise.py")
SCAN = ("jax", "scan", "training/scan.py")
JAX_NETWORK = ("jax", "grad", "network.py")

RETURN_RUN = "    return run\n"
"""The last line of most styles."""
