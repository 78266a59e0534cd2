"""Times the harness: a style that does nothing, on the path that every case takes.

Each round is one call, as for the shortest cases, so the clock is read twice for each call.
"""

import pytest

from gradperf.checks.agreement import check_timed

pytestmark = pytest.mark.family("nothing", always=True)


def test_harness(examined, timed, benchmark):
    with timed(examined):
        check_timed(examined, benchmark.pedantic(examined.run, rounds=10_000, warmup_rounds=1_000))
