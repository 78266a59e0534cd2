"""One derivative at all points per call."""

import pytest

from gradperf.agreement import check_timed

pytestmark = pytest.mark.family("derivative")


def test_derivative(agreed, described, benchmark):
    described(agreed)
    check_timed(agreed, benchmark(agreed.run))
