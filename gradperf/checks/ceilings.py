"""Measures the ceilings: the highest rates that this machine reaches, in the process that also times the cases.

Two ceilings are measured for each device and dtype, with the threads of the run: the operations per second of a
large matrix product, and the bytes per second of a copy. A step takes at least as long as its operations and bytes
(``problem.work``) take at these rates. That least time divided by the measured time is the ``peak_fraction``. This
is the roofline model of Williams, Waterman & Patterson (2009).
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradperf import frameworks

_PRODUCT_SIZES = {"cpu": (512, 1024), "cuda": (4096, 8192)}
"""Rows and columns of the matrices. The larger is faster on an idle machine, the smaller on a busy one."""

_COPIED_BYTES = {"cpu": [2**k for k in range(14, 27, 2)], "cuda": [2**k for k in range(20, 31, 2)]}
"""From the size of the smallest cache to more than the largest."""

_LONGEST_S = 0.06
"""Seconds for one ceiling. The best try counts, as a busy machine only slows down."""


@dataclass(frozen=True)
class Ceilings:
    """The highest rates of one device in one dtype."""

    flops_per_s: float
    """Of a large matrix product, counting 2·n³ operations."""
    copy_bytes_per_s: Mapping[int, float]
    """Bytes read and written per second, by the bytes that one copy reads and writes."""

    def least_s(self, flops: int, bytes_: int) -> float:
        """Return the least seconds for this many operations and bytes: the longer of the two.

        The bytes may be in a cache, so the rate is the best of any copy that moves at least as many bytes.
        """
        fitting = [rate for moved, rate in self.copy_bytes_per_s.items() if moved >= bytes_]
        rate = max(fitting, default=self.copy_bytes_per_s[max(self.copy_bytes_per_s)])
        return max(flops / self.flops_per_s, bytes_ / rate)


_known: dict[tuple[str, str], Ceilings] = {}
_measured: set[tuple[str, str, str]] = set()


def known() -> Mapping[tuple[str, str], Ceilings]:
    """Return what was measured in this process, by device and dtype."""
    return _known


def ceilings(framework: str, device: str, dtype: str, threads: int, *, again: bool = False) -> Ceilings:
    """Return the ceilings of a device and dtype: the best rates that any framework reached in this process.

    On the CPU numpy is measured first, then ``framework``, each once; ``again`` measures both once more.
    """
    for name in dict.fromkeys(("numpy", framework) if device == "cpu" else (framework,)):
        if again or (name, device, dtype) not in _measured:
            _measured.add((name, device, dtype))
            new = _measure(name, device, dtype, threads)
            old = _known.get((device, dtype), new)
            rates = {size: max(rate, old.copy_bytes_per_s[size]) for size, rate in new.copy_bytes_per_s.items()}
            _known[device, dtype] = Ceilings(max(new.flops_per_s, old.flops_per_s), rates)
    return _known[device, dtype]


def _measure(framework: str, device: str, dtype: str, threads: int) -> Ceilings:
    runtime = frameworks.load(framework, threads)
    fastest = 0.0
    for size in _PRODUCT_SIZES[device]:
        generator = np.random.default_rng(size)
        a, b = (generator.standard_normal((size, size)).astype(dtype) for _ in range(2))
        # Not by a style, as it may be the one to be checked.
        fastest = max(fastest, 2 * size**3 / _best_s(runtime.multiplier(a, b, device), 1))
    rates = {}
    for size_bytes in _COPIED_BYTES[device]:
        copy = runtime.copier(size_bytes, device)
        # Enough calls that the clock and the loop take a negligible part.
        calls = max(1, math.ceil(_LONGEST_S / 200 / _best_s(copy, 1, _LONGEST_S / 100)))
        rates[2 * size_bytes] = 2 * size_bytes / _best_s(copy, calls, _LONGEST_S / 5)
    return Ceilings(fastest, rates)


def _best_s(call: Callable[[], Any], calls: int, longest_s: float = _LONGEST_S) -> float:
    """Return the seconds of one call, the best of at least three tries."""
    call()
    tries: list[float] = []
    end_s = time.perf_counter() + longest_s
    while len(tries) < 3 or time.perf_counter() < end_s:
        start_s = time.perf_counter()
        for _ in range(calls):
            call()
        tries.append((time.perf_counter() - start_s) / calls)
    return min(tries)
