"""The speed of light: what a machine does at best, measured in the same process as the times beside it.

A time alone does not say whether it is good. Here two ceilings are measured for each device and dtype, under the
threads of the run: the operations per second of a large matrix product, and the bytes per second of a copy. No step
can be over before its operations and its bytes (``problem.work``) have gone through; that least time, as a share of
the time measured, is its ``peak_fraction``. This is the roofline of Williams, Waterman & Patterson (2009).

A ceiling is the machine's, not a framework's: the best that any of those in the process was seen to reach.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradperf import frameworks

_PRODUCT_SIZES = {"cpu": (512, 1024), "cuda": (4096, 8192)}
"""Rows and columns of the matrices. The larger is faster on an idle machine, the smaller escapes a busy one."""

_COPIED_BYTES = {"cpu": [2**k for k in range(14, 27, 2)], "cuda": [2**k for k in range(20, 31, 2)]}
"""From what fits the nearest cache to what fits none."""

_LONGEST_S = 0.15
"""Seconds for one ceiling: the best of all tries in that time counts, not what a busy machine left over."""


@dataclass(frozen=True)
class Ceilings:
    """What one device does at best in one dtype."""

    flops_per_s: float
    """Of a large matrix product, counting 2·n³ operations."""
    copy_bytes_per_s: Mapping[int, float]
    """Bytes read and written per second, by the bytes that one copy reads and writes."""

    def least_s(self, flops: int, bytes_: int) -> float:
        """Seconds for so many operations and bytes at best: the longer of the two.

        The bytes may lie in a cache as large as they are, so what counts is the best rate of any copy that moves
        as much, or more.
        """
        fitting = [rate for moved, rate in self.copy_bytes_per_s.items() if moved >= bytes_]
        rate = max(fitting, default=self.copy_bytes_per_s[max(self.copy_bytes_per_s)])
        return max(flops / self.flops_per_s, bytes_ / rate)


_known: dict[tuple[str, str], Ceilings] = {}
_asked: set[tuple[str, str, str]] = set()


def known() -> Mapping[tuple[str, str], Ceilings]:
    """What was measured in this process, by device and dtype."""
    return _known


def ceilings(framework: str, device: str, dtype: str, threads: int, *, again: bool = False) -> Ceilings:
    """Give the ceilings of a device and dtype: the best that any framework was ever seen to reach in this process.

    On the CPU numpy is asked first, then ``framework``, each once; ``again`` asks both once more.
    """
    for name in dict.fromkeys(("numpy", framework) if device == "cpu" else (framework,)):
        if again or (name, device, dtype) not in _asked:
            _asked.add((name, device, dtype))
            found = _measure(name, device, dtype, threads)
            _known[device, dtype] = _best(_known.get((device, dtype), found), found)
    return _known[device, dtype]


def _best(one: Ceilings, other: Ceilings) -> Ceilings:
    rates = {moved: max(rate, other.copy_bytes_per_s[moved]) for moved, rate in one.copy_bytes_per_s.items()}
    return Ceilings(max(one.flops_per_s, other.flops_per_s), rates)


def _measure(framework: str, device: str, dtype: str, threads: int) -> Ceilings:
    runtime = frameworks.load(framework, threads)
    fastest = 0.0
    for size in _PRODUCT_SIZES[device]:
        generator = np.random.default_rng(size)
        a, b = (generator.standard_normal((size, size)).astype(dtype) for _ in range(2))
        # Not by a style: that could be the very one that is to be judged.
        fastest = max(fastest, 2 * size**3 / _best_s(runtime.multiplier(a, b, device), 1))
    rates = {}
    for size_bytes in _COPIED_BYTES[device]:
        copy = runtime.copier(size_bytes, device)
        # So often that the clock and the loop are nothing beside it.
        calls = max(1, math.ceil(_LONGEST_S / 200 / _best_s(copy, 1, _LONGEST_S / 100)))
        rates[2 * size_bytes] = 2 * size_bytes / _best_s(copy, calls, _LONGEST_S / 5)
    return Ceilings(fastest, rates)


def _best_s(call: Callable[[], Any], calls: int, longest_s: float = _LONGEST_S) -> float:
    """Seconds of one call, the best of at least three tries."""
    call()
    seen: list[float] = []
    end_s = time.perf_counter() + longest_s
    while len(seen) < 3 or time.perf_counter() < end_s:
        start_s = time.perf_counter()
        for _ in range(calls):
            call()
        seen.append((time.perf_counter() - start_s) / calls)
    return min(seen)
