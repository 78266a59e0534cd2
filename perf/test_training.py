"""A whole training per call: every step, forward, backward and update."""

import pytest

from gradperf.agreement import check_timed

pytestmark = pytest.mark.family("training")


def test_training(agreed, described, benchmark):
    described(agreed)
    check_timed(agreed, benchmark(agreed.run))
