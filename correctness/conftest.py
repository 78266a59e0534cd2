"""Correctness is proven in both dtypes, unless ``--dtype`` says otherwise; caught faults are counted at the end."""

from collections import Counter

import hypothesis
import pytest

from gradperf.suite import plugin

PLANTED = "planted_fault"

# A slow machine is no failure.
hypothesis.settings.register_profile(
    "patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("patient")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{PLANTED}: a test that plants one fault and sees it caught")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    plugin.parametrize(metafunc, all_dtypes=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many of the planted faults were caught; a fault is caught when its test passed from end to end."""

    def tests(*outcomes: str) -> dict[str, pytest.TestReport]:
        reports = (report for outcome in outcomes for report in terminalreporter.stats.get(outcome, ()))
        return {report.nodeid: report for report in reports if PLANTED in getattr(report, "keywords", ())}

    slipped, skipped = tests("failed", "error"), tests("skipped")
    caught = tests("passed").keys() - slipped.keys()
    if not caught and not slipped:
        return
    reasons = Counter(_reason(report) for report in skipped.values())
    told = "".join(f", {count} not planted here ({reason})" for reason, count in reasons.items())
    terminalreporter.write_line(f"caught {len(caught)} of {len(caught) + len(slipped)} planted faults{told}")


def _reason(report: pytest.TestReport) -> str:
    # A skip's report holds where it was, and "Skipped: " before its reason.
    return report.longrepr[2].removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else "skipped"
