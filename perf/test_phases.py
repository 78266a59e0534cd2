"""Forward and backward pass of one step, timed apart, for the styles that have the two.

A backward pass uses up what its forward pass saved, so each timed call gets a fresh one, made outside the timing.
"""

import pytest

from gradperf.checks import conduct
from gradperf.pairs.stage import stage

pytestmark = pytest.mark.family("training", offers="phases")


@pytest.fixture
def phases(examined):
    """Give the two halves, after backward(forward()) agreed with the first gradients."""
    # The gate's first process of this side has checked them.
    return conduct.halves(examined) if stage() == "repeat" else conduct.check_halves(examined)


def test_forward(examined, phases, timed, benchmark):
    forward, _ = phases
    with timed(examined, "forward"):
        benchmark(forward)


def test_backward(examined, phases, timed, rounds_for, benchmark):
    forward, backward = phases
    with timed(examined, "backward"):
        benchmark.pedantic(
            backward,
            setup=lambda: ((forward(),), {}),
            rounds=rounds_for(lambda: backward(forward())),
            warmup_rounds=1,
        )
