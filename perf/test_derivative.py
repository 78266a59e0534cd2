"""The derivative at all points, as often in one call as the problem says."""

import pytest

from gradperf.checks.agreement import check_timed

pytestmark = pytest.mark.family("derivative")


def test_derivative(examined, timed, benchmark):
    with timed(examined):
        check_timed(examined, benchmark(examined.run))
