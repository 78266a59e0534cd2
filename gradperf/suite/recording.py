"""Collects what is known of a run, and adds it to what pytest-benchmark saves and to the tables at the end.

A case is examined in :mod:`gradperf.suite.examined` and timed in :mod:`gradperf.suite.timed`, which adds it to the
benchmarks that are kept.
"""

import gc
import os
import re
from collections import defaultdict
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gradperf.comparison import baseline, changes, chart, table, words
from gradperf.errors import UserError
from gradperf.machine import libraries, load
from gradperf.pairs import planting
from gradperf.records.facts import HARNESS, SCHEMA, Benchmark, Facts, RunFacts, ids_by_reason, read_benchmark
from gradperf.records.storage import MACHINE_ID
from gradperf.suite import duties, selection
from gradperf.suite.first_calls import FirstCalls, newest_records
from gradperf.suite.moments import Moments
from gradperf.suite.selection import SETTINGS
from gradperf.text import quantities
from gradperf.text.printable import clean
from gradperf.text.table import Terminal

if TYPE_CHECKING:  # these import numpy, which must wait until the threads are bound
    from gradperf.case_pairs.second import SecondProcess
    from gradperf.cases import Case, Settings
    from gradperf.first_call.measure import FreshProcesses


@dataclass(frozen=True)
class Finished:
    """A benchmark that was timed and kept."""

    fixture: Any
    """pytest-benchmark's."""
    case: "Case"
    facts: Facts


@dataclass
class Recording:
    """What is known of a run that goes on."""

    settings: "Settings"
    processes: "FreshProcesses"
    """Where first calls are measured."""
    start: load.Moment
    selection: Mapping[str, Any] = field(default_factory=dict)
    """What the user selected."""
    selected: int = 0
    """Benchmarks that are to be timed."""
    cut_short: str | None = None
    """What kept the run from being complete."""
    planted: Mapping[str, float] = field(default_factory=dict)
    """By the id of a case: work that is added to its steps, as a share of their time."""
    cannot_run: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By reason: ids of the cases that were left out."""
    failed: dict[str, str] = field(default_factory=dict)
    """By the id of a case: why a test of it failed."""
    finished: list[Finished] = field(default_factory=list)
    first_calls: FirstCalls | None = None
    """None if they are not wanted."""
    second: "SecondProcess | None" = None
    """The second process of the run."""
    records: Sequence[Path] = ()
    """Of earlier runs, the newest first."""
    took_s: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    """By the id of a case: seconds that its tests took, checks and first call included."""
    moments: Moments | None = None
    """None if cases are timed for somebody else, or not at all."""

    def settle(self) -> None:
        """Wait until no other process of the run computes anything, so that none disturbs a timing."""
        if self.first_calls is not None:
            self.first_calls.wait()
        if self.moments is not None:
            self.moments.settle()

    def benchmarks(self) -> list[Benchmark]:
        """Return the benchmarks that were kept, as they will be read from the file."""
        return [read_benchmark(one.fixture.stats.as_dict(include_data=False)) for one in self.finished]


KEY: "pytest.StashKey[Recording]" = pytest.StashKey()


def begin(config: pytest.Config, root: Path, folder: Path | None, *, first_calls: bool) -> None:
    """Begin the recording of a run, before any process is started.

    Its paths are recorded relative to ``root``. ``folder`` is where runs are stored; None if not in files.
    """
    from gradperf.first_call.measure import FreshProcesses

    settings, processes = config.stash[SETTINGS], FreshProcesses()
    selected = selection.selected(config, root)
    records = newest_records(folder / MACHINE_ID) if folder else []
    config.stash[KEY] = recording = Recording(settings, processes, load.moment(), selected, records=records)
    if first_calls:
        recording.first_calls = FirstCalls(settings, processes, [] if config.getoption("first_calls") else records)


@pytest.hookimpl(trylast=True)  # when what the user named was found to run here
def pytest_sessionstart(session: pytest.Session) -> None:
    """Start the second process, which imports the frameworks while this one does."""
    if session.config.stash[duties.KEY].is_recorded:
        from gradperf import frameworks
        from gradperf.case_pairs.second import SecondProcess

        recording = session.config.stash[KEY]
        chosen = session.config.stash[selection.CHOICE].framework or frameworks.names()
        recording.second = SecondProcess(recording.settings, chosen)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Count the benchmarks that are to be timed, and leave what was imported out of later garbage collections."""
    recording, own = session.config.stash[KEY], session.config.stash[duties.KEY]
    selected = [item for item in session.items if _is_benchmark(item)]
    recording.selected = len(selected)
    recording.cannot_run = selection.cannot_run(session.config)
    if recording.second is not None:
        whole = [item for item in selected if selection.times_whole_steps(item)]
        cases = [id_ for id_ in map(selection.case_id, whole) if not id_.startswith(HARNESS)]
        recording.moments = Moments(recording.settings, recording.second, cases)
        recording.planted = _planted(session.config, cases)
    if selected and own.skips_at_collection:  # so the frameworks are imported
        # The four frameworks have half a million objects. To look at all of them before every timing would take a
        # quarter of a second each time.
        gc.collect()
        gc.freeze()


def _planted(config: pytest.Config, cases: Sequence[str]) -> dict[str, float]:
    """Return what ``--plant`` adds to these cases; raises ``pytest.UsageError`` if it means none of them."""
    try:
        return planting.by_case(dict(config.getoption("plant")), cases)
    except UserError as error:
        raise pytest.UsageError(str(error)) from None


def _is_benchmark(item: pytest.Item) -> bool:
    return "benchmark" in getattr(item, "fixturenames", ()) and item.get_closest_marker("skip") is None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember why a case failed. Count a benchmark no longer that turns out to be skipped: it is not missing."""
    report = yield
    if report.failed and call.excinfo is not None and selection.takes_case(item):
        item.config.stash[KEY].failed.setdefault(selection.case_id(item), _why(call.excinfo.value))
    if report.skipped and "benchmark" in getattr(item, "fixturenames", ()) and not item.get_closest_marker("skip"):
        item.config.stash[KEY].selected -= 1
    return report


def _why(error: BaseException) -> str:
    """Return the first line of an error."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


def _cut_short(session: pytest.Session, exitstatus: int) -> str | None:
    """Return what kept the run from being complete, if more than benchmarks that did not finish."""
    option = session.config.option
    if exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED):
        return "interrupted"
    if session.testsfailed:
        return f"{session.testsfailed} failed"
    if getattr(option, "lf", False) or getattr(option, "stepwise", False):
        return "only those that failed before"
    return None


@pytest.hookimpl(wrapper=True, tryfirst=True)  # around the wrapper that saves
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> Generator[None]:
    """Stop the fresh processes, and add the facts that need the whole run, before it is saved."""
    recording = session.config.stash[KEY]
    recording.processes.close()
    if recording.second is not None:
        recording.second.close()
    drop_wrong(recording, session)
    recording.cut_short = _cut_short(session, exitstatus)
    if recording.finished:
        try:
            _add_first_calls(recording)
            _estimate(recording)
            _compare(recording)
        except KeyboardInterrupt:  # impatience after all was timed; the times must not be lost
            recording.cut_short = "interrupted"
    return (yield)


def drop_wrong(recording: Recording, session: pytest.Session) -> None:
    """Leave out the cases that returned something else at a later moment, and count them as failed."""
    wrong = recording.moments.wrong if recording.moments else {}
    for one in recording.finished:
        if one.facts.part == "all" and one.case.id in wrong:
            one.fixture.has_error = True
            recording.failed.setdefault(one.case.id, f"at a later moment: {wrong[one.case.id]}")
            session.testsfailed += 1
    recording.finished = [one for one in recording.finished if not one.fixture.has_error]


def _add_first_calls(recording: Recording) -> None:
    """Add to each whole step its first call and its memory."""
    for place, one in enumerate(recording.finished):
        if recording.first_calls is not None and one.facts.part == "all":
            facts = replace(one.facts, **recording.first_calls.facts(one.case.id))
            one.fixture.extra_info.update(asdict(facts))
            recording.finished[place] = replace(one, facts=facts)


def _estimate(recording: Recording) -> None:
    """Add to each whole step what its moments show."""
    from gradperf.timing.estimate import estimate, unrest

    if recording.moments is None:
        return
    of_machine = unrest(chain.from_iterable(recording.moments.taken.values()))
    for place, one in enumerate(recording.finished):
        taken = recording.moments.taken.get(one.case.id) if one.facts.part == "all" else None
        if taken:
            assert one.facts.steps is not None
            found = estimate(taken, long=one.facts.steps, short=one.facts.short_steps, unrest=of_machine)
            facts = replace(
                one.facts,
                step_s=found.step_s,
                step_interval_s=found.interval_s,
                step_error=found.error,
                own_error=found.own_error,
                unrest=of_machine,
                call_s=found.call_s,
                disturbed=found.disturbed,
                moments=tuple(asdict(moment) for moment in taken),
                took_s=recording.took_s[one.case.id] or None,
            )
            one.fixture.extra_info.update(asdict(facts))
            recording.finished[place] = replace(one, facts=facts)


def _compare(recording: Recording) -> None:
    """Add to each whole step how it compares with its baseline, and with the best speed of this machine."""
    from gradperf import problems
    from gradperf.checks import ceilings

    comparisons = baseline.compare(recording.benchmarks(), problems.baseline_of)
    for one, comparison in zip(recording.finished, comparisons, strict=True):
        if one.facts.part != "all":
            continue
        case = one.case
        step_s = one.facts.step_s or one.fixture.stats["median"] / case.problem.steps
        ceiling = ceilings.ceilings(case.framework, case.device, case.dtype, recording.settings.threads)
        work = case.problem.work(case.dtype)
        completed = replace(
            one.facts,
            peak_fraction=ceiling.least_s(work.flops, work.bytes) / step_s,
            ratio_to_baseline=comparison.ratio_to_baseline,
            break_even_steps=comparison.break_even_steps,
        )
        one.fixture.extra_info.update(asdict(completed))


def run_facts(recording: Recording, command: Sequence[str], end: load.Moment, finished: int) -> RunFacts:
    """Return the facts of a run in this process that ended with ``finished`` benchmarks."""
    from gradperf.checks import ceilings

    start, settings = recording.start, recording.settings
    return RunFacts(
        schema=SCHEMA,
        command=without_passwords(command),
        started=start.at.isoformat(timespec="seconds"),
        finished=end.at.isoformat(timespec="seconds"),
        load={"start": start.load, "end": end.load},
        steal=load.steal(start.cpu_times, end.cpu_times),
        benchmarks_selected=recording.selected,
        benchmarks_finished=finished,
        selection=recording.selection or None,
        cut_short=recording.cut_short,
        planted=recording.planted,
        cannot_run=ids_by_reason(recording.cannot_run),
        failed=ids_by_reason(selection.ids_by(recording.failed)),
        **asdict(settings),
        pools=libraries.pool_sizes(),
        environment=libraries.environment(),
        ceilings=tuple(
            {"device": device, "dtype": dtype, **asdict(ceiling)}
            for (device, dtype), ceiling in ceilings.known().items()
        ),
    )


def command(config: pytest.Config) -> list[str]:
    """Return the command line of this run."""
    return ["pytest", *os.environ.get("PYTEST_ADDOPTS", "").split(), *map(str, config.invocation_params.args)]


def without_passwords(words: Sequence[str]) -> tuple[str, ...]:
    """Return a command line without passwords: a storage's address may hold one."""
    return tuple(re.sub(r"(://)[^/@\s]+@", r"\1***@", word) for word in words)


def pytest_benchmark_update_json(config: pytest.Config, output_json: dict[str, Any]) -> None:
    """Add the facts of the run to the JSON that pytest-benchmark is about to save."""
    run = run_facts(config.stash[KEY], command(config), load.moment(), len(output_json["benchmarks"]))
    output_json["gradperf"] = asdict(run)


def lines(
    config: pytest.Config, terminal: Terminal, then: Sequence[Benchmark] | None, basis: changes.Basis
) -> list[str]:
    """Return the charts of the run, or with ``-v`` its tables, and what else must be known.

    Such as what changed since the run ``then``, and which first calls are remembered.
    """
    from gradperf import problems

    recording = config.stash[KEY]
    benchmarks, baseline_of = recording.benchmarks(), problems.baseline_of
    found = changes.changes(then, benchmarks, basis, baseline_of) if then is not None else None
    if config.option.verbose > 0:
        shown = table.lines(benchmarks, baseline_of=baseline_of, terminal=terminal, changes=found)
    else:
        shown = chart.lines(benchmarks, baseline_of=baseline_of, terminal=terminal, changes=found)
        shown += table.notes(benchmarks, terminal)
    if found:
        shown += ["", *chain.from_iterable(terminal.wrap(line) for line in words.summary(found))]
    if recording.planted:
        cases = quantities.plural(len(recording.planted), "case")
        shown += terminal.wrap(f"work was added to {cases} on purpose (--plant): this run shows no real times")
    told = [part.lines() for part in (recording.moments, recording.first_calls) if part]
    for line in chain.from_iterable(told):
        shown += terminal.wrap(clean(line))
    return shown
