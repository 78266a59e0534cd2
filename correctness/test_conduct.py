"""Every case behaves when it is called: the second gate that ``perf/`` passes its cases through before timing.

In the dtype that each problem was published in: how a style behaves does not depend on it.
"""

import pytest

from gradperf.checks import conduct


@pytest.mark.family("training", published=True)
def test_training(agreed, settings):
    """Computes anew, ends ready, compiles nothing, does the problem's work and no more, on the threads given."""
    conduct.examine(agreed, settings)


@pytest.mark.family("matmul", published=True)
def test_matmul(agreed, settings):
    """The same of the matrix products."""
    conduct.examine(agreed, settings)


@pytest.mark.family("derivative", published=True)
def test_derivative(agreed, settings):
    """The same of the derivatives."""
    conduct.examine(agreed, settings)
