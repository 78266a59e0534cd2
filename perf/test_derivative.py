"""The derivative at all points, several times in one call."""

import pytest

from gradperf.checks.agreement import check_timed

pytestmark = pytest.mark.family("derivative")


def test_derivative(examined, timed, benchmark):
    with timed(examined):
        check_timed(examined, benchmark(examined.run))
