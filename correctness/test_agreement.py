"""Every case agrees with its reference: the gate that ``perf/`` passes its cases through before it times them."""

import pytest

from gradperf.checks import agreement


@pytest.mark.family("training")
def test_training(agreed):
    """First gradients, the losses along the way, the final weights and the way there."""
    assert agreed.gradient_error < 1e-5


@pytest.mark.family("training", offers="phases")
def test_phases(agreed):
    """The backward pass that is timed apart gives the first gradients too."""
    case = agreed.case
    phases = case.implementation.phases(case.problem, agreed.inputs, case.device, case.dtype)
    agreement.check_phases(agreed, phases)


@pytest.mark.family("matmul")
def test_matmul(agreed):
    """The product, entry by entry."""
    assert agreed.trajectory_error < 1e-5


@pytest.mark.family("derivative")
def test_derivative(agreed):
    """The derivative at every point."""
    assert agreed.gradient_error < 1e-5
