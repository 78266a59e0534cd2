"""A whole training per call: every step, forward, backward and update."""

import pytest

from gradperf.checks.agreement import check_timed

pytestmark = pytest.mark.family("training")


def test_training(examined, timed, benchmark):
    with timed(examined):
        check_timed(examined, benchmark(examined.run))
