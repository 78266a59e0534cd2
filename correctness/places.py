"""Where faults are planted: framework, style, and the file in the framework's folder; and what several plant."""

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

_CALLERS = """
import sys

def is_called_by(text):
    frame = sys._getframe()
    while frame is not None and text not in f"{frame.f_code.co_filename} {frame.f_code.co_name}":
        frame = frame.f_back
    return frame is not None
"""

CALLED_BY = f"""    helpers: dict[str, Any] = {{}}
    exec(compile({_CALLERS!r}, "helpers.py", "exec"), helpers)
    is_called_by = helpers["is_called_by"]

"""
"""Source code of a function: whether it is called by one with such a name, or in a file with such a name.

It is in a file of its own, as a loop over the frames in the style itself would be another path from each place.
"""
