"""Row by matrix: a row broadcast against the whole second matrix, then summed; the loop over rows is in Python."""

from typing import Any

import tensorflow as tf

from gradperf.frameworks.contract import Arrays, Run
from gradperf.frameworks.tensorflow import single
from gradperf.problems.matmul import Matmul

UNCOUNTED = "it multiplies entries, and makes no matrix product"
PRODUCTS = "none"


def repeats(problem: Matmul) -> int:
    return problem.m


def product(a: Any, b: Any) -> Any:
    """(m, k) and (k, n) → (m, n)."""
    columns = tf.unstack(a[:, :, None])
    return tf.stack([tf.reduce_sum(column * b, axis=0) for column in columns])


def prepare(problem: Matmul, inputs: Arrays, device: str, dtype: str) -> Run:
    return single.prepare("product", product, device, inputs["a"], [inputs["b"]])
