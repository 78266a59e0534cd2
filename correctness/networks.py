"""Networks beyond those of the notebooks: drawn at random, and three that are hard to get right."""

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from gradperf.problems.training import SGD, Adam, Layer, Training, gaussian, standard_normal


def half_zero(generator, problem):
    """Return x with zeros in every other row, whose pre-activations are exactly 0 without a bias, and y."""
    x = generator.standard_normal((problem.batch, problem.features))
    x[::2] = 0
    return x, generator.standard_normal((problem.batch, problem.layers[-1].outputs))


_BASE = Training(
    name="deep",
    batch=7,
    features=5,
    layers=(
        Layer(4, "tanh", bias=True),
        Layer(4, "shifted_relu"),
        Layer(3, "relu", bias=True),
        Layer(2, bias=True),
    ),
    loss="mean",
    optimizer=Adam(1e-3),
    steps=20,
    dtype="float64",
    draw=gaussian,
    initialise=standard_normal,
    initialise_bias=standard_normal,
)

DEEP = _BASE
"""Three hidden layers, every activation, some biases, mean loss, Adam at a rate that changes the weights."""

KINK = replace(
    _BASE,
    name="at_the_kink",
    layers=(Layer(4, "relu", bias=True), Layer(2, bias=True)),
    draw=half_zero,
    initialise_bias=lambda generator, fan_in, fan_out: np.zeros((fan_in, fan_out)),
    loss="sum",
    optimizer=SGD(1e-3),
)
"""Pre-activations that are exactly 0, where the derivative of max(z, 0) must be 0."""

SQUARE = replace(_BASE, name="square", layers=(Layer(5, "relu"), Layer(5, "relu"), Layer(5)))
"""Equal widths, so that a transposed weight has the right shape."""


def networks(optimizer, steps=1, activations=("identity", "relu", "shifted_relu", "tanh")):
    """Draw networks of any depth, width, activation, bias and loss."""
    layer = st.builds(
        Layer,
        outputs=st.integers(1, 4),
        activation=st.sampled_from(activations),
        bias=st.booleans(),
    )
    return st.builds(
        lambda features, layers, loss, batch, optimizer, input_gradient: replace(
            _BASE,
            name="drawn",
            batch=batch,
            features=features,
            layers=tuple(layers),
            loss=loss,
            optimizer=optimizer,
            steps=steps if optimizer else 1,
            input_gradient=input_gradient and optimizer is None,
        ),
        features=st.integers(1, 4),
        layers=st.lists(layer, min_size=1, max_size=4),
        loss=st.sampled_from(["sum", "mean"]),
        batch=st.integers(1, 5),
        optimizer=optimizer,
        input_gradient=st.booleans(),
    )
