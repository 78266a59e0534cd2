"""The suite as a pytest plugin: its options, and the start and the end of a run. The root ``conftest.py`` names it.

A test that takes the fixture ``case`` runs once for each case of its family, which it names with
``pytestmark = pytest.mark.family("training")``. With the fixture ``agreed`` it gets the case prepared and checked.
"""

from importlib.util import find_spec
from pathlib import Path

import pytest

from gradperf import options
from gradperf.checks import clock
from gradperf.comparison import changes
from gradperf.errors import UserError
from gradperf.machine import threads, watch
from gradperf.records import storage
from gradperf.stage import stage
from gradperf.suite import (
    duties,
    examined,
    machine_info,
    previous,
    progress,
    recording,
    saving,
    selection,
    timed,
    turn,
)
from gradperf.suite.selection import CHOICE, SETTINGS
from gradperf.text.printable import clean_lines
from gradperf.text.table import Terminal

pytest_plugins = ["gradperf.suite.fixtures"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the suite's options."""
    group = parser.getgroup("gradperf", "gradperf: what to compute")
    options.add(group.addoption)
    first_calls = "measure first calls and memory anew; else they are remembered where nothing changed"
    group.addoption("--first-calls", action="store_true", help=first_calls)
    group.addoption("--no-first-calls", action="store_true", help="leave out first calls and memory")
    no_wait = "end with an error, instead of waiting, if another run is timing on this machine"
    group.addoption("--no-wait", action="store_true", help=no_wait)
    plant = "add this share of work to each step of a case, to see it found: CASE=5%%; * matches any characters"
    group.addoption("--plant", metavar="CASE=SHARE", type=options.planted, action="append", default=[], help=plant)


@pytest.hookimpl(tryfirst=True)  # before pytest-benchmark reads its storage option
def pytest_configure(config: pytest.Config) -> None:
    """Read and check the options, and bind the threads; raises ``pytest.UsageError`` with one message."""
    for marker in selection.MARKERS:
        config.addinivalue_line("markers", marker)
    root = config.inipath.parent if config.inipath else config.rootpath
    try:
        threads.bind(config.getoption("threads"))
        from gradperf import cases

        _watch()
        choice = cases.Choice(**options.named(config.option))
        cases.check_names(choice)
        if config.getoption("first_calls") and config.getoption("no_first_calls"):
            raise UserError("--first-calls asks for what --no-first-calls leaves out; give only one of them")
        times = _times(config, root / "perf")
        if times and config.getoption("dist", "no") != "no":
            raise UserError("benchmarks cannot be timed by several processes at once: run perf without -n")
        if times:
            clock.check("--benchmark-timer", config.getoption("benchmark_timer"))
        previous.check_not_a_path(config.option.benchmark_compare)
        config.option.benchmark_storage, folder = storage.place(config.option.benchmark_storage, root)
        own = duties.of(stage(), times=times, first_calls=not config.getoption("no_first_calls"))
        if config.getoption("plant") and not own.is_recorded:
            raise UserError("--plant adds work to what `pytest perf` times, and this run times nothing of its own")
        if stage() is None:
            saving.prepare(config, folder, is_recorded=own.is_recorded)
        config.stash[CHOICE] = choice
        config.stash[SETTINGS] = cases.Settings(**{name: config.getoption(name) for name in options.SETTINGS})
        config.stash[duties.KEY] = own
        config.stash[machine_info.COMPARED] = []
        recording.begin(config, root, folder, first_calls=own.measures_first_calls)
        for part in (
            selection,
            recording,
            examined,
            timed,
            machine_info,
            saving,
            turn,
            progress,
        ):  # these have hooks too
            config.pluginmanager.register(part)
        if own.is_recorded:
            _choose_tables(config)
        if own.is_recorded and folder and config.option.benchmark_compare:
            previous.prepare(config, folder)
    except UserError as error:
        raise pytest.UsageError(clean_lines(str(error))) from None


def _watch() -> None:
    """Watch this process from now on, with all that measures and checks."""
    from gradperf.case_pairs import second  # noqa: F401 - to be watched, as the next two
    from gradperf.checks import conduct  # noqa: F401
    from gradperf.timing import estimate, lengths, moment  # noqa: F401

    watch.process.begin()


_OF_TABLES = ("columns", "sort", "group-by", "name", "histogram", "verbose")
"""Options of pytest-benchmark about its own tables."""


def _choose_tables(config: pytest.Config) -> None:
    """Leave out pytest-benchmark's tables, which are up to 187 columns wide, unless the user asked for them.

    Raises UserError if a picture is asked for that could not be drawn after all was measured.
    """
    if config.option.benchmark_histogram and find_spec("pygal") is None:
        raise UserError("--benchmark-histogram needs pygal: pip install 'pytest-benchmark[histogram]'")
    asked = tuple(f"--benchmark-{name}" for name in _OF_TABLES)
    if config.option.verbose <= 0 and not any(word.startswith(asked) for word in recording.command(config)):
        config.option.benchmark_quiet = True


def _times(config: pytest.Config, benchmarks: Path) -> bool:
    """Return whether this run will time anything: only then is there something to save."""
    if config.option.collectonly or config.option.benchmark_disable or config.option.benchmark_skip:
        return False
    asked = [(config.invocation_params.dir / arg.partition("::")[0]).resolve() for arg in config.args]
    return any(path in (benchmarks, *benchmarks.parents) or benchmarks in path.parents for path in asked)


def pytest_report_header(config: pytest.Config) -> str:
    """Show what all cases of this run have in common."""
    settings = config.stash[SETTINGS]
    waiting = f" ({threads.waiting()})" if settings.threads > 1 else ""
    return f"gradperf: tier {settings.tier}, threads {settings.threads}{waiting}, seed {settings.seed}"


def pytest_sessionstart(session: pytest.Session) -> None:
    """Raise ``pytest.UsageError`` if something that the user named cannot run here, before anything runs."""
    from gradperf import cases

    config = session.config
    choice, settings = config.stash[CHOICE], config.stash[SETTINGS]
    try:
        previous.check_loaded(config)
        if config.stash[duties.KEY].refuses_named and any(values for _, values in choice.items()):
            cases.check_named_can_run(cases.chosen(choice, settings), choice, settings.threads)
    except UserError as error:
        raise pytest.UsageError(clean_lines(str(error))) from None


def _tables(config: pytest.Config) -> list[str]:
    """Return the tables; with the changes since the run compared with, if that is one run."""
    runs = config.stash.get(previous.KEY, previous.Previous()).runs
    if len(runs) != 1:
        return recording.lines(config, Terminal.of_output(), None, "seconds")
    basis = changes.basis(runs[0], machine_info.as_stored(machine_info.own(config)))
    return recording.lines(config, Terminal.of_output(), runs[0].benchmarks, basis)


_NEXT = (
    "each case was checked before and after its timing: results, work, conduct (docs/checks.md). Next: "
    "`gradperf show` for all columns, `gradperf report` for pictures, "
    "`pytest perf --benchmark-compare` after a change"
)


@pytest.hookimpl(trylast=True)  # after pytest-benchmark's tables
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show the tables, and warn if the runs compared differ in more than the code."""
    compared, write_line = config.stash[machine_info.COMPARED], terminalreporter.write_line
    # pytest's own option; the warnings below stay.
    if not config.getoption("no_summary") and (tables := _tables(config)):
        terminalreporter.section("gradperf", sep="-", bold=True)
        for line in tables:
            write_line(line)
    passed: set[str] = {report.nodeid for report in terminalreporter.getreports("passed") if report.when == "call"}
    if compared and (alone := passed.difference(*(run.benchmarks for run in compared))):
        write_line(f"gradperf: {len(alone)} of {len(passed)} benchmarks are not in the run compared with")
    for warning in (warning for run in compared for warning in run.warnings):
        write_line(f"gradperf: WARNING: {warning}")
    if previous.KEY in config.stash:
        for note in config.stash[previous.KEY].notes:
            write_line(f"gradperf: {note}")
    if saving.KEY in config.stash:
        for line in config.stash[saving.KEY].lines:
            write_line(f"gradperf: {line}")
    if config.stash[recording.KEY].finished and config.option.verbose <= 0:
        for line in Terminal.of_output().wrap(_NEXT, start="gradperf: "):
            write_line(line)
