"""A whole training in one call: the forward pass, backward pass and update of every step."""

import pytest

from gradperf.checks.agreement import check_timed

pytestmark = pytest.mark.family("training")


def test_training(examined, timed, benchmark):
    with timed(examined):
        check_timed(examined, benchmark(examined.run))
