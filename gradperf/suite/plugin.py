"""The pytest side of the suite: its options, and the cases of a test.

The root ``conftest.py`` hands these hooks to pytest. A test that takes the fixture ``case`` is run once per case
of its family, which it names with ``pytestmark = pytest.mark.family("training")``; with the fixture ``agreed`` it
gets the case prepared and checked against the reference.
"""

import shutil
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gradperf import options
from gradperf.checks import clock
from gradperf.errors import UserError
from gradperf.machine import threads
from gradperf.pairs.stage import stage
from gradperf.suite import recording

if TYPE_CHECKING:  # both import numpy, which must wait until the threads are bound
    from gradperf.cases import Case, Choice, Settings
    from gradperf.checks.agreement import Agreed

_CHOICE: "pytest.StashKey[Choice]" = pytest.StashKey()
_SETTINGS: "pytest.StashKey[Settings]" = pytest.StashKey()
_COMPARED = pytest.StashKey[list[str]]()
"""One entry for each run compared with: what differs from this machine, or nothing."""
_COUNTERPARTS: "pytest.StashKey[set[str]]" = pytest.StashKey()
"""Ids of the benchmarks in the runs compared with."""

_LAST: "pytest.StashKey[Agreed]" = pytest.StashKey()
"""The last case that agreed; its other tests come next."""

BENCHMARKS = "perf"


def add_options(parser: pytest.Parser) -> None:
    """Add the suite's options to pytest."""
    group = parser.getgroup("gradperf", "gradperf: what to compute")
    options.add(group.addoption)
    group.addoption(
        "--no-first-calls",
        action="store_true",
        help="start no fresh processes: neither first calls nor memory are measured, and a run takes half the time",
    )


def configure(config: pytest.Config, root: Path) -> None:
    """Read and check the options, and bind the threads; raises ``pytest.UsageError`` with one message."""
    config.addinivalue_line(
        "markers",
        "family(name, offers, problem, always, published): the family of problems whose cases a test takes",
    )
    config.addinivalue_line("markers", "without_case: a test to which the options leave no case; it is deselected")
    config.addinivalue_line("markers", "gate(group, control): timed by `gradperf gate` unless it is told otherwise")
    try:
        tier = options.tier(config.getoption("tier"))
        count = options.threads(config.getoption("threads"))
        seed = options.whole_number("seed", config.getoption("seed"), least=0)
        threads.bind(count)
        from gradperf import cases
        from gradperf.suite import storage

        named = {axis: options.names(axis, config.getoption(axis)) for axis in options.AXES}
        choice = cases.Choice(**named)
        cases.check_names(choice)
        times = _times(config, root / BENCHMARKS)
        if times and config.getoption("dist", "no") != "no":
            raise UserError("benchmarks cannot be timed by several processes at once: run perf without -n")
        if times:
            clock.check("--benchmark-timer", config.getoption("benchmark_timer"))
        storage.prepare_storage(config.option, root, saves=times)
    except UserError as error:
        raise pytest.UsageError(str(error)) from None
    config.stash[_CHOICE] = choice
    config.stash[_SETTINGS] = cases.Settings(tier, count, seed)
    first_calls = times and stage() is None and not config.getoption("no_first_calls")
    recording.begin(config, config.stash[_SETTINGS], first_calls=first_calls)
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
    from gradperf.suite import storage

    told = [storage.compare_machines(ours, compared)]
    if (part := storage.incomplete(compared)) is not None:
        told.append(f"the run compared with is incomplete: {part}")
    config.stash[_COMPARED].append("\n".join(filter(None, told)))
    config.stash[_COUNTERPARTS].update(benchmark["fullname"] for benchmark in compared["benchmarks"])


def describe_machine(config: pytest.Config, info: dict[str, Any]) -> None:
    """Complete pytest-benchmark's machine info; what all cases of a run have in common belongs to it."""
    from gradperf.suite import storage

    settings = config.stash[_SETTINGS]
    storage.describe_machine(info)
    info["settings"] = {"tier": settings.tier, "threads": settings.threads, "seed": settings.seed}


def report_header(config: pytest.Config) -> str:
    """Say what all cases of this run have in common."""
    settings = config.stash[_SETTINGS]
    return f"gradperf: tier {settings.tier}, threads {settings.threads}, seed {settings.seed}"


def summarise(reporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show the tables; say, where ``-q`` does not drop it, whether the comparison compares like with like."""
    from gradperf.commands import show
    from gradperf.suite import table

    compared, write_line = config.stash[_COMPARED], reporter.write_line
    # pytest's own option; the warnings below stay.
    if not config.getoption("no_summary"):
        ascii_only = not show.encodes(sys.stdout.encoding, table.SIGNS)
        if tables := recording.lines(config, shutil.get_terminal_size().columns, ascii_only=ascii_only):
            reporter.section("gradperf", sep="-", bold=True)
            for line in tables:
                write_line(line)
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
    # The gate asks once, while listing: to try all frameworks in each process would take most of its time.
    asks = stage() in (None, "list") and any(values for _, values in choice.items())
    if asks:
        try:
            cases.check_named_can_run(cases.chosen(choice, settings), choice, settings.threads)
        except UserError as error:
            raise pytest.UsageError(str(error)) from None


def parametrize(metafunc: pytest.Metafunc, *, all_dtypes: bool) -> None:
    """Give a test with the fixture ``case`` the cases of its family; those that cannot run are skipped here.

    ``pytest.mark.family("training", offers="phases")`` leaves out the styles that do not offer that function;
    ``problem="tiny_3x2x1"`` takes the styles of one problem alone, ``always=True`` all of them whatever was chosen;
    ``published=True`` keeps to the dtypes that problems were published in, as ``all_dtypes=False`` does.
    """
    if "case" not in metafunc.fixturenames:
        return
    from gradperf import cases
    from gradperf.suite import gate_set

    marker = metafunc.definition.get_closest_marker("family")
    assert marker is not None, f"{metafunc.definition.nodeid} takes a case and names no family"
    choice, settings = metafunc.config.stash[_CHOICE], metafunc.config.stash[_SETTINGS]
    offers = marker.kwargs.get("offers", "prepare")
    parameters = []
    if marker.kwargs.get("always"):
        choice = cases.Choice()
    all_dtypes = all_dtypes and not marker.kwargs.get("published")
    for case in cases.chosen(choice, settings, all_dtypes=all_dtypes):
        if case.problem.family != marker.args[0]:
            continue
        if case.problem.name != marker.kwargs.get("problem", case.problem.name):
            continue
        marks = []
        if stage() is None:  # The gate imports a framework when its first case runs; `case` asks again.
            reason = cases.obstacle(case, settings.threads)
            if reason is None and getattr(case.implementation, offers) is None:
                continue
            if reason:
                marks.append(pytest.mark.skip(reason=reason))
        what = (case.problem.name, f"{case.framework}.{case.style}")
        if what in gate_set.CASES and offers == "prepare" and case.device == "cpu":
            marks.append(pytest.mark.gate(group=case.framework, control=what[1] == gate_set.CONTROL))
        # The id alone is the parameter: pytest-benchmark would store any other object by its address.
        parameters.append(pytest.param(case.id, id=case.id, marks=marks))
    if not parameters:
        parameters = [pytest.param("", id="none", marks=pytest.mark.without_case)]
    metafunc.parametrize("case", parameters, indirect=True)


def arrange(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Bring all tests of one case together, so that it is prepared and checked once.

    Tests to which the user's choice leaves no case are deselected: they are not skipped, they are not there.
    """
    empty = [item for item in items if item.get_closest_marker("without_case")]
    if empty:
        config.hook.pytest_deselected(items=empty)
    first: dict[str, int] = {}
    places = {}
    for place, item in enumerate(items):
        case = getattr(item, "callspec", None) and item.callspec.params.get("case")  # type: ignore[attr-defined]
        places[item] = first.setdefault(case, place) if case else place
    items[:] = sorted((item for item in items if item not in empty), key=places.__getitem__)


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

    found = cases.find(request.param, settings)
    if reason := cases.obstacle(found, settings.threads):
        pytest.skip(reason)
    marker = request.node.get_closest_marker("family")
    if getattr(found.implementation, offers := marker.kwargs.get("offers", "prepare")) is None:
        pytest.skip(f"{found.framework}.{found.style} has no {offers}")
    return found


@pytest.fixture
def agreed(request: pytest.FixtureRequest, case: "Case", settings: "Settings") -> "Agreed":
    """Give the case, prepared and in agreement with the reference: only such a case is timed."""
    from gradperf.checks import agreement

    last = request.config.stash.get(_LAST, None)
    if last is None or last.case != case:
        agree = agreement.agree_again if stage() == "repeat" else agreement.agree
        request.config.stash[_LAST] = last = agree(case, settings)
    return last


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
