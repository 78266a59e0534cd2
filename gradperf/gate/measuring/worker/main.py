"""Runs one session of the worker: reads the first order, runs pytest, reports how it ended."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

import pytest

from ....pairs.child.channel import Channel
from ....stage import PROCESS
from . import distributions, modules
from .fixture import CodSpeed, Fixture, WithoutPytestBenchmark
from .options import Options, has_pytest_benchmark
from .session import Session


class Registrar:
    """Registers the session and its fixture after all other plugins: the last fixture of a name wins."""

    def __init__(self, session: Session) -> None:
        """Take the session."""
        self._session = session

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Register them."""
        turns = self._session.turns
        if has_pytest_benchmark(config):
            config.pluginmanager.register(Fixture(turns), "gradperf-gate-fixture")
        else:
            config.addinivalue_line("markers", "benchmark: options of a benchmark")
            config.pluginmanager.register(WithoutPytestBenchmark(turns), "gradperf-gate-fixture")
        config.pluginmanager.register(CodSpeed(turns), "gradperf-gate-codspeed")
        config.pluginmanager.register(self._session, "gradperf-gate")


def main() -> int:
    """Serve one session; return the exit code of the process."""
    orders, answers, *arguments = sys.argv[1:]
    sys.argv[1:] = arguments
    channel = Channel(int(orders), int(answers))
    order = channel.order()
    sys.path.insert(0, os.getcwd())  # as `python -m pytest` does
    os.environ[PROCESS] = str(os.getpid())
    os.environ.pop("CODSPEED_ENV", None)  # With it pytest-codspeed would measure, and shut pytest-benchmark out.
    os.environ.pop("PYTEST_XDIST_WORKER", None)  # With it pytest-benchmark would time nothing.
    options = Options()
    session = Session(channel, order, options.notes)
    code = int(pytest.main(arguments, plugins=[options, Registrar(session)]))
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # no stream, or a closed one
            stream.flush()  # The gate shows this output if it did not expect the end.
    foreign, names = order.get("foreign"), order.get("names")
    brought = distributions.modules_of(order.get("distributions", []))
    tops = [name for modules_ in brought.values() for name in modules_ if "." not in name]
    session.report(
        bye=code,
        strays=modules.strays(order["own"], foreign) if foreign else [],
        own_modules=modules.count_own(order["own"]) if foreign else None,
        loaded=modules.loaded() if names is not None else {},
        found=modules.found([*(names or []), *tops]),
        brought=brought,
    )
    return 0
