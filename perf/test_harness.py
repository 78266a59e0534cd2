"""The harness times itself: a style that does nothing, through the path that every case takes."""

import pytest

from gradperf.agreement import check_timed

pytestmark = pytest.mark.family("nothing", always=True)


def test_harness(agreed, described, benchmark):
    described(agreed)
    check_timed(agreed, benchmark(agreed.run))
