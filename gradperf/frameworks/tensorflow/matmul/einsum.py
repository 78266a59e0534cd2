"""``tf.einsum``, the product spelled in indices."""

from typing import Any

import tensorflow as tf

from gradperf.frameworks.contract import Arrays, Run
from gradperf.frameworks.tensorflow import single
from gradperf.problems.matmul import Matmul

CALLS = ("einsum",)


def product(a: Any, b: Any) -> Any:
    """(m, k) and (k, n) → (m, n)."""
    return tf.einsum("ik,kj->ij", a, b)


def prepare(problem: Matmul, inputs: Arrays, device: str, dtype: str) -> Run:
    return single.prepare("product", product, device, inputs["a"], [inputs["b"]])
