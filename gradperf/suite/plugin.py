"""The suite as a pytest plugin: its options and hooks. The root ``conftest.py`` names it.

A test that takes the fixture ``case`` runs once for each case of its family, which it names with
``pytestmark = pytest.mark.family("training")``. With the fixture ``agreed`` it gets the case prepared and checked.
"""

import shutil
import sys
import warnings
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from gradperf import options
from gradperf.checks import clock
from gradperf.errors import UserError
from gradperf.machine import threads
from gradperf.pairs.stage import stage
from gradperf.suite import duties, recording, selection
from gradperf.suite.selection import CHOICE, SETTINGS
from gradperf.text.printable import SIGNS, encodes
from gradperf.text.table import Terminal

pytest_plugins = ["gradperf.suite.fixtures"]

_COMPARED = pytest.StashKey[list[str]]()
"""One entry for each run compared with: how its machine and settings differ, or an empty text."""
_COUNTERPARTS = pytest.StashKey[set[str]]()
"""Ids of the benchmarks in the runs compared with."""

BENCHMARKS = "perf"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the suite's options."""
    group = parser.getgroup("gradperf", "gradperf: what to compute")
    options.add(group.addoption)
    group.addoption(
        "--no-first-calls",
        action="store_true",
        help="start no fresh processes: neither first calls nor memory are measured, and a run takes half the time",
    )


@pytest.hookimpl(tryfirst=True)  # before pytest-benchmark reads its storage option
def pytest_configure(config: pytest.Config) -> None:
    """Read and check the options, and bind the threads; raises ``pytest.UsageError`` with one message."""
    for marker in selection.MARKERS:
        config.addinivalue_line("markers", marker)
    root = config.inipath.parent if config.inipath else config.rootpath
    try:
        threads.bind(config.getoption("threads"))
        from gradperf import cases
        from gradperf.suite import storage

        choice = cases.Choice(**options.named(config.option))
        cases.check_names(choice)
        times = _times(config, root / BENCHMARKS)
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
    recording.begin(config, config.stash[SETTINGS], first_calls=own.measures_first_calls)
    config.stash[_COMPARED] = []
    config.stash[_COUNTERPARTS] = set[str]()
    if config.option.benchmark_compare is True:
        # The end of the run says it.
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
    return f"gradperf: tier {settings.tier}, threads {settings.threads}, seed {settings.seed}"


def pytest_sessionstart(session: pytest.Session) -> None:
    """Raise ``pytest.UsageError`` if something that the user named cannot run here, before anything runs."""
    from gradperf import cases

    config = session.config
    wanted = config.option.benchmark_compare
    if isinstance(wanted, str) and not config.stash[_COMPARED]:
        raise pytest.UsageError(
            f"--benchmark-compare={wanted}: no such recorded run in {config.option.benchmark_storage}"
        )
    choice, settings = config.stash[CHOICE], config.stash[SETTINGS]
    if config.stash[duties.KEY].refuses_named and any(values for _, values in choice.items()):
        try:
            cases.check_named_can_run(cases.chosen(choice, settings), choice, settings.threads)
        except UserError as error:
            raise pytest.UsageError(str(error)) from None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put all tests of one case together."""
    selection.arrange(config, items)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Count the benchmarks to be timed."""
    recording.count_selected(session.config, session.items)


@pytest.hookimpl(wrapper=True, tryfirst=True)  # around pytest-benchmark's wrapper, which saves
def pytest_sessionfinish(session: pytest.Session) -> Generator[None]:
    """Complete the record of the run before it is saved."""
    recording.complete(session.config)
    return (yield)


@pytest.hookimpl(trylast=True)  # after pytest-benchmark's tables
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show the tables, and warn if the runs compared differ in more than the code."""
    compared, write_line = config.stash[_COMPARED], terminalreporter.write_line
    # pytest's own option; the warnings below stay.
    if not config.getoption("no_summary"):
        terminal = Terminal(shutil.get_terminal_size().columns, not encodes(sys.stdout.encoding, SIGNS))
        if tables := recording.lines(config, terminal):
            terminalreporter.section("gradperf", sep="-", bold=True)
            for line in tables:
                write_line(line)
    passed: set[str] = {report.nodeid for report in terminalreporter.getreports("passed") if report.when == "call"}
    recorded = config.stash[_COUNTERPARTS]
    if compared and (alone := passed - recorded):
        write_line(f"gradperf: {len(alone)} of {len(passed)} benchmarks are not in the run compared with")
    if config.option.benchmark_compare is True and not compared:
        write_line("gradperf: there was no recorded run to compare with")
    for difference in filter(None, compared):
        write_line(f"gradperf: WARNING: {difference}")


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    """Add the facts of the machine, and the settings that all cases of a run have in common."""
    from gradperf.suite import storage

    settings = config.stash[SETTINGS]
    storage.describe_machine(machine_info)
    machine_info["settings"] = {"tier": settings.tier, "threads": settings.threads, "seed": settings.seed}


def pytest_benchmark_update_json(config: pytest.Config, output_json: dict[str, Any]) -> None:
    """Add the facts of the run."""
    recording.describe_run(config, output_json)


@pytest.hookimpl(tryfirst=True)  # before pytest-benchmark's own, which then has nothing to report
def pytest_benchmark_compare_machine_info(
    config: pytest.Config, machine_info: dict[str, Any], compared_benchmark: dict[str, Any]
) -> None:
    """Note a run compared with, and how its machine or settings differ."""
    from gradperf.suite import storage

    differences = [storage.compare_machines(machine_info, compared_benchmark)]
    if (part := storage.incomplete(compared_benchmark)) is not None:
        differences.append(f"the run compared with is incomplete: {part}")
    config.stash[_COMPARED].append("\n".join(filter(None, differences)))
    config.stash[_COUNTERPARTS].update(benchmark["fullname"] for benchmark in compared_benchmark["benchmarks"])
