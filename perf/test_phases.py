"""Forward and backward pass of one step, timed apart, for the styles that have the two.

A backward pass uses up what its forward pass saved, so each timed call gets a fresh one, made outside the timing.
"""

import pytest

from gradperf import agreement

pytestmark = pytest.mark.family("training", offers="phases")


@pytest.fixture
def phases(agreed):
    """Give the two halves, after backward(forward()) agreed with the first gradients."""
    case = agreed.case
    halves = case.module.phases(case.problem, agreed.inputs, case.device, case.dtype)
    agreement.check_phases(agreed, halves)
    return halves


def test_forward(agreed, phases, described, benchmark):
    forward, _ = phases
    described(agreed, "forward")
    benchmark(forward)


def test_backward(agreed, phases, described, rounds_for, benchmark):
    forward, backward = phases
    described(agreed, "backward")
    benchmark.pedantic(
        backward,
        setup=lambda: ((forward(),), {}),
        rounds=rounds_for(lambda: backward(forward())),
        warmup_rounds=1,
    )
