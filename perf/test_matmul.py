"""One matrix product per call."""

import pytest

pytestmark = pytest.mark.family("matmul")


def test_matmul(agreed, described, benchmark):
    described(agreed)
    benchmark(agreed.run)
