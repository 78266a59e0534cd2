"""A benchmark in a child process: it is warmed up, then called in turns, as the parent orders.

A warm benchmark answers ``{"ready": case, "call_s", "round_s", "calls_left", "returned", "cpus"}``: seconds of a
call, seconds with setup and teardown, how many calls it still allows (null: any number), the fingerprint of its
result, and the CPUs on which it may be kept (none if it computes in parallel). Then it obeys these orders:

``{"cpu": number}``
    Keep all threads on that CPU; null releases them.
``{"turn": calls, "units": …, "units_per_s": …}``
    Answer ``{"turn": seconds, "returned", "disturbed"}`` of that many calls together. ``units`` of planted work, or
    ``units_per_s`` for each second of the turn, are added. ``disturbed``: the system took the CPU away meanwhile.
``{"unit": true}``
    Answer ``{"unit": seconds}`` of one unit of planted work.
``{"leave": true}``
    Leave the benchmark.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import repeat
from typing import Any, Literal

from . import cpu
from .channel import Channel
from .cpu import Affinity
from .fingerprint import fingerprint
from .originals import Original
from .planted_work import unit_s, work

WARM_S = 0.02
WARM_CALLS = 3
"""A benchmark is warm after this many seconds, and this many calls."""

LONG_S = 15
"""A first call that takes longer than this many seconds is the only one of the warm-up."""

WARM_SHARE = 4
"""If the number of calls is limited, the warm-up takes at most one in this many."""

SLICE_S = 0.002
"""The CPU use of the warm-up is read in slices of this many seconds, at least one call each."""

MOST_TIMES = 100
"""So many times of the warm-up are kept: the statistics of thousands take pytest-benchmark long."""

ERROR_LENGTH = 500
"""Characters of an exception that are kept."""

State = Literal["unused", "called", "ready", "left"]
"""How far a case got with its benchmark: called for the first time, ready for turns, or done with all of them."""


class Benchmark:
    """What is timed. It may be called ``most_calls`` times; None: any number of times."""

    def __init__(
        self,
        function: Callable[..., Any],
        args: Any = (),
        kwargs: Any = None,
        setup: Callable[..., Any] | None = None,
        teardown: Callable[..., Any] | None = None,
        most_calls: int | None = None,
    ) -> None:
        self.function, self.args, self.kwargs = function, args, kwargs or {}
        self.setup, self.teardown = setup, teardown
        self.most_calls = most_calls
        self.result: Any = None

    def time_calls(self, calls: int) -> float:
        """Return the seconds of ``calls`` calls together, without setup and teardown."""
        if calls == 1 or self.setup or self.teardown:
            return sum(self._time_one_call() for _ in range(calls))
        function, args, kwargs = self.function, self.args, self.kwargs
        times, clock_s = repeat(None, calls), Original.perf_counter
        start_s = clock_s()
        for _ in times:
            function(*args, **kwargs)
        return clock_s() - start_s

    def _time_one_call(self) -> float:
        """Return the seconds of one call, between its setup and its teardown; keep the result."""
        function = self.function
        args, kwargs = (self.setup() if self.setup else None) or (self.args, self.kwargs)
        clock_s = Original.perf_counter
        start_s = clock_s()
        self.result = function(*args, **kwargs)
        seconds = clock_s() - start_s
        if self.teardown:
            self.teardown(*args, **kwargs)
        return seconds


class Turns:
    """Warms a benchmark up, and obeys the orders that come while a case waits at it."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.begin("")
        self.disable_gc = False
        self.several_threads = False
        """Whether several threads were asked for."""

    def begin(self, case: str) -> None:
        """Begin a case."""
        self.case = case
        self.state: State = "unused"
        self.error = ""
        """What its benchmark raised."""
        self.times_s: list[float] = []
        """Seconds of a call: in the warm-up after its first, and on average in each turn."""

    def take(self, benchmark: Benchmark) -> None:
        """Warm up, report how long a call takes, and take turns until the order to leave."""
        if self.state != "unused":
            return  # The fixture is used a second time: pytest-benchmark raises.
        self.state = "called"
        with self._keeping_error():
            self._warm_up(benchmark)
            self._obey(benchmark)

    def _warm_up(self, benchmark: Benchmark) -> None:
        """Call it until it is warm, and report that it is ready."""
        with self._undisturbed():
            calls, spent_s = 0, 0.0
            call_s = round_s = float("inf")
            returned = None
            slices, before = [], cpu.usage()
            while not is_warm(calls, spent_s, benchmark.most_calls):
                start_s = Original.perf_counter()
                time_s = benchmark.time_calls(1)
                took_s = Original.perf_counter() - start_s
                call_s = min(call_s, time_s)
                if 0 < calls <= MOST_TIMES:
                    self.times_s.append(time_s)
                calls, spent_s, round_s = calls + 1, spent_s + took_s, min(round_s, took_s)
                if calls == 1:
                    returned = fingerprint(benchmark.result)
                if calls == 1 or Original.perf_counter() - before.passed_s >= SLICE_S:
                    after = cpu.usage()
                    slices.append(cpu.difference(after, before))
                    before = after
            # The first call may have compiled in many threads.
            may_be_kept = cpu.takes_one_cpu(slices[1:] or slices, several_threads=self.several_threads)
        benchmark.result = None
        self._report_ready(
            call_s=call_s,
            round_s=round_s if benchmark.setup or benchmark.teardown else call_s,
            calls_left=None if benchmark.most_calls is None else benchmark.most_calls - calls,
            returned=returned,
            cpus=cpu.usable_cpus() if may_be_kept else [],
        )

    def taking_once(self, target: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``target`` wrapped so that its only call is a turn."""

        def once(*args: Any, **kwargs: Any) -> Any:
            benchmark = Benchmark(target, args, kwargs)
            if self.state != "unused":
                benchmark.time_calls(1)
                return benchmark.result
            with self._keeping_error():
                self._report_ready(call_s=None, round_s=None, calls_left=1, returned=None, cpus=[])
                called = self._obey(benchmark, once=True)
            if not called:
                benchmark.time_calls(1)  # The other side cannot take its turn. The test still needs its result.
            return benchmark.result

        return once

    @contextmanager
    def _keeping_error(self) -> Iterator[None]:
        """Keep what the benchmark raises: the test may catch it."""
        try:
            yield
        except BaseException as error:
            self.error = f"{type(error).__name__}: {error}"[:ERROR_LENGTH]
            raise

    def _report_ready(self, **facts: Any) -> None:
        self.state = "ready"
        self._channel.answer(ready=self.case, **facts)

    def _obey(self, benchmark: Benchmark, *, once: bool = False) -> int:
        """Obey until the order to leave; return the number of calls."""
        affinity, called = Affinity(), 0
        try:
            while True:
                order = self._channel.order()
                if "turn" in order:
                    self._take_turn(benchmark, order, once)
                    called += order["turn"]
                elif "cpu" in order:
                    if order["cpu"] is None:
                        affinity.release()
                    else:
                        affinity.keep(order["cpu"])
                    self._channel.answer(cpu=order["cpu"])
                elif "unit" in order:
                    self._channel.answer(unit=unit_s())
                else:
                    self.state = "left"
                    return called
        finally:
            affinity.release()

    def _take_turn(self, benchmark: Benchmark, order: dict[str, Any], once: bool) -> None:
        preemptions = cpu.preemptions()
        with self._undisturbed():
            seconds = benchmark.time_calls(order["turn"])
            self.times_s.append(seconds / order["turn"])
            units = order.get("units", 0) + round(order.get("units_per_s", 0) * seconds)
            if units:
                start_s = Original.perf_counter()
                work(units)
                seconds += Original.perf_counter() - start_s
        returned = fingerprint(benchmark.result) if once else None
        self._channel.answer(turn=seconds, returned=returned, disturbed=cpu.preemptions() > preemptions)

    @contextmanager
    def _undisturbed(self) -> Iterator[None]:
        """Switch off the tracer and the profiler, as pytest-benchmark does, and the garbage collector if asked."""
        tracer, profiler, collects = Original.gettrace(), Original.getprofile(), Original.gc_isenabled()
        Original.settrace(None)
        Original.setprofile(None)
        if self.disable_gc:
            Original.gc_disable()
        try:
            yield
        finally:
            Original.settrace(tracer)
            Original.setprofile(profiler)
            if collects:
                Original.gc_enable()


def is_warm(calls: int, spent_s: float, most_calls: int | None) -> bool:
    """Return whether this many calls, which took this long with setup and teardown, are enough of a warm-up."""
    if not calls:
        return False
    if most_calls is not None and calls * WARM_SHARE >= most_calls:
        return True
    if calls < WARM_CALLS:
        # The first call may have compiled for seconds. If it takes longer, the call itself is slow.
        return spent_s > LONG_S
    return spent_s >= WARM_S
