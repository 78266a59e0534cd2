"""Hands gradperf's hooks to pytest.

No framework and no numpy is imported here, nor by what is imported here: ``pytest-benchmark compare`` loads this
file too, and the threads must be bound before numpy.
"""

from pathlib import Path
from typing import Any

import pytest

from gradperf import suite
from gradperf.suite import agreed, case, choice, described, rounds_for, settings  # noqa: F401 - fixtures, found by name

ROOT = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    suite.add_options(parser)


@pytest.hookimpl(tryfirst=True)  # before pytest-benchmark reads its storage option
def pytest_configure(config: pytest.Config) -> None:
    suite.configure(config, ROOT)


def pytest_sessionstart(session: pytest.Session) -> None:
    suite.check_can_run(session.config)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    suite.drop_without_case(config, items)


def pytest_report_header(config: pytest.Config) -> str:
    return suite.report_header(config)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    suite.summarise(terminalreporter, config)


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    suite.describe_machine(config, machine_info)


@pytest.hookimpl(tryfirst=True)  # before pytest-benchmark's own, which it leaves nothing to say
def pytest_benchmark_compare_machine_info(
    config: pytest.Config, machine_info: dict[str, Any], compared_benchmark: dict[str, Any]
) -> None:
    suite.compare_machines(config, machine_info, compared_benchmark)
