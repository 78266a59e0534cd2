"""Hands gradperf's hooks to pytest.

No framework and no numpy is imported here, nor by what is imported here: ``pytest-benchmark compare`` loads this
file too, and the threads must be bound before numpy.
"""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from gradperf.suite import plugin, recording
from gradperf.suite.plugin import agreed, case, choice, rounds_for, settings  # noqa: F401 - the same
from gradperf.suite.recording import examined, timed  # noqa: F401 - fixtures, found by name

ROOT = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    plugin.add_options(parser)


@pytest.hookimpl(tryfirst=True)  # before pytest-benchmark reads its storage option
def pytest_configure(config: pytest.Config) -> None:
    plugin.configure(config, ROOT)


def pytest_sessionstart(session: pytest.Session) -> None:
    plugin.check_can_run(session.config)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    plugin.arrange(config, items)


def pytest_collection_finish(session: pytest.Session) -> None:
    recording.count_selected(session.config, session.items)


@pytest.hookimpl(wrapper=True, tryfirst=True)  # around pytest-benchmark's wrapper, which saves
def pytest_sessionfinish(session: pytest.Session) -> Generator[None]:
    recording.complete(session.config)
    return (yield)


def pytest_report_header(config: pytest.Config) -> str:
    return plugin.report_header(config)


@pytest.hookimpl(trylast=True)  # after pytest-benchmark's tables
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    plugin.summarise(terminalreporter, config)


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    plugin.describe_machine(config, machine_info)


def pytest_benchmark_update_json(config: pytest.Config, output_json: dict[str, Any]) -> None:
    recording.describe_run(config, output_json)


@pytest.hookimpl(tryfirst=True)  # before pytest-benchmark's own, which it leaves nothing to say
def pytest_benchmark_compare_machine_info(
    config: pytest.Config, machine_info: dict[str, Any], compared_benchmark: dict[str, Any]
) -> None:
    plugin.compare_machines(config, machine_info, compared_benchmark)
