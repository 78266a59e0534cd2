"""The derivative at all points, as often in one call as the problem says."""

import pytest

from gradperf.agreement import check_timed

pytestmark = pytest.mark.family("derivative")


def test_derivative(agreed, described, benchmark):
    described(agreed)
    check_timed(agreed, benchmark(agreed.run))
