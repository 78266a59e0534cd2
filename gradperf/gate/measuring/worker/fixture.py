"""The ``benchmark`` fixture of the worker: that of pytest-benchmark, but it takes turns on command.

Where pytest-benchmark is not active, it is :class:`Standalone`; that of pytest-codspeed always is.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial, wraps
from inspect import iscoroutinefunction
from typing import Any

import pytest

from ....pairs.child.turns import Benchmark, Turns
from .options import has_codspeed
from .selection import is_timed_whole

LEAST_CALLS = 4
"""A pedantic benchmark that allows fewer calls than this is called once, and that call is its turn."""


class CodSpeed:
    """Holds what times in the place of pytest-codspeed, which measures a garbage collector that is off."""

    def __init__(self, turns: Turns) -> None:
        """Take the turns that benchmarks are passed to."""
        self._turns = turns

    @pytest.fixture
    def codspeed_benchmark(self, request: pytest.FixtureRequest) -> Any:
        """The fixture that is to be called with what is timed."""
        self._turns.disable_gc = True
        return Standalone(self._turns, request.node, codspeed=True)

    @pytest.hookimpl(wrapper=True, trylast=True)  # inside of plugins that have an event loop run the test
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
        """Time a whole test, if a marker says so."""
        own = pyfuncitem.obj
        # The call of a coroutine that nobody wrapped makes another object, and runs nothing.
        if not is_timed_whole(pyfuncitem) or iscoroutinefunction(own):
            return (yield)

        @wraps(own)
        def timed(**arguments: Any) -> Any:
            self._turns.disable_gc = True
            self._turns.take(Benchmark(own, (), arguments))
            return own(**arguments)

        pyfuncitem.obj = timed
        try:
            return (yield)
        finally:
            pyfuncitem.obj = own


class WithoutPytestBenchmark:
    """Holds the fixture where pytest-benchmark is not active."""

    def __init__(self, turns: Turns) -> None:
        """Take the turns that benchmarks are passed to."""
        self._turns = turns

    @pytest.fixture
    def benchmark(self, request: pytest.FixtureRequest) -> Any:
        """The fixture that is to be called with what is timed."""
        codspeed = has_codspeed(request.config)
        self._turns.disable_gc = codspeed or _disables_gc(request)
        return Standalone(self._turns, request.node, codspeed=codspeed)


class Fixture:
    """Holds the fixture that replaces pytest-benchmark's."""

    def __init__(self, turns: Turns) -> None:
        """Take the turns that benchmarks are passed to."""
        self._turns = turns

    @pytest.fixture
    def benchmark(self, benchmark: Any, request: pytest.FixtureRequest) -> Any:
        """pytest-benchmark's own fixture, which waits for the turns of the other side."""
        # pytest-benchmark insists on its own class. Only its two public ways of timing change.
        benchmark.__class__ = _taking_turns(type(benchmark))
        benchmark.gate_turns = self._turns
        self._turns.disable_gc = _disables_gc(request)
        return benchmark


def _disables_gc(request: pytest.FixtureRequest) -> bool:
    marker = request.node.get_closest_marker("benchmark")
    default = request.config.getoption("benchmark_disable_gc", False)
    return bool(marker.kwargs.get("disable_gc", default) if marker else default)


class Standalone:
    """Takes turns, then calls once more for the result."""

    def __init__(self, turns: Turns, node: pytest.Item, *, codspeed: bool) -> None:
        """Time a test. ``codspeed``: give its setup the arguments, as pytest-codspeed does."""
        self.name, self.fullname = node.name, node.nodeid
        self.group: str | None = None
        self.extra_info: dict[str, Any] = {}
        self.enabled, self.disabled = True, False
        self._turns, self._codspeed = turns, codspeed
        self._was_used = False

    def __call__(self, function_to_benchmark: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Time a function; return what it returns."""
        self._use()
        self._turns.take(Benchmark(function_to_benchmark, args, kwargs))
        return function_to_benchmark(*args, **kwargs)

    def pedantic(
        self,
        target: Callable[..., Any],
        args: Any = (),
        kwargs: Any = None,
        setup: Callable[..., Any] | None = None,
        teardown: Callable[..., Any] | None = None,
        rounds: int = 1,
        warmup_rounds: int = 0,
        iterations: int = 1,
    ) -> Any:
        """Time a function that may be called so often; return what it returns."""
        self._use()
        kwargs = kwargs or {}
        if setup and self._codspeed:
            setup = partial(setup, *args, **kwargs)
        benchmark = Benchmark(target, args, kwargs, setup, teardown)
        target = _take(self._turns, benchmark, (rounds + warmup_rounds) * iterations)
        args, kwargs = (setup() if setup else None) or (args, kwargs)
        result = target(*args, **kwargs)
        if teardown:
            teardown(*args, **kwargs)
        return result

    def _use(self) -> None:
        if self._was_used:
            raise RuntimeError("Fixture can only be used once")
        self._was_used = True


def _take(turns: Turns, benchmark: Benchmark, calls: int) -> Callable[..., Any]:
    """Take turns, all but one of ``calls``; return what is to be called for the last."""
    if calls < LEAST_CALLS:
        return turns.taking_once(benchmark.function)
    benchmark.most_calls = calls - 1
    turns.take(benchmark)
    return benchmark.function


def _taking_turns(own: Any) -> Any:
    class TakingTurns(own):  # type: ignore[misc]  # a class that is known only when it runs
        """Takes turns first, then lets pytest-benchmark time one call, so that a test finds all its facts."""

        def __call__(self, function_to_benchmark: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            self.gate_turns.take(Benchmark(function_to_benchmark, args, kwargs))
            result = super().pedantic(function_to_benchmark, args=args, kwargs=kwargs)
            self._gate_fill_stats()
            return result

        def pedantic(
            self,
            target: Callable[..., Any],
            args: Any = (),
            kwargs: Any = None,
            setup: Callable[..., Any] | None = None,
            teardown: Callable[..., Any] | None = None,
            rounds: int = 1,
            warmup_rounds: int = 0,
            iterations: int = 1,
        ) -> Any:
            benchmark = Benchmark(target, args, kwargs, setup, teardown)
            target = _take(self.gate_turns, benchmark, (rounds + warmup_rounds) * iterations)
            # Older versions of pytest-benchmark have no teardown.
            more = {} if teardown is None else {"teardown": teardown}
            result = super().pedantic(target, args=args, kwargs=kwargs, setup=setup, **more)
            self._gate_fill_stats()
            return result

        def _gate_fill_stats(self) -> None:
            """Have the statistics be of the turns, not of one call that was cold, or waited for its turn."""
            if self.gate_turns.times_s and self.stats is not None:
                self.stats.stats.data.clear()
                for time_s in self.gate_turns.times_s:
                    self.stats.update(time_s)

    return TakingTurns
