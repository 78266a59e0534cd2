"""A network is data: every training style runs networks beyond those of the notebooks, without code for them."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from correctness.networks import DEEP, KINK, SQUARE, networks
from gradperf import cases
from gradperf.checks import agreement
from gradperf.problems.training import SGD, Adam

pytestmark = pytest.mark.family("training", problem="tiny_3x2x1")

COMPILES = {"torch.compiled", "torch.cuda_graph"}
"""Styles of numpy and torch that take seconds to build for each network."""


@pytest.mark.parametrize("network", [DEEP, KINK, SQUARE], ids=lambda network: network.name)
def test_other_network(case, settings, network):
    """Deep, at the kink of the ReLU, and of equal widths."""
    other = replace(case, problem=network)
    if reason := cases.obstacle(other, settings.threads):
        pytest.skip(reason)
    agreement.agree(other, settings)


@given(
    # Without tanh: where it saturates, 1 − tanh² loses digits that the reference keeps. DEEP has it.
    networks(
        st.sampled_from([None, SGD(1e-3), Adam(1e-3)]), steps=5, activations=["identity", "relu", "shifted_relu"]
    ),
    st.integers(0, 100),
)
@hypothesis_settings(
    max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_drawn_network(case, settings, network, seed):
    """Any depth, width, activation, bias, loss, optimizer and seed, for the styles that compile nothing.

    In float64 alone: how much float32 loses on a drawn network depends on the network.
    """
    if case.framework not in ("numpy", "torch") or f"{case.framework}.{case.style}" in COMPILES:
        pytest.skip("traces or compiles for every network, which takes seconds")
    if case.dtype != "float64":
        pytest.skip("float32 may lose more than its bound on an ill-conditioned network")
    other = replace(case, problem=network)
    if cases.obstacle(other, settings.threads) is None:
        agreement.agree(other, replace(settings, seed=seed))
