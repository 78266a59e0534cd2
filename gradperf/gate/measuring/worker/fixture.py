"""The ``benchmark`` fixture of the worker: that of pytest-benchmark, but it takes turns on command."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ....pairs.child.turns import Benchmark, Turns

LEAST_CALLS = 4
"""A pedantic benchmark that allows fewer calls than this is called once, and that call is its turn."""


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


def _taking_turns(own: Any) -> Any:
    class TakingTurns(own):  # type: ignore[misc]  # a class that is known only when it runs
        """Takes turns first, then lets pytest-benchmark time one call, so that a test finds all its facts."""

        def __call__(self, function_to_benchmark: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            self.gate_turns.take(Benchmark(function_to_benchmark, args, kwargs))
            return super().pedantic(function_to_benchmark, args=args, kwargs=kwargs)

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
            calls = (rounds + warmup_rounds) * iterations
            if calls < LEAST_CALLS:
                target = self.gate_turns.taking_once(target)
            else:
                self.gate_turns.take(Benchmark(target, args, kwargs, setup, teardown, calls - 1))
            # Older versions of pytest-benchmark have no teardown.
            more = {} if teardown is None else {"teardown": teardown}
            return super().pedantic(target, args=args, kwargs=kwargs, setup=setup, **more)

    return TakingTurns
