"""A small computation of known work. Its time at a moment tells whether this machine was slow at that moment.

The product of two matrices of 64×64 in numpy: of four candidates it varied least, 1.4 to 2 % from moment to moment
and process to process. A loop in Python varied by 10 %, as each process has a speed of its own for it.
"""

import time
from functools import cache

import numpy as np

_SIZE = 64
_PRODUCTS = 4
"""In one round of about 40 µs."""

_ROUNDS_S = 0.003


@cache
def _arrays() -> tuple[np.ndarray, np.ndarray]:
    a = np.random.default_rng(0).standard_normal((_SIZE, _SIZE))
    return a, np.empty_like(a)


def reference_s() -> float:
    """Return the seconds of one product, by the fastest of many rounds; this takes about 3 ms."""
    a, product = _arrays()
    fastest_s, end_s = float("inf"), time.perf_counter() + _ROUNDS_S
    while True:
        start_s = time.perf_counter()
        for _ in range(_PRODUCTS):
            np.matmul(a, a, product)
        now_s = time.perf_counter()
        fastest_s = min(fastest_s, now_s - start_s)
        if now_s >= end_s:
            return fastest_s / _PRODUCTS
