"""A pytest plugin that lists the benchmarks, or runs them as the gate orders."""

from __future__ import annotations

import faulthandler
import re
from collections.abc import Generator, Iterable, Iterator
from typing import Any

import pytest

from ....pairs.child.channel import Channel
from ....pairs.child.turns import Turns
from .selection import may_time

REASON_LENGTH = 2000
"""Characters of a reason, from its end."""


class Session:
    """A plugin that collects the benchmarks, runs the wanted ones, and reports how each ended."""

    def __init__(self, channel: Channel, order: dict[str, Any], notes: list[str]) -> None:
        """Take the channel, the first order, and the list of what the report has to say."""
        self._channel, self._order, self._notes = channel, order, notes
        self.turns = Turns(channel)
        self._begun: set[str] = set()
        self._errors: list[str] = []
        self._outcome: dict[str, str] = {}
        self._has_reported = False

    @pytest.hookimpl(trylast=True)  # after plugins that shuffle
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Keep the wanted benchmarks, in the order that both sides share."""
        kept = list(_once(item for item in items if may_time(item)))
        if self._order["do"] == "time":
            place = {case: number for number, case in enumerate(self._order["cases"])}
            kept = sorted((item for item in kept if item.nodeid in place), key=lambda item: place[item.nodeid])
            if _is_registered("timeout", config):
                for item in kept:  # A test also waits for the other side. The parent limits every wait.
                    item.add_marker(pytest.mark.timeout(0), append=False)
            if hasattr(config.option, "reruns"):
                for item in kept:
                    item.add_marker(pytest.mark.flaky(reruns=0), append=False)
        if dropped := set(items) - set(kept):
            config.hook.pytest_deselected(items=list(dropped))
        items[:] = kept

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keep the errors of the collection."""
        if report.failed:
            self._errors.append(f"{report.nodeid}: {_cause(str(report.longrepr))}")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Report what was collected. If the order was to list it, run nothing."""
        if self._order["do"] != "list":
            self._channel.answer(collected=[item.nodeid for item in session.items], errors=self._errors)
            return None
        collected = [
            {
                "id": item.nodeid,
                "group": _group(item),
                "skipped": _skip_reason(item),
                "control": any(marker.kwargs.get("control") for marker in item.iter_markers("gate")),
            }
            for item in session.items
        ]
        self.report(collected=collected)
        self._channel.answer(notes=self._notes)
        return True

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Report how the case ended, whatever happened in it. If a suite runs it again, it takes no turns."""
        if item.nodeid in self._begun:
            self.turns.state = "left"
            return (yield)
        self._begun.add(item.nodeid)
        self.turns.begin(item.nodeid)
        self._outcome = {"outcome": "passed", "reason": ""}
        stop = ""
        try:
            return (yield)
        except BaseException as error:  # pytest.exit, or Ctrl-C: the session ends
            stop = f"{type(error).__name__}: {error}"
            raise
        finally:
            stop = stop or str(item.session.shouldstop or item.session.shouldfail or "")
            if self._outcome["outcome"] == "passed":
                self._outcome = _outcome(self.turns, stop)
            self._channel.answer(ended=item.nodeid, last=bool(stop), **self._outcome)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        """Stop the clock of ``faulthandler_timeout``, which may end the process while a test waits."""
        faulthandler.cancel_dump_traceback_later()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the first outcome that is not a success."""
        if report.outcome == "passed" or self._outcome["outcome"] != "passed":
            return
        reason: Any = report.longrepr
        if report.outcome == "skipped" and isinstance(reason, tuple):
            reason = reason[-1]
        crash = getattr(getattr(reason, "reprcrash", None), "message", None)
        self._outcome = {"outcome": report.outcome, "reason": _end_of(crash or str(reason))}

    def report(self, **facts: Any) -> None:
        """Answer once for the session as a whole."""
        if not self._has_reported:
            self._has_reported = True
            self._channel.answer(errors=self._errors, **facts)


def _outcome(turns: Turns, stop: str) -> dict[str, str]:
    """Return the outcome of a case in which nothing failed. ``stop``: why the session ends with it."""
    if stop:
        return {"outcome": "failed", "reason": f"it ended the session ({stop})"}
    if turns.state == "unused":
        return {"outcome": "unused", "reason": "it did not call its benchmark fixture"}
    caught = f"its benchmark raised {turns.error}, and the test caught it"
    if turns.state == "called":
        return {"outcome": "unused", "reason": caught}
    if turns.state == "ready":
        return {"outcome": "failed", "reason": f"in a turn, {caught}"}
    return {"outcome": "passed", "reason": ""}


def _once(items: Iterable[pytest.Item]) -> Iterator[pytest.Item]:
    """Yield the first item of each id: some suites repeat their tests."""
    seen = set()
    for item in items:
        if item.nodeid not in seen:
            seen.add(item.nodeid)
            yield item


def _is_registered(marker: str, config: pytest.Config) -> bool:
    """Return whether a plugin or the suite registered a marker of this name."""
    return any(re.split(r"[(:]", line)[0].strip() == marker for line in config.getini("markers"))


def _group(item: pytest.Item) -> str:
    """Return the group that a case belongs to: ``@pytest.mark.gate(group=…)``, or its file."""
    for marker in item.iter_markers("gate"):
        if "group" in marker.kwargs:
            return str(marker.kwargs["group"])
    return item.nodeid.partition("::")[0]


def _skip_reason(item: pytest.Item) -> str | None:
    marker = item.get_closest_marker("skip")
    if marker is None:
        return None
    return str(marker.kwargs.get("reason") or (marker.args[0] if marker.args else "") or "unconditional skip")


def _cause(text: str) -> str:
    """Return what pytest marks as the error in a text with the lines that led to it, else the text."""
    marked = [line[1:].strip() for line in text.splitlines() if line.startswith("E ")]
    return _end_of("\n".join(marked) or text)


def _end_of(text: str) -> str:
    return text.strip()[-REASON_LENGTH:]
