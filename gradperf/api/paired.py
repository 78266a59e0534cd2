"""Times two functions in turns in this process: ``gradperf.pair``."""

import gc
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from statistics import median
from typing import Any, Literal

from gradperf.api.notebook import Table
from gradperf.pairs.child.cpu import preemptions
from gradperf.stats import interval, location
from gradperf.text import quantities

TURN_S = 2e-3
"""Seconds of a turn, or one call."""

PAIRS, LEAST_PAIRS = 48, 6
"""Pairs of turns, and fewest of them for functions that take long. With fewer no interval holds 95 %."""

SECONDS = 2.0
"""Each function takes about as long in all its turns, if the fewest pairs do not take longer."""

_TRIED_S = 0.02

clock = time.perf_counter


@dataclass(frozen=True, repr=False)
class Paired(Table):
    """How the time of a second function compares with that of a first."""

    first: str
    second: str
    first_s: float
    """Seconds of a call: the median of the turns."""
    ratio: float
    """Time of the second as a multiple of the first's."""
    interval: tuple[float, float]
    """It holds the ratio in this process with 95 % confidence."""
    pairs: int
    disturbed: int
    """Pairs in which the system took the CPU away. They are left out, unless nearly all were disturbed."""

    @property
    def second_s(self) -> float:
        """Seconds of a call of the second: by the ratio, so that what is shown agrees."""
        return self.first_s * self.ratio

    @property
    def verdict(self) -> Literal["slower", "faster", "nothing seen"]:
        """Whether the second function is slower or faster than the first."""
        low, high = self.interval
        return "slower" if low > 1 else "faster" if high < 1 else "nothing seen"

    @property
    def title(self) -> str:
        """The ratio in words."""
        low, high = (f"{bound:.3g}" for bound in self.interval)
        words = {"slower": "slower than", "faster": "faster than", "nothing seen": "not seen to differ from"}
        return (
            f"{self.second} is {words[self.verdict]} {self.first}: {self.ratio:.3g} of its time ({low} to {high}), "
            f"{self.pairs} pairs of turns in one process"
        )

    def records(self) -> list[dict[str, Any]]:
        """Return a row for each function."""
        low, high = self.interval
        return [
            {
                "function": self.first,
                "call": quantities.duration(self.first_s),
                "ratio": 1.0,
                "low": None,
                "high": None,
            },
            {
                "function": self.second,
                "call": quantities.duration(self.second_s),
                "ratio": self.ratio,
                "low": low,
                "high": high,
            },
        ]


def pair(first: Callable[[], Any], second: Callable[[], Any], *, seed: int = 0) -> Paired:
    """Time two functions without arguments in turns of about 2 ms, in an order that ``seed`` draws.

    What slows the machine for longer than a turn slows both. Each is called before, so what only a first call does
    is not timed. A function has to wait until its result is ready. The interval is exact for the turns in this
    process; another process may lay out its memory otherwise, for which ``gradperf pair`` takes fresh ones.
    """
    functions = (first, second)
    calls_s = [_call_s(function) for function in functions]
    calls = [max(1, round(TURN_S / call_s)) for call_s in calls_s]
    longest_s = max(count * call_s for count, call_s in zip(calls, calls_s, strict=True))
    pairs = max(LEAST_PAIRS, min(PAIRS, int(SECONDS / longest_s)))
    coin, kept, disturbed = Random(seed), list[tuple[float, ...]](), list[tuple[float, ...]]()  # noqa: S311 - an order
    enabled = gc.isenabled()
    gc.disable()  # garbage of the caller must not be collected in one of the turns
    try:
        for _ in range(pairs):
            taken_away, times_s = preemptions(), [0.0, 0.0]
            for place in coin.sample((0, 1), 2):
                times_s[place] = _turn_s(functions[place], calls[place])
            (kept if preemptions() == taken_away else disturbed).append(tuple(times_s))
    finally:
        if enabled:
            gc.enable()
    used = kept if len(kept) >= LEAST_PAIRS else kept + disturbed
    values = [math.log(second_s / first_s) for first_s, second_s in used]
    low, high = interval(values)
    return Paired(
        *_names(functions),
        median(first_s for first_s, _ in used),
        math.exp(location(values)),
        (math.exp(low), math.exp(high)),
        len(used),
        len(disturbed),
    )


def _names(functions: tuple[Callable[[], Any], ...]) -> tuple[str, str]:
    """Return the names of both functions; "first" and "second" if they have the same one, or none."""
    names = [getattr(function, "__name__", "") for function in functions]
    if names[0] == names[1] or not all(names):
        return "first", "second"
    return names[0], names[1]


def _call_s(function: Callable[[], Any]) -> float:
    """Return the seconds of the fastest of a few calls, without the first."""
    function()
    fastest_s, start_s, tried = math.inf, clock(), 0
    while tried < 1 or (clock() - start_s < _TRIED_S and tried < 1000):
        fastest_s, tried = min(fastest_s, _turn_s(function, 1)), tried + 1
    return fastest_s


def _turn_s(function: Callable[[], Any], calls: int) -> float:
    """Return the seconds of a call, at least what a clock can show."""
    start_s = clock()
    for _ in range(calls):
        function()
    return max((clock() - start_s) / calls, 1e-9)
