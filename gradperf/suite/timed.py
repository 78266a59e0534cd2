"""Times a case that was examined: by pytest-benchmark when its test runs, and at several moments of the run.

Before the timing the first call and the memory of the case are measured in other processes, or remembered
(:mod:`gradperf.suite.first_calls`). Afterwards the time is checked against the clock, the threads and the best
speed of this machine. A benchmark that fails a check is an error, and is not recorded.
"""

import gc
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from gradperf.machine import children, tasks
from gradperf.records.facts import HARNESS, Facts
from gradperf.suite import duties, progress, selection
from gradperf.suite.examined import LAST, Examined
from gradperf.suite.recording import KEY, Finished, drop_wrong

if TYPE_CHECKING:  # these import numpy, which must wait until the threads are bound
    from gradperf.cases import Settings
    from gradperf.checks.agreement import Agreed


@pytest.fixture
def timed(
    request: pytest.FixtureRequest, benchmark: Any, settings: "Settings"
) -> Callable[..., AbstractContextManager[None]]:
    """Return ``timed(examined, part)``, a context in which the case is timed and its results are checked.

    ``part`` is the half of a step that is timed, "forward" or "backward"; None for the whole step. A benchmark that
    fails in this context is not recorded.
    """
    from gradperf.checks import conduct

    stash, recording = request.config.stash, request.config.stash[KEY]
    if not stash[duties.KEY].checks_fully:
        return lambda *_: nullcontext()

    @contextmanager
    def timed(agreed: "Agreed", part: str | None = None) -> Iterator[None]:
        benchmark.group = f"{agreed.case.group} {part}" if part else agreed.case.group
        known = _facts_of_part(agreed, settings, part, steps=1) if part else _facts(stash[LAST], settings)
        recording.settle()
        if part is None and benchmark.enabled and recording.first_calls is not None:
            progress.phase(request.config, "first call of")
            recording.first_calls.begin(stash[LAST].ready.agreed.case)
        progress.phase(request.config, "timing")
        benchmark.has_error = True  # Until all is checked: what has an error is not saved.
        gc.collect()  # Garbage of the checks must not be collected in the timed code.
        gc.freeze()  # What is left stays until the end. Looking at it before each timing took a tenth of a second.
        waiting_s = tasks.waiting_s()
        children_start_s = children.cpu_s()
        start_s, cpu_start_s = time.perf_counter(), time.process_time()
        yield
        wall_s, cpu_s = time.perf_counter() - start_s, time.process_time() - cpu_start_s
        children_s = children.cpu_s() - children_start_s
        known = replace(known, cpu_per_wall=cpu_s / wall_s, wait_per_wall=tasks.waited(waiting_s, wall_s))
        benchmark.extra_info.update(asdict(known))
        if benchmark.enabled:
            stats, name = benchmark.stats, request.node.name
            conduct.check_changes_nothing(agreed.case.id)
            conduct.check_clock(name, stats["total"] * stats["iterations"], wall_s)
            conduct.check_children(name, children_s / wall_s)
            conduct.check_cpu_time(name, agreed.case.device, cpu_s / wall_s, settings.threads)
            if part is None:
                conduct.check_possible(agreed, stats["min"], settings.threads)
                conduct.check_afterwards(agreed, agreed.case.implementation, stats["min"], settings.seed)
                if recording.moments is not None and agreed.case.problem.name != HARNESS:
                    recording.moments.begin(stash[LAST].ready)
            recording.finished.append(Finished(benchmark, agreed.case, known))
        benchmark.has_error = False

    return timed


def _facts(examined: Examined, settings: "Settings") -> Facts:
    """Return the facts that are known before the whole steps of a case are timed, without its first call."""
    ready, case = examined.ready, examined.ready.timed.case
    work = case.problem.work(case.dtype)
    return replace(
        _facts_of_part(ready.timed, settings, "all", case.problem.steps),
        flops_per_step=work.flops,
        bytes_per_step=work.bytes,
        product_flops_per_step=work.product_flops,
        product_flops_counted=examined.product_flops,
        first_call_steps=ready.agreed.case.problem.steps,
        short_steps=ready.lengths.short,
        uncounted=case.implementation.uncounted,
    )


def _facts_of_part(agreed: "Agreed", settings: "Settings", part: str, steps: int) -> Facts:
    """Return the facts that whole steps and halves have."""
    case = agreed.case
    return Facts(
        problem=case.problem.name,
        framework=case.framework,
        style=case.style,
        device=case.device,
        dtype=case.dtype,
        part=part,
        steps=steps,
        **asdict(settings),
        inputs_sha256=agreed.inputs_sha256,
        framework_version=agreed.framework_version,
        final_loss=agreed.final_loss,
        gradient_error=agreed.gradient_error,
        trajectory_error=agreed.trajectory_error,
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """After each test, take the moments of earlier cases that are due."""
    start_s = time.monotonic()
    result = yield
    recording = item.config.stash[KEY]
    if selection.takes_case(item):
        recording.took_s[selection.case_id(item)] += time.monotonic() - start_s
    if recording.moments is not None:
        recording.settle()  # a test that failed may have left something to wait for
        recording.moments.due()
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """After the last test, take the moments that are left. What went wrong in one is counted as a failed test."""
    result = yield
    recording = session.config.stash[KEY]
    if recording.first_calls is not None:
        recording.first_calls.finish()
    if recording.moments is not None and not session.shouldstop:
        recording.moments.rest(partial(progress.moment, session.config))
        recording.moments.again()
        drop_wrong(recording, session)  # pytest looks at the number of failed tests before the session finishes
    return result
