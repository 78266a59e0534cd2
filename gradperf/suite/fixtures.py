"""The fixtures of the suite: a case, prepared and checked, and what the run has in common."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from gradperf.suite import progress, selection
from gradperf.suite.duties import KEY as DUTIES
from gradperf.suite.duties import Duties
from gradperf.suite.selection import CHOICE, SETTINGS

if TYPE_CHECKING:  # both import numpy, which must wait until the threads are bound
    from gradperf.cases import Case, Choice, Settings
    from gradperf.checks.agreement import Agreed

_LAST: "pytest.StashKey[Agreed]" = pytest.StashKey()
"""The last case that agreed; its other tests come next."""


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> "Settings":
    """Return tier, threads and seed of this run."""
    return request.config.stash[SETTINGS]


@pytest.fixture
def choice(request: pytest.FixtureRequest) -> "Choice":
    """Return what the user named."""
    return request.config.stash[CHOICE]


@pytest.fixture
def duties(request: pytest.FixtureRequest) -> Duties:
    """Return what this process does besides timing."""
    return request.config.stash[DUTIES]


@pytest.fixture
def case(request: pytest.FixtureRequest, settings: "Settings") -> "Case":
    """Return the case of this test, or skip the test if it cannot run here."""
    from gradperf import cases

    found = cases.find(request.param, settings)
    if reason := cases.obstacle(found, settings.threads) or selection.Family.of(request.node).lacks(found):
        pytest.skip(reason)
    return found


@pytest.fixture
def agreed(request: pytest.FixtureRequest, case: "Case", settings: "Settings", duties: Duties) -> "Agreed":
    """Return the case, prepared and in agreement with the reference: only such a case is timed."""
    from gradperf.checks import agreement

    last = request.config.stash.get(_LAST, None)
    if last is None or last.case != case:
        progress.phase(request.config, "checking")
        if duties.is_recorded:  # its timed calls are short, and are checked by themselves
            last = agreement.agree(case, settings, whole_calls=1)
        else:
            last = (agreement.agree if duties.checks_fully else agreement.agree_again)(case, settings)
        request.config.stash[_LAST] = last
    return last


@pytest.fixture
def rounds_for(request: pytest.FixtureRequest) -> Callable[[Callable[[], Any]], int]:
    """Return ``rounds_for(call)``: as many rounds as a plain benchmark of ``call`` takes with these options."""
    most_s = float(request.config.getoption("benchmark_max_time"))
    least: int = request.config.getoption("benchmark_min_rounds")

    def rounds(call: Callable[[], Any]) -> int:
        start_s = time.perf_counter()
        call()
        return max(least, int(most_s / (time.perf_counter() - start_s)))

    return rounds
