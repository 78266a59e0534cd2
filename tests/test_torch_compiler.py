"""torch's compiler is loaded only where something is compiled: that takes a second in each process."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT

NOT_LOADED = """
from gradperf.machine import threads
threads.bind(1)
import numpy as np
import torch
from gradperf.frameworks.torch import compiler, counting, runtime

ones = torch.ones(2, 2)
with runtime.compilations() as seen:
    assert counting.operations(lambda: ones @ ones, np.float32).products == 16
assert seen == []
assert not compiler.is_loaded()
"""
LOADED = """
compile_ = torch.compile
with runtime.compilations() as seen:
    compile_(lambda x: x + 1)
assert compiler.is_loaded()
assert seen == ["torch's compiler was loaded"]
"""


def test_what_loads_it():
    """Counting does not; compiling does, and is seen, also by another name of ``torch.compile``."""
    pytest.importorskip("torch")
    done = subprocess.run(
        [sys.executable, "-c", NOT_LOADED + LOADED],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
