"""Shows while a run goes on which case it is at, what is done with it, how many are left, and for how long.

On a terminal that is one line that changes, and one line that stays for each problem. Elsewhere, as in a pipe or in
CI, it is a line from time to time. Both are in place of pytest's dots. With ``-v`` or ``-s`` those stay.

Nothing is drawn while anything is timed: there is no thread that draws, and the line changes only between timings.
"""

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from gradperf.comparison.table import has_waited
from gradperf.errors import UserError
from gradperf.progress import steps
from gradperf.progress.display import Display, Lines, Live, has_colours, is_terminal
from gradperf.records import storage
from gradperf.records.facts import HARNESS
from gradperf.suite import duties, recording, selection
from gradperf.text.printable import clean
from gradperf.text.quantities import plural

MOST_RECORDS = 3
"""The newest records that are asked how long each case took."""

UNKNOWN_S = 1.0
"""What a case is expected to take if nothing is known of any: the share of the run counts, not the seconds."""


@dataclass
class Progress:
    """How far a run is. Weights are seconds that each case took in the last run, or is expected to take."""

    weights: Mapping[str, float]
    """By the id of the case, for all cases of the run."""
    clock: Callable[[], float] = time.monotonic
    done: list[str] = field(default_factory=list)
    """Ids of the cases whose tests have ended."""
    case: str = ""
    phase: str = ""
    failed: int = 0
    moments: tuple[int, int] | None = None
    """Moments that were taken after the last test, and all of those."""
    started_s: float = field(init=False)

    def __post_init__(self) -> None:
        self.started_s = self.clock()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the first test."""
        return self.clock() - self.started_s

    @property
    def left_s(self) -> float | None:
        """Seconds that are left, by the pace so far; None before a first case has ended."""
        done = sum(self.weights.get(id_, 0.0) for id_ in self.done)
        if not done or self.moments:
            return None
        left = sum(self.weights.values()) - done
        return max(0.0, self.elapsed_s * left / done)

    def __str__(self) -> str:
        """Return what is known, as one line."""
        took = steps.span(self.elapsed_s)
        if self.moments:
            taken, of = self.moments
            return steps.line(f"timing all cases once more: {taken} of {of}", took)
        count = f"{len(self.done)} of {plural(len(self.weights), 'case')}"
        failed = f"{self.failed} failed" if self.failed else ""
        now = f"{self.phase} {self.case}" if self.case and self.phase else ""
        return steps.line(count, took, steps.left(self.left_s), failed, now=now)


def expected(cases: Sequence[str], took_s: Mapping[str, float]) -> dict[str, float]:
    """Return what each case is expected to take: as in an earlier run, or the mean of those that are known."""
    known = [took_s[id_] for id_ in cases if id_ in took_s]
    usual = fmean(known) if known else UNKNOWN_S
    return {id_: took_s.get(id_, usual) for id_ in cases}


@contextmanager
def _display(config: pytest.Config) -> Iterator[Display | None]:
    """Yield where this run shows its progress; None where pytest's own output stays."""
    option, reporter = config.option, config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or option.verbose > 0 or option.verbose < -1 or option.capture == "no" or option.usepdb:
        yield None
    elif option.verbose == 0 and is_terminal(sys.stdout):
        # pytest redirects the descriptor while a test runs, so a copy of it is taken now.
        descriptor = os.dup(sys.stdout.fileno())
        with open(descriptor, "w", encoding=sys.stdout.encoding, errors="backslashreplace") as output:
            live = Live(output)
            try:
                yield live
            finally:
                live.clear()
    else:
        yield Lines(reporter.write_line, colours=has_colours(sys.stdout))


@dataclass
class Shown:
    """The progress of a run, and where it is shown."""

    progress: Progress
    display: Display
    by_problem: Counter[str]
    """Cases that are left of each problem, device and dtype."""
    failed: Counter[str] = field(default_factory=Counter)
    """Tests that failed, by the same."""
    warned: bool = False
    """Whether it was said that other work disturbs."""
    reported: set[tuple[str, str | None]] = field(default_factory=set)
    """Failures that were counted: pytest may ask for the status of a report several times."""


KEY: "pytest.StashKey[Shown]" = pytest.StashKey()


def phase(config: pytest.Config, name: str) -> None:
    """Show what is done with the case now, such as "checking"."""
    if shown := config.stash.get(KEY, None):
        shown.progress.phase = name
        if shown.display.changes:  # lines are pytest's: the output of a test may be captured now
            shown.display.show(str(shown.progress))


def moment(config: pytest.Config, taken: int, of: int) -> None:
    """Show how many of the last moments were taken."""
    if shown := config.stash.get(KEY, None):
        shown.progress.moments = (taken, of)
        shown.display.show(str(shown.progress))


def _cases(session: pytest.Session) -> list[str]:
    """Return the cases whose progress is shown: those of a run that times."""
    if not session.config.stash[duties.KEY].is_recorded:
        return []
    return [*dict.fromkeys(selection.case_id(item) for item in session.items if selection.takes_case(item))]


def earlier(records: Iterable[Path]) -> dict[str, float]:
    """Return how long each case took in the newest of a few records that says so."""
    took_s: dict[str, float] = {}
    for file in islice(records, MOST_RECORDS):
        with suppress(UserError):  # the commands that show or compare records report it
            for one in storage.read(file).benchmarks:
                if one.is_compared and one.facts.took_s is not None:
                    took_s.setdefault(one.case, one.facts.took_s)
    return took_s


def _group(id_: str) -> str:
    problem, _, device, dtype = id_.split("-")
    return f"{problem}, {device}, {dtype}"


@pytest.hookimpl(wrapper=True, tryfirst=True)  # around the moments that are taken after a test
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
    """Show which case is at work, and a line for each problem that is done."""
    shown = item.config.stash.get(KEY, None)
    if shown is None or not selection.takes_case(item):
        return (yield)
    id_ = selection.case_id(item)
    if shown.progress.case != id_:
        shown.progress.case = id_
        phase(item.config, "preparing")
    result = yield
    if nextitem is None or not selection.takes_case(nextitem) or selection.case_id(nextitem) != id_:
        shown.progress.done.append(id_)
        group = _group(id_)
        shown.by_problem[group] -= 1
        if not shown.by_problem[group] and id_.partition("-")[0] != HARNESS:
            _problem_is_done(shown, group)
    _warn(shown, item.config.stash[recording.KEY].finished)
    shown.display.show(str(shown.progress))
    return result


def _warn(shown: Shown, finished: Sequence[recording.Finished]) -> None:
    """Say once that other work disturbs, as soon as it does."""
    if not shown.warned and finished and has_waited(finished[-1].facts):
        shown.warned = True
        shown.display.say("WARNING: other work uses the CPUs, so times are less sure; see gradperf doctor")


def _problem_is_done(shown: Shown, group: str) -> None:
    styles = sum(_group(id_) == group for id_ in shown.progress.done)
    failed = f", {shown.failed[group]} FAILED" if shown.failed[group] else ""
    shown.display.say(f"{group}: {plural(styles, 'style')} checked and timed{failed}")


@pytest.hookimpl(wrapper=True)
def pytest_report_teststatus(
    report: pytest.TestReport | pytest.CollectReport, config: pytest.Config
) -> Generator[None, Any, Any]:
    """Leave out pytest's letters, and count what failed."""
    status = yield
    shown = config.stash.get(KEY, None)
    if shown is None or not isinstance(report, pytest.TestReport) or not status:
        return status
    if report.failed and (report.nodeid, report.when) not in shown.reported:
        shown.reported.add((report.nodeid, report.when))
        shown.progress.failed += 1
        if shown.progress.case:
            shown.failed[_group(shown.progress.case)] += 1
            shown.display.say(f"FAILED {clean(report.nodeid.rpartition('::')[2])}")
    return (status[0], "", "")


@pytest.hookimpl(wrapper=True, tryfirst=True)  # also around the last moments
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Show the progress, and take away the line that changes, however the run ends."""
    config = session.config
    with _display(config) if (cases := _cases(session)) else nullcontext() as display:
        if display is None:
            return (yield)
        took_s = earlier(config.stash[recording.KEY].records)
        config.stash[KEY] = Shown(Progress(expected(cases, took_s)), display, Counter(map(_group, cases)))
        config.pluginmanager.get_plugin("terminalreporter").showfspath = False  # type: ignore[union-attr]
        try:
            return (yield)
        finally:
            del config.stash[KEY]  # what follows is pytest's: the list of failures needs its words
