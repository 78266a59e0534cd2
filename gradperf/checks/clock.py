"""The clock that times are read from: it must count seconds, never go back, and count those spent waiting.

pytest-benchmark takes any function for its ``--benchmark-timer``; one in other units, or one that stops while a
device or another thread works, gives numbers that look like times.
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
    """Raise UserError unless the function called ``dotted`` is a clock to measure with; takes 50 ms.

    Between two pairs of readings the clock must have moved by as much as ``time.perf_counter`` did, asleep and at
    work. Its readings are taken between two of that, so nothing depends on how busy the machine is.
    """
    module, _, name = dotted.rpartition(".")
    try:
        clock: Clock = getattr(import_module("time" if module == "pep418" else module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"{option}={dotted}: {error}") from None
    if module == "time" and name == "time":
        raise UserError(f"{option}={dotted}: this clock can be set back while it is read; time.perf_counter cannot")
    last = -math.inf
    for _ in range(_READS):
        now = clock()
        if not now >= last:
            raise UserError(f"{option}={dotted}: this clock goes back: {now!r} after {last!r}")
        last = now
    acts: dict[str, Callable[[float], None]] = {"asleep": time.sleep, "at work": _work}
    for doing, act in acts.items():
        before, start, after = time.perf_counter(), clock(), time.perf_counter()
        act(_LONG_S)
        before_end, end, after_end = time.perf_counter(), clock(), time.perf_counter()
        least_s, most_s = before_end - after, after_end - before
        if not least_s * 0.98 <= end - start <= most_s * 1.02:
            raise UserError(
                f"{option}={dotted}: this is no clock of seconds: it moved by {end - start:.6g} "
                f"during {least_s:.6g} s {doing}. time.perf_counter is one"
            )


def _work(seconds: float) -> None:
    end_s = time.perf_counter() + seconds
    while time.perf_counter() < end_s:
        pass
