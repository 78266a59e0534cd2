"""Matrix products: as many in one call as the problem says."""

import pytest

from gradperf.checks.agreement import check_timed

pytestmark = pytest.mark.family("matmul")


def test_matmul(examined, timed, benchmark):
    with timed(examined):
        check_timed(examined, benchmark(examined.run))
