"""Runs correctness tests in both dtypes, unless ``--dtype`` is given; counts the planted faults they catch."""

from collections import Counter

import hypothesis
import pytest

from gradperf.suite import selection

PLANTED = "planted_fault"

# A test must not fail because the machine is slow.
hypothesis.settings.register_profile(
    "patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("patient")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{PLANTED}: a test that plants one fault, which a check must catch")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    selection.parametrize(metafunc, all_dtypes=True)


@pytest.hookimpl(tryfirst=True)  # before pytest selects by markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow what compiles or traces for seconds, again and again.

    That is torch's compiler, except for what ``perf/`` times: a problem in its own dtype. And ``jax.grad``, which
    traces each step of each check, except for one problem.
    """
    from correctness.networks import SQUARE  # imports numpy, which must wait until the threads are bound
    from gradperf import problems

    for item in filter(selection.takes_case, items):
        id_ = str(selection.case_id(item))  # other tests have other cases
        if "-torch.compiled-" in id_:
            problem, *_, dtype = id_.split("-")
            network = item.callspec.params.get("network", SQUARE)  # type: ignore[attr-defined]
            is_slow = network != SQUARE or dtype != problems.find(problem).dtype
        else:
            is_slow = "-jax.grad-" in id_ and item.path.name == "test_conduct.py" and "tiny_3x2x1" not in id_
        if is_slow:
            item.add_marker(pytest.mark.slow)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show how many of the planted faults were caught; a fault is caught if its whole test passed."""

    def tests(*outcomes: str) -> dict[str, pytest.TestReport]:
        reports = (report for outcome in outcomes for report in terminalreporter.stats.get(outcome, ()))
        return {report.nodeid: report for report in reports if PLANTED in getattr(report, "keywords", ())}

    slipped, skipped = tests("failed", "error"), tests("skipped")
    caught = tests("passed").keys() - slipped.keys()
    if not caught and not slipped:
        return
    reasons = Counter(_reason(report) for report in skipped.values())
    left_out = "".join(f", {count} not planted here ({reason})" for reason, count in reasons.items())
    terminalreporter.write_line(f"caught {len(caught)} of {len(caught) + len(slipped)} planted faults{left_out}")


def _reason(report: pytest.TestReport) -> str:
    # The report of a skip holds its place, and its reason after "Skipped: ".
    return report.longrepr[2].removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else "skipped"
