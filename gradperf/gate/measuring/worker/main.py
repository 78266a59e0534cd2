"""Runs one session of the worker: reads the first order, runs pytest, reports how it ended."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Generator
from contextlib import suppress
from typing import Any

import pytest

from ....pairs.child.channel import Channel
from ....stage import PROCESS
from . import LATE, distributions, modules
from .fixture import CodSpeed, Fixture, WithoutPytestBenchmark
from .options import Options, has_pytest_benchmark
from .session import Session
from .watch import Watch


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
    _search(os.getcwd(), os.environ.pop(LATE, ""))
    os.environ[PROCESS] = str(os.getpid())
    os.environ.pop("CODSPEED_ENV", None)  # With it pytest-codspeed would measure, and shut pytest-benchmark out.
    os.environ.pop("PYTEST_XDIST_WORKER", None)  # With it pytest-benchmark would time nothing.
    options = Options()
    session = Session(channel, order, options.notes)
    end = End(session, order)
    code = int(pytest.main(arguments, plugins=[options, end, Registrar(session)]))
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # no stream, or a closed one
            stream.flush()  # The gate shows this output if it did not expect the end.
    end.report(code)
    channel.answer(finished=code)
    return 0


def _search(folder: str, late: str) -> None:
    """Search ``folder`` first, as ``python -m pytest`` does, and those in ``late`` after the standard library."""
    last = [folder for folder in late.split(os.pathsep) if folder]
    library = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib")]
    library += [os.path.join(place, "lib-dynload") for place in library]
    places = [number for number, entry in enumerate(sys.path, 1) if entry in library]
    after = max(places, default=0)
    sys.path[after:after] = last
    if folder not in last:
        sys.path.insert(0, folder)


class End:
    """A plugin that reports for the session as soon as the last case has ended.

    Some suites end the process in a hook at the end of the session. That is no failure of a case.
    """

    def __init__(self, session: Session, order: dict[str, Any]) -> None:
        """Take the session, and the order that says what is asked."""
        self._session, self._order = session, order
        # Only the first process of a side is asked for names.
        is_first = order.get("foreign") and order.get("names") is not None
        self._watch = Watch(order["own"], order["foreign"]) if is_first else None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self) -> Generator[None, Any, Any]:
        """Report after the tests."""
        result = yield
        self.report(0)
        return result

    def report(self, code: int) -> None:
        """Report where modules came from. ``code``: the exit code of pytest, as far as it is known."""
        foreign, names = self._order.get("foreign"), self._order.get("names")
        brought = distributions.modules_of(self._order.get("distributions", []))
        tops = [name for modules_ in brought.values() for name in modules_ if "." not in name]
        own = self._order.get("own", "")
        self._session.report(
            bye=code,
            strays=modules.strays(own, foreign) if foreign else [],
            own_modules=modules.count_own(own) if foreign else None,
            loaded=modules.loaded() if names is not None else {},
            found=modules.found([*(names or []), *tops]),
            brought=brought,
            opened=sorted(self._watch.opened) if self._watch else [],
            apart=sorted(self._watch.apart) if self._watch else [],
        )
