"""One derivative at all points per call."""

import pytest

pytestmark = pytest.mark.family("derivative")


def test_derivative(agreed, described, benchmark):
    described(agreed)
    benchmark(agreed.run)
