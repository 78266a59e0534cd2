"""Every case agrees with its reference. ``perf/`` makes the same check before it times a case."""

import pytest

from gradperf.checks import agreement


@pytest.mark.family("training")
def test_training(agreed):
    """First gradients, the losses of all steps, the final weights and their change."""
    assert agreed.gradient_error < 1e-5


@pytest.mark.family("training", offers="phases")
def test_phases(agreed):
    """The backward pass that is timed separately returns the first gradients too."""
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
