"""The suite as a pytest plugin: its options, and the start and the end of a run. The root ``conftest.py`` names it.

A test that takes the fixture ``case`` runs once for each case of its family, which it names with
``pytestmark = pytest.mark.family("training")``. With the fixture ``agreed`` it gets the case prepared and checked.
"""

import warnings
from pathlib import Path

import pytest

from gradperf import options
from gradperf.checks import clock
from gradperf.errors import UserError
from gradperf.machine import threads
from gradperf.stage import stage
from gradperf.suite import duties, machine_info, recording, selection, storage
from gradperf.suite.selection import CHOICE, SETTINGS
from gradperf.text.table import Terminal

pytest_plugins = ["gradperf.suite.fixtures"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the suite's options."""
    group = parser.getgroup("gradperf", "gradperf: what to compute")
    options.add(group.addoption)
    no_first_calls = "do not measure first calls and memory; a run then takes half the time"
    group.addoption("--no-first-calls", action="store_true", help=no_first_calls)


@pytest.hookimpl(tryfirst=True)  # before pytest-benchmark reads its storage option
def pytest_configure(config: pytest.Config) -> None:
    """Read and check the options, and bind the threads; raises ``pytest.UsageError`` with one message."""
    for marker in selection.MARKERS:
        config.addinivalue_line("markers", marker)
    root = config.inipath.parent if config.inipath else config.rootpath
    try:
        threads.bind(config.getoption("threads"))
        from gradperf import cases

        choice = cases.Choice(**options.named(config.option))
        cases.check_names(choice)
        times = _times(config, root / "perf")
        if times and config.getoption("dist", "no") != "no":
            raise UserError("benchmarks cannot be timed by several processes at once: run perf without -n")
        if times:
            clock.check("--benchmark-timer", config.getoption("benchmark_timer"))
        storage.prepare_storage(config.option, root, saves=times)
    except UserError as error:
        raise pytest.UsageError(str(error)) from None
    config.stash[CHOICE] = choice
    config.stash[SETTINGS] = cases.Settings(**{name: config.getoption(name) for name in options.SETTINGS})
    own = duties.of(stage(), first_calls=times and not config.getoption("no_first_calls"))
    config.stash[duties.KEY] = own
    recording.begin(config, first_calls=own.measures_first_calls)
    config.stash[machine_info.COMPARED] = []
    for part in (selection, recording, machine_info):  # these have hooks and fixtures too
        config.pluginmanager.register(part)
    if config.option.benchmark_compare is True:
        # Reported at the end of the run.
        warnings.filterwarnings("ignore", message="Can't compare. No benchmark files")


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
    wanted = config.option.benchmark_compare
    if isinstance(wanted, str) and not config.stash[machine_info.COMPARED]:
        raise pytest.UsageError(
            f"--benchmark-compare={wanted}: no such recorded run in {config.option.benchmark_storage}"
        )
    choice, settings = config.stash[CHOICE], config.stash[SETTINGS]
    if config.stash[duties.KEY].refuses_named and any(values for _, values in choice.items()):
        try:
            cases.check_named_can_run(cases.chosen(choice, settings), choice, settings.threads)
        except UserError as error:
            raise pytest.UsageError(str(error)) from None


@pytest.hookimpl(trylast=True)  # after pytest-benchmark's tables
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show the tables, and warn if the runs compared differ in more than the code."""
    compared, write_line = config.stash[machine_info.COMPARED], terminalreporter.write_line
    # pytest's own option; the warnings below stay.
    if not config.getoption("no_summary") and (tables := recording.lines(config, Terminal.of_output())):
        terminalreporter.section("gradperf", sep="-", bold=True)
        for line in tables:
            write_line(line)
    passed: set[str] = {report.nodeid for report in terminalreporter.getreports("passed") if report.when == "call"}
    if compared and (alone := passed.difference(*(run.benchmarks for run in compared))):
        write_line(f"gradperf: {len(alone)} of {len(passed)} benchmarks are not in the run compared with")
    if config.option.benchmark_compare is True and not compared:
        write_line("gradperf: there was no recorded run to compare with")
    for warning in (warning for run in compared for warning in run.warnings):
        write_line(f"gradperf: WARNING: {warning}")
