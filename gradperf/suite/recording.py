"""What is written beside each timing, and what a run as a whole leaves in its record.

Before a case is timed, its conduct is examined (:mod:`gradperf.checks.conduct`), and its first call and memory are
measured in processes of their own (:mod:`gradperf.first_call.measure`). After it, the time itself is held to the
clock, to the threads and to what the machine can do. A benchmark that fails any of this is an error, and is not
recorded.

Facts that need all benchmarks of the run, such as a ratio to the baseline, are added when the session ends, before
pytest-benchmark saves.
"""

import gc
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import pytest

from gradperf.machine import facts
from gradperf.suite import duties, storage

if TYPE_CHECKING:  # these import numpy, which must wait until the threads are bound
    from gradperf.cases import Settings
    from gradperf.checks.agreement import Agreed
    from gradperf.first_call.measure import FreshProcesses

Record = dict[str, Any]
"""A benchmark as pytest-benchmark stores it."""


@dataclass
class Recording:
    """What a run gathers as it goes."""

    settings: "Settings"
    processes: "FreshProcesses | None"
    """Where first calls are measured; None where they are not wanted."""
    start: facts.Moment
    selected: int = 0
    """Benchmarks that are to be timed."""
    finished: list[Any] = field(default_factory=list)
    """pytest-benchmark's fixture of each benchmark that was timed and kept."""
    unmeasured: list[str] = field(default_factory=list)
    """Why a first call has no number."""
    counted: "tuple[Agreed, int | None] | None" = None
    """The last case that was examined, and the operations counted in it."""

    def records(self) -> list[Record]:
        """Give the benchmarks as they are stored, without their rounds."""
        return [benchmark.stats.as_dict(include_data=False) for benchmark in self.finished]


KEY: "pytest.StashKey[Recording]" = pytest.StashKey()


def begin(config: pytest.Config, settings: "Settings", *, first_calls: bool) -> None:
    """Begin the recording of a run; nothing is started yet."""
    from gradperf.first_call.measure import FreshProcesses

    processes = FreshProcesses() if first_calls else None
    config.stash[KEY] = Recording(settings, processes, facts.moment())


def count_selected(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Count the benchmarks that are to be timed."""
    config.stash[KEY].selected = sum(
        "benchmark" in getattr(item, "fixturenames", ()) and item.get_closest_marker("skip") is None
        for item in items
    )


@pytest.fixture
def examined(request: pytest.FixtureRequest, agreed: "Agreed", settings: "Settings") -> "Agreed":
    """Give the case after its conduct was examined too: all benchmarks of a case stand or fall with it."""
    from gradperf.checks import conduct

    recording = request.config.stash[KEY]
    if not request.config.stash[duties.KEY].checks_fully:
        return agreed
    if recording.counted is None or recording.counted[0] is not agreed:
        recording.counted = agreed, conduct.examine(agreed, settings)
    return agreed


Timed = Callable[..., AbstractContextManager[None]]


@pytest.fixture
def timed(request: pytest.FixtureRequest, benchmark: Any, settings: "Settings") -> Timed:
    """Give ``timed(examined, part)``, a context in which the case is timed and what came back is checked.

    ``part`` is the half of a step that is timed, "forward" or "backward"; nothing where it is the whole. What fails
    in this context is not recorded.
    """
    from gradperf.checks import conduct

    recording = request.config.stash[KEY]
    if not request.config.stash[duties.KEY].records:
        return lambda *_: nullcontext()

    @contextmanager
    def timed(agreed: "Agreed", part: str | None = None) -> Iterator[None]:
        _describe(benchmark, agreed, settings, part)
        if part is None and benchmark.enabled:
            benchmark.extra_info.update(_first_call(agreed, recording))
        if part is None:
            benchmark.extra_info.update(_work(agreed, recording))
        benchmark.has_error = True  # Until all is checked: what has an error is not saved.
        gc.collect()  # What the checks left behind is not for the timed code to clear up.
        start_s, cpu_start_s = time.perf_counter(), time.process_time()
        yield
        wall_s, cpu_s = time.perf_counter() - start_s, time.process_time() - cpu_start_s
        benchmark.extra_info["cpu_per_wall"] = cpu_s / wall_s
        if benchmark.enabled:
            stats, name = benchmark.stats, request.node.name
            conduct.check_clock(name, stats["total"] * stats["iterations"], wall_s)
            conduct.check_cpu_time(name, cpu_s / wall_s, settings.threads)
            if part is None:
                conduct.check_possible(agreed, stats["min"], settings.threads)
            recording.finished.append(benchmark)
        benchmark.has_error = False

    return timed


def _describe(benchmark: Any, agreed: "Agreed", settings: "Settings", part: str | None) -> None:
    """Name a benchmark's table, and write beside its timing what was timed."""
    case = agreed.case
    benchmark.group = f"{case.group} {part}" if part else case.group
    benchmark.extra_info.update(
        problem=case.problem.name,
        framework=case.framework,
        style=case.style,
        device=case.device,
        dtype=case.dtype,
        part=part or "all",
        steps=1 if part else case.problem.steps,
        tier=settings.tier,
        threads=settings.threads,
        seed=settings.seed,
        inputs_sha256=agreed.inputs_sha256,
        framework_version=agreed.framework_version,
        final_loss=agreed.final_loss,
        gradient_error=agreed.gradient_error,
        trajectory_error=agreed.trajectory_error,
    )


def _work(agreed: "Agreed", recording: Recording) -> dict[str, Any]:
    """Tell what a step takes, by the problem's formulas and by the framework's count."""
    assert recording.counted is not None
    work = agreed.case.problem.work(agreed.case.dtype)
    return {
        "flops_per_step": work.flops,
        "bytes_per_step": work.bytes,
        "product_flops_per_step": work.product_flops,
        "product_flops_counted": recording.counted[1],
        "uncounted": agreed.case.implementation.uncounted,
    }


def _first_call(agreed: "Agreed", recording: Recording) -> dict[str, float | None]:
    """Measure the first call and the memory of a case, where that is wanted."""
    from gradperf.first_call.measure import NotMeasured, measure

    if recording.processes is None:
        return {}
    try:
        found = measure(agreed.case, recording.settings, recording.processes)
    except NotMeasured as reason:
        recording.unmeasured.append(str(reason))
        return {"first_call_s": None, "memory_peak_bytes": None, "device_memory_peak_bytes": None}
    return {
        "first_call_s": found.first_call_s,
        "memory_peak_bytes": found.memory_peak_bytes,
        "device_memory_peak_bytes": found.device_memory_peak_bytes,
    }


def complete(config: pytest.Config) -> None:
    """End the fresh processes; add what needs the whole run: shares of the ceilings, ratios and break-evens."""
    recording = config.stash[KEY]
    if recording.processes is not None:
        recording.processes.close()
    if not recording.finished:
        return
    from gradperf import problems
    from gradperf.checks import ceilings
    from gradperf.suite import table

    records = recording.records()
    beside = table.against_baselines(records, problems.baseline_of)
    for benchmark, record, against in zip(recording.finished, records, beside, strict=True):
        info = benchmark.extra_info
        if info["part"] != "all":
            continue
        least_s = ceilings.ceilings(info["framework"], info["device"], info["dtype"], info["threads"]).least_s(
            info["flops_per_step"], info["bytes_per_step"]
        )
        info["peak_fraction"] = least_s * info["steps"] / record["stats"]["median"]
        info["ratio_to_baseline"] = against.ratio_to_baseline
        info["break_even_steps"] = against.break_even_steps


def describe_run(config: pytest.Config, output: dict[str, Any]) -> None:
    """Write into what is about to be saved what the run as a whole was."""
    from gradperf.checks import ceilings

    recording, settings = config.stash[KEY], config.stash[KEY].settings
    storage.describe_run(
        output,
        command=["pytest", *os.environ.get("PYTEST_ADDOPTS", "").split(), *map(str, config.invocation_params.args)],
        start=recording.start,
        end=facts.moment(),
        selected=recording.selected,
        tier=settings.tier,
        threads=settings.threads,
        seed=settings.seed,
    )
    output["gradperf"]["pools"] = facts.pool_sizes()
    output["gradperf"]["environment"] = facts.environment()
    output["gradperf"]["ceilings"] = [
        {"device": device, "dtype": dtype, **asdict(found)} for (device, dtype), found in ceilings.known().items()
    ]


def lines(config: pytest.Config, width: int, *, ascii_only: bool) -> list[str]:
    """Give the tables of the run, and what could not be measured."""
    from gradperf import problems
    from gradperf.suite import table

    recording = config.stash[KEY]
    told = table.lines(recording.records(), baseline_of=problems.baseline_of, width=width, ascii_only=ascii_only)
    for reason in recording.unmeasured:
        line = f"gradperf: no first call, no memory: {reason}"
        told += wrap(
            line.encode("ascii", "replace").decode() if ascii_only else line, width, subsequent_indent="  "
        )
    return told
