"""Every case agrees with its reference: the gate that ``perf/`` passes its cases through before it times them."""

import pytest

from gradperf import agreement


@pytest.mark.family("training")
def test_training(case, settings):
    """First gradients, the losses along the way, the final weights and the way there."""
    agreement.agree(case, settings)


@pytest.mark.family("training", offers="phases")
def test_phases(case, settings):
    """The backward pass that is timed apart gives the first gradients too."""
    agreed = agreement.agree(case, settings)
    phases = case.module.phases(case.problem, agreed.inputs, case.device, case.dtype)
    agreement.check_phases(agreed, phases)


@pytest.mark.family("matmul")
def test_matmul(case, settings):
    """The product, entry by entry."""
    agreement.agree(case, settings)


@pytest.mark.family("derivative")
def test_derivative(case, settings):
    """The derivative at every point."""
    agreement.agree(case, settings)
