"""Matrix products: as many in one call as the problem says."""

import pytest

from gradperf.agreement import check_timed

pytestmark = pytest.mark.family("matmul")


def test_matmul(agreed, described, benchmark):
    described(agreed)
    check_timed(agreed, benchmark(agreed.run))
