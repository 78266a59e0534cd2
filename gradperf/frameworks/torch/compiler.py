"""torch's compiler, which takes a second to load: nothing here loads it."""

import sys
from contextlib import AbstractContextManager, nullcontext

import torch

_MODULE = "torch._dynamo"


def is_loaded() -> bool:
    """Return whether something was compiled by torch in this process, or may have been."""
    return _MODULE in sys.modules


def stance(name: str) -> AbstractContextManager[None]:
    """Return torch's stance ``name`` toward compiled code. Where the compiler is not loaded, there is none."""
    return torch.compiler.set_stance(name) if is_loaded() else nullcontext()
