"""A whole training per call: every step, forward, backward and update."""

import pytest

pytestmark = pytest.mark.family("training")


def test_training(agreed, described, benchmark):
    described(agreed)
    benchmark(agreed.run)
