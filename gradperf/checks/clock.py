"""Checks the clock of a run: it must count seconds, never go back, and count the seconds spent waiting.

pytest-benchmark accepts any function as its ``--benchmark-timer``.
"""

import math
import time
from collections.abc import Callable
from importlib import import_module

from gradperf.errors import UserError

Clock = Callable[[], float]

_READS = 20_000
_LONG_S = 0.02


def check(option: str, dotted: str) -> None:
    """Raise UserError unless the function with the dotted name ``dotted`` is a clock to measure with; takes 50 ms.

    It must advance as much as ``time.perf_counter``, while asleep and at work. Each of its readings lies between
    two readings of ``time.perf_counter``, so the check holds on a busy machine too.
    """
    module, _, name = dotted.rpartition(".")
    try:
        clock: Clock = getattr(import_module("time" if module == "pep418" else module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"{option}={dotted}: {error}") from None
    if module == "time" and name == "time":
        raise UserError(
            f"{option}={dotted}: this clock can be set back during a measurement; use time.perf_counter"
        )
    last = -math.inf
    for _ in range(_READS):
        now = clock()
        if not now >= last:
            raise UserError(f"{option}={dotted}: this clock goes back: {now!r} after {last!r}")
        last = now
    for doing, act in (("asleep", time.sleep), ("at work", _work)):
        before, start, after = time.perf_counter(), clock(), time.perf_counter()
        act(_LONG_S)
        before_end, end, after_end = time.perf_counter(), clock(), time.perf_counter()
        least_s, most_s = before_end - after, after_end - before
        if not least_s * 0.98 <= end - start <= most_s * 1.02:
            raise UserError(
                f"{option}={dotted}: this clock does not count seconds: it moved by {end - start:.6g} "
                f"during {least_s:.6g} s {doing}. Use time.perf_counter"
            )


def _work(seconds: float) -> None:
    end_s = time.perf_counter() + seconds
    while time.perf_counter() < end_s:
        pass
