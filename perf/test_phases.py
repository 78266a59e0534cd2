"""Forward and backward pass of one step, timed separately, for the styles that have both.

A backward pass uses up what its forward pass saved. So each timed backward pass gets a fresh forward pass, untimed.
"""

import pytest

from gradperf.checks import work

pytestmark = pytest.mark.family("training", offers="phases")


@pytest.fixture
def phases(examined, duties):
    """Return the two halves, after backward(forward()) agreed with the first gradients."""
    return work.check_halves(examined) if duties.checks_fully else work.halves(examined)


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
