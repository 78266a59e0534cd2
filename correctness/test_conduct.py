"""Every case passes the checks that its time measures its work. ``perf/`` makes them before it times a case.

Only in the dtype that each problem was published in, as conduct does not depend on the dtype.
"""

import pytest

from gradperf.checks import agreement, conduct, work


@pytest.mark.family("training", published=True)
def test_training(agreed, settings):
    """It computes again, ends ready, compiles nothing, and does exactly the problem's work on the given threads."""
    conduct.examine(agreed, settings)


@pytest.mark.family("matmul", published=True)
def test_matmul(agreed, settings):
    """The same for the matrix products."""
    conduct.examine(agreed, settings)


@pytest.mark.family("derivative", published=True)
def test_derivative(agreed, settings):
    """The same for the derivatives."""
    conduct.examine(agreed, settings)


@pytest.mark.family("matmul", published=True, problem="matmul_5x784x10")
def test_work_of_a_call_with_its_steps(agreed, settings):
    """As ``perf/`` times it: the number of steps is bound to the call."""
    timed = agreement.agree_at(agreed, settings, agreed.case.problem.steps)
    work.check(timed, agreed.case.implementation, settings.seed)
