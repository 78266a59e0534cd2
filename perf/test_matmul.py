"""Matrix products, several in one call if they are small."""

import pytest

from gradperf.checks.agreement import check_timed

pytestmark = pytest.mark.family("matmul")


def test_matmul(examined, timed, benchmark):
    with timed(examined):
        check_timed(examined, benchmark(examined.run))
