"""The pytest side of the suite: options, the cases of a test, and what is written beside each timing.

The root ``conftest.py`` hands these hooks to pytest. A test that takes the fixture ``case`` is run once per case
of its family, which it names with ``pytestmark = pytest.mark.family("training")``; with the fixture ``agreed`` it
gets the case prepared and checked against the reference.
"""

import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gradperf import options, threads
from gradperf.names import UserError

if TYPE_CHECKING:  # both import numpy, which must wait until the threads are bound
    from gradperf.agreement import Agreed
    from gradperf.cases import Case, Choice, Settings

_CHOICE: "pytest.StashKey[Choice]" = pytest.StashKey()
_SETTINGS: "pytest.StashKey[Settings]" = pytest.StashKey()
_COMPARED = pytest.StashKey[list[str]]()
"""One entry for each run compared with: what differs from this machine, or nothing."""
_COUNTERPARTS: "pytest.StashKey[set[str]]" = pytest.StashKey()
"""Ids of the benchmarks in the runs compared with."""

BENCHMARKS = "perf"


def add_options(parser: pytest.Parser) -> None:
    """Add the suite's options to pytest."""
    options.add(parser.getgroup("gradperf", "gradperf: what to compute").addoption)


def configure(config: pytest.Config, root: Path) -> None:
    """Read and check the options, and bind the threads; raises ``pytest.UsageError`` with one message."""
    config.addinivalue_line(
        "markers", "family(name, offers, problem): the family of problems whose cases a test takes"
    )
    config.addinivalue_line("markers", "without_case: a test to which the options leave no case; it is deselected")
    try:
        tier = options.tier(config.getoption("tier"))
        count = options.threads(config.getoption("threads"))
        seed = options.whole_number("seed", config.getoption("seed"), least=0)
        threads.bind(count)
        from gradperf import cases, results

        named = {axis: options.names(axis, config.getoption(axis)) for axis in options.AXES}
        choice = cases.Choice(**named)
        cases.check_names(choice)
        times = _times(config, root / BENCHMARKS)
        if times and config.getoption("dist", "no") != "no":
            raise UserError("benchmarks cannot be timed by several processes at once: run perf without -n")
        results.prepare_storage(config.option, root, saves=times)
    except UserError as error:
        raise pytest.UsageError(str(error)) from None
    config.stash[_CHOICE] = choice
    config.stash[_SETTINGS] = cases.Settings(tier, count, seed)
    config.stash[_COMPARED] = []
    config.stash[_COUNTERPARTS] = set[str]()
    if config.option.benchmark_compare is True:
        # Said in words at the end of the run.
        warnings.filterwarnings("ignore", message="Can't compare. No benchmark files")


def _times(config: pytest.Config, benchmarks: Path) -> bool:
    """Tell whether this run will time anything: only then is there something to save."""
    if config.option.collectonly or config.option.benchmark_disable or config.option.benchmark_skip:
        return False
    asked = [(config.invocation_params.dir / arg.partition("::")[0]).resolve() for arg in config.args]
    return any(path in (benchmarks, *benchmarks.parents) or benchmarks in path.parents for path in asked)


def compare_machines(config: pytest.Config, ours: dict[str, Any], compared: dict[str, Any]) -> None:
    """Note that a run is compared with, and in what its machine or settings differ."""
    from gradperf import results

    config.stash[_COMPARED].append(results.compare_machines(ours, compared) or "")
    config.stash[_COUNTERPARTS].update(benchmark["fullname"] for benchmark in compared["benchmarks"])


def describe_machine(config: pytest.Config, info: dict[str, Any]) -> None:
    """Complete pytest-benchmark's machine info; what all cases of a run have in common belongs to it."""
    from gradperf import results

    settings = config.stash[_SETTINGS]
    results.describe_machine(info)
    info["settings"] = {"tier": settings.tier, "threads": settings.threads, "seed": settings.seed}


def report_header(config: pytest.Config) -> str:
    """Say what all cases of this run have in common."""
    settings = config.stash[_SETTINGS]
    return f"gradperf: tier {settings.tier}, threads {settings.threads}, seed {settings.seed}"


def summarise(reporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say at the end, where ``-q`` does not drop it, whether the comparison compares like with like."""
    compared, write_line = config.stash[_COMPARED], reporter.write_line
    timed: set[str] = {report.nodeid for report in reporter.getreports("passed") if report.when == "call"}
    recorded = config.stash[_COUNTERPARTS]
    if compared and (alone := timed - recorded):
        write_line(f"gradperf: {len(alone)} of {len(timed)} benchmarks are not in the run compared with")
    if config.option.benchmark_compare is True and not compared:
        write_line("gradperf: there was no recorded run to compare with")
    for told in filter(None, compared):
        write_line(f"gradperf: WARNING: {told}")


def check_can_run(config: pytest.Config) -> None:
    """Refuse, before anything runs, what the user named and this machine cannot do."""
    from gradperf import cases

    wanted = config.option.benchmark_compare
    if isinstance(wanted, str) and not config.stash[_COMPARED]:
        raise pytest.UsageError(
            f"--benchmark-compare={wanted}: no such recorded run in {config.option.benchmark_storage}"
        )
    choice, settings = config.stash[_CHOICE], config.stash[_SETTINGS]
    if any(values for _, values in choice.items()):
        try:
            cases.check_named_can_run(cases.chosen(choice, settings), choice, settings.threads)
        except UserError as error:
            raise pytest.UsageError(str(error)) from None


def parametrize(metafunc: pytest.Metafunc, *, all_dtypes: bool) -> None:
    """Give a test with the fixture ``case`` the cases of its family; those that cannot run are skipped here.

    ``pytest.mark.family("training", offers="phases")`` leaves out the styles that do not offer that function;
    ``problem="tiny_3x2x1"`` takes the styles of one problem alone.
    """
    if "case" not in metafunc.fixturenames:
        return
    from gradperf import cases

    marker = metafunc.definition.get_closest_marker("family")
    assert marker is not None, f"{metafunc.definition.nodeid} takes a case and names no family"
    choice, settings = metafunc.config.stash[_CHOICE], metafunc.config.stash[_SETTINGS]
    offers = marker.kwargs.get("offers", "prepare")
    parameters = []
    for case in cases.chosen(choice, settings, all_dtypes=all_dtypes):
        if case.problem.family != marker.args[0]:
            continue
        if case.problem.name != marker.kwargs.get("problem", case.problem.name):
            continue
        reason = cases.obstacle(case, settings.threads)
        if reason is None and not hasattr(case.module, offers):
            continue
        marks = [pytest.mark.skip(reason=reason)] if reason else []
        # The id alone is the parameter: pytest-benchmark would store any other object by its address.
        parameters.append(pytest.param(case.id, id=case.id, marks=marks))
    if not parameters:
        parameters = [pytest.param("", id="none", marks=pytest.mark.without_case)]
    metafunc.parametrize("case", parameters, indirect=True)


def drop_without_case(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests to which the user's choice leaves no case: they are not skipped, they are not there."""
    empty = [item for item in items if item.get_closest_marker("without_case")]
    if empty:
        config.hook.pytest_deselected(items=empty)
        items[:] = [item for item in items if item not in empty]


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> "Settings":
    """Tier, threads and seed of this run."""
    return request.config.stash[_SETTINGS]


@pytest.fixture
def choice(request: pytest.FixtureRequest) -> "Choice":
    """Give what the user named."""
    return request.config.stash[_CHOICE]


@pytest.fixture
def case(request: pytest.FixtureRequest, settings: "Settings") -> "Case":
    """Give the case that this test is about."""
    from gradperf import cases

    return cases.find(request.param, settings)


@pytest.fixture
def agreed(case: "Case", settings: "Settings") -> "Agreed":
    """Give the case, prepared and in agreement with the reference: only such a case is timed."""
    from gradperf import agreement

    return agreement.agree(case, settings)


@pytest.fixture
def described(benchmark: Any, settings: "Settings") -> Iterator[Callable[..., None]]:
    """Give ``describe(agreed, part)``: names a benchmark's table and writes beside the timing what was timed.

    ``part`` is the half of a step that is timed, "forward" or "backward"; nothing where it is the whole. What comes
    after the call is the timing, over which CPU seconds per second are taken.
    """

    def describe(agreed: "Agreed", part: str | None = None) -> None:
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
        start_s[:] = time.perf_counter(), time.process_time()

    start_s: list[float] = []
    yield describe
    if start_s:
        wall_s, cpu_s = time.perf_counter() - start_s[0], time.process_time() - start_s[1]
        benchmark.extra_info["cpu_per_wall"] = cpu_s / wall_s


@pytest.fixture
def rounds_for(request: pytest.FixtureRequest) -> Callable[[Callable[[], Any]], int]:
    """Give ``rounds_for(call)``: as many rounds as pytest-benchmark's own options would give a plain benchmark."""
    most_s = float(request.config.getoption("benchmark_max_time"))
    least: int = request.config.getoption("benchmark_min_rounds")

    def rounds(call: Callable[[], Any]) -> int:
        start_s = time.perf_counter()
        call()
        return max(least, int(most_s / (time.perf_counter() - start_s)))

    return rounds
