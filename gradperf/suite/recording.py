"""Collects the facts of a run, and adds them to what pytest-benchmark saves.

Before a case is timed, its conduct is checked (:mod:`gradperf.checks.conduct`), and its first call and memory are
measured in other processes (:mod:`gradperf.first_call.measure`). Afterwards the time is checked against the clock,
the threads and the best speed of this machine. A benchmark that fails a check is an error, and is not recorded.
"""

import gc
import os
import re
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from gradperf.machine import libraries, load, tasks
from gradperf.suite import baseline, duties, table
from gradperf.suite.facts import SCHEMA, Benchmark, Facts, RunFacts, read_benchmark
from gradperf.suite.selection import SETTINGS
from gradperf.text.printable import clean
from gradperf.text.table import Terminal

if TYPE_CHECKING:  # these import numpy, which must wait until the threads are bound
    from gradperf.cases import Case, Settings
    from gradperf.checks.agreement import Agreed
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
    processes: "FreshProcesses | None"
    """Where first calls are measured; None if they are not wanted."""
    start: load.Moment
    selected: int = 0
    """Benchmarks that are to be timed."""
    finished: list[Finished] = field(default_factory=list)
    unmeasured: list[str] = field(default_factory=list)
    """Why a first call has no number."""
    counted: "tuple[Agreed, int | None] | None" = None
    """The last case that was examined, and the operations counted in it."""

    def benchmarks(self) -> list[Benchmark]:
        """Return the benchmarks that were kept, as they will be read from the file."""
        return [read_benchmark(one.fixture.stats.as_dict(include_data=False)) for one in self.finished]


KEY: "pytest.StashKey[Recording]" = pytest.StashKey()


def begin(config: pytest.Config, *, first_calls: bool) -> None:
    """Begin the recording of a run, before any process is started."""
    from gradperf.first_call.measure import FreshProcesses

    config.stash[KEY] = Recording(config.stash[SETTINGS], FreshProcesses() if first_calls else None, load.moment())


def pytest_collection_finish(session: pytest.Session) -> None:
    """Count the benchmarks that are to be timed."""
    session.config.stash[KEY].selected = sum(
        "benchmark" in getattr(item, "fixturenames", ()) and item.get_closest_marker("skip") is None
        for item in session.items
    )


@pytest.fixture
def examined(request: pytest.FixtureRequest, agreed: "Agreed", settings: "Settings") -> "Agreed":
    """Return the case after its conduct was checked too. If it fails, all benchmarks of the case fail."""
    from gradperf.checks import conduct

    recording = request.config.stash[KEY]
    if not request.config.stash[duties.KEY].checks_fully:
        return agreed
    if recording.counted is None or recording.counted[0] is not agreed:
        recording.counted = agreed, conduct.examine(agreed, settings)
    return agreed


@pytest.fixture
def timed(
    request: pytest.FixtureRequest, benchmark: Any, settings: "Settings"
) -> Callable[..., AbstractContextManager[None]]:
    """Return ``timed(examined, part)``, a context in which the case is timed and its results are checked.

    ``part`` is the half of a step that is timed, "forward" or "backward"; None for the whole step. A benchmark that
    fails in this context is not recorded.
    """
    from gradperf.checks import conduct

    recording = request.config.stash[KEY]
    if not request.config.stash[duties.KEY].checks_fully:
        return lambda *_: nullcontext()

    @contextmanager
    def timed(agreed: "Agreed", part: str | None = None) -> Iterator[None]:
        benchmark.group = f"{agreed.case.group} {part}" if part else agreed.case.group
        known = _facts(agreed, recording, part, first_call=part is None and benchmark.enabled)
        benchmark.has_error = True  # Until all is checked: what has an error is not saved.
        gc.collect()  # Garbage of the checks must not be collected in the timed code.
        waiting_s = tasks.waiting_s()
        start_s, cpu_start_s = time.perf_counter(), time.process_time()
        yield
        wall_s, cpu_s = time.perf_counter() - start_s, time.process_time() - cpu_start_s
        known = replace(known, cpu_per_wall=cpu_s / wall_s, wait_per_wall=tasks.waited(waiting_s, wall_s))
        benchmark.extra_info.update(asdict(known))
        if benchmark.enabled:
            stats, name = benchmark.stats, request.node.name
            conduct.check_clock(name, stats["total"] * stats["iterations"], wall_s)
            conduct.check_cpu_time(name, cpu_s / wall_s, settings.threads)
            if part is None:
                conduct.check_possible(agreed, stats["min"], settings.threads)
            recording.finished.append(Finished(benchmark, agreed.case, known))
        benchmark.has_error = False

    return timed


def _facts(agreed: "Agreed", recording: Recording, part: str | None, *, first_call: bool) -> Facts:
    """Return the facts that are known before a case is timed."""
    case = agreed.case
    facts = Facts(
        problem=case.problem.name,
        framework=case.framework,
        style=case.style,
        device=case.device,
        dtype=case.dtype,
        part=part or "all",
        steps=1 if part else case.problem.steps,
        **asdict(recording.settings),
        inputs_sha256=agreed.inputs_sha256,
        framework_version=agreed.framework_version,
        final_loss=agreed.final_loss,
        gradient_error=agreed.gradient_error,
        trajectory_error=agreed.trajectory_error,
    )
    if part is not None:
        return facts
    assert recording.counted is not None
    work = case.problem.work(case.dtype)
    return replace(
        facts,
        **(_first_call(case, recording) if first_call else {}),
        flops_per_step=work.flops,
        bytes_per_step=work.bytes,
        product_flops_per_step=work.product_flops,
        product_flops_counted=recording.counted[1],
        uncounted=case.implementation.uncounted,
    )


def _first_call(case: "Case", recording: Recording) -> dict[str, Any]:
    """Return the facts of the first call and the memory of a case, if they are wanted and can be measured."""
    from gradperf.first_call.measure import NotMeasured, measure

    if recording.processes is None:
        return {}
    try:
        first = measure(case, recording.settings, recording.processes)
    except NotMeasured as reason:
        recording.unmeasured.append(str(reason))
        return {}
    names = ("first_call_s", "memory_peak_bytes", "device_memory_peak_bytes")
    return {name: getattr(first, name) for name in names}


@pytest.hookimpl(wrapper=True, tryfirst=True)  # around pytest-benchmark's wrapper, which saves
def pytest_sessionfinish(session: pytest.Session) -> Generator[None]:
    """Stop the fresh processes, and add the facts that need the whole run, before it is saved."""
    recording = session.config.stash[KEY]
    if recording.processes is not None:
        recording.processes.close()
    if recording.finished:
        _compare(recording)
    return (yield)


def _compare(recording: Recording) -> None:
    """Add to each whole step how it compares with its baseline, and with the best speed of this machine."""
    from gradperf import problems
    from gradperf.checks import ceilings

    comparisons = baseline.compare(recording.benchmarks(), problems.baseline_of)
    for one, comparison in zip(recording.finished, comparisons, strict=True):
        if one.facts.part != "all":
            continue
        case = one.case
        ceiling = ceilings.ceilings(case.framework, case.device, case.dtype, recording.settings.threads)
        work = case.problem.work(case.dtype)
        completed = replace(
            one.facts,
            peak_fraction=ceiling.least_s(work.flops, work.bytes)
            * case.problem.steps
            / one.fixture.stats["median"],
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
        # A storage's address may hold a password.
        command=tuple(re.sub(r"(://)[^/@\s]+@", r"\1***@", word) for word in command),
        started=start.at.isoformat(timespec="seconds"),
        finished=end.at.isoformat(timespec="seconds"),
        load={"start": start.load, "end": end.load},
        steal=load.steal(start.cpu_times, end.cpu_times),
        benchmarks_selected=recording.selected,
        benchmarks_finished=finished,
        **asdict(settings),
        pools=libraries.pool_sizes(),
        environment=libraries.environment(),
        ceilings=tuple(
            {"device": device, "dtype": dtype, **asdict(ceiling)}
            for (device, dtype), ceiling in ceilings.known().items()
        ),
    )


def pytest_benchmark_update_json(config: pytest.Config, output_json: dict[str, Any]) -> None:
    """Add the facts of the run to the JSON that pytest-benchmark is about to save."""
    command = ["pytest", *os.environ.get("PYTEST_ADDOPTS", "").split(), *map(str, config.invocation_params.args)]
    run = run_facts(config.stash[KEY], command, load.moment(), len(output_json["benchmarks"]))
    output_json["gradperf"] = asdict(run)


def lines(config: pytest.Config, terminal: Terminal) -> list[str]:
    """Return the tables of the run, and why first calls could not be measured."""
    from gradperf import problems

    recording = config.stash[KEY]
    shown = table.lines(recording.benchmarks(), baseline_of=problems.baseline_of, terminal=terminal)
    for reason in recording.unmeasured:
        shown += terminal.wrap(clean(f"gradperf: no first call, no memory: {reason}"))
    return shown
