"""The network of a training problem as pure functions of its parameters, a flat list w1, b1, w2, …

Arrays are (batch, features). A *step* takes the parameters and the optimizer's state. It returns both updated, the
loss before the update, and the gradients. A style decides how the step is compiled and repeated.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from gradperf.frameworks.contract import Arrays
from gradperf.frameworks.jax.runtime import from_numpy
from gradperf.problems.training import SGD, Adam, Training

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "identity": lambda z: z,
    "relu": jax.nn.relu,
    "shifted_relu": lambda z: jax.nn.relu(z) - 0.5,
    "tanh": jnp.tanh,
}

Step = Callable[..., tuple[Any, Any, jax.Array, Any]]


def loss_of(problem: Training) -> Callable[..., jax.Array]:
    """Return ``loss(parameters, x, y)``, a scalar.

    The data are arguments: arrays that a jitted function only refers to become constants, and the compiler would
    compute the powers of a constant x once.
    """
    powers = problem.powers

    def loss(parameters: Sequence[jax.Array], x: jax.Array, y: jax.Array) -> jax.Array:
        # Powers by whole numbers, which JAX turns into products; powers by an array would use the logarithm.
        a = x if powers is None else jnp.concatenate([x**k for k in range(powers + 1)], axis=1)
        for slot in problem.slots:
            z = a @ parameters[slot.weight]
            if slot.bias is not None:
                z = z + parameters[slot.bias]
            a = ACTIVATIONS[slot.activation](z)
        return jnp.sum((a - y) ** 2) / problem.divisor

    return loss


def on_device(problem: Training, inputs: Arrays, device: str) -> tuple[list[jax.Array], jax.Array, jax.Array]:
    """Return the initial parameters, x and y on the device."""
    parameters = [from_numpy(inputs[name], device) for name in problem.parameters]
    return parameters, from_numpy(inputs["x"], device), from_numpy(inputs["y"], device)


def value_and_gradients(problem: Training) -> Callable[..., tuple[jax.Array, list[jax.Array]]]:
    """Return ``f(parameters, x, y)``: the loss and its gradients, by x last if the problem asks for it."""
    if not problem.input_gradient:
        return jax.value_and_grad(loss_of(problem))
    by_both = jax.value_and_grad(loss_of(problem), argnums=(0, 1))

    def flat(parameters: Any, x: jax.Array, y: jax.Array) -> tuple[jax.Array, list[jax.Array]]:
        loss, (by_parameters, by_x) = by_both(parameters, x, y)
        return loss, [*by_parameters, by_x]

    return flat


def step_of(problem: Training) -> Step:
    """Return ``step(parameters, state, x, y) -> (parameters, state, loss, gradients)``.

    The gradients are None after an update.
    """
    differentiate = value_and_gradients(problem)

    def step(parameters: Any, state: Any, x: jax.Array, y: jax.Array) -> tuple[Any, Any, jax.Array, Any]:
        loss, gradients = differentiate(parameters, x, y)
        match problem.optimizer:
            case None:
                return parameters, state, loss, gradients
            case SGD(lr):
                parameters = [p - lr * g for p, g in zip(parameters, gradients, strict=True)]
            case Adam(lr, beta1, beta2, eps):
                m, v, t = state
                t = t + 1
                m = [beta1 * a + (1 - beta1) * g for a, g in zip(m, gradients, strict=True)]
                v = [beta2 * a + (1 - beta2) * g**2 for a, g in zip(v, gradients, strict=True)]
                # The bias correction in float64: in float32 1 − β2^t would lose four digits.
                rate = (lr / (1 - beta1**t)).astype(loss.dtype)
                root = jnp.sqrt(1 - beta2**t).astype(loss.dtype)
                moved = zip(parameters, m, v, strict=True)
                parameters = [p - rate * a / (jnp.sqrt(b) / root + eps) for p, a, b in moved]
                state = m, v, t
        return parameters, state, loss, None

    return step


def start(problem: Training, parameters: list[jax.Array]) -> Any:
    """Return the optimizer's state before the first step."""
    if not isinstance(problem.optimizer, Adam):
        return None
    m, v = ([jnp.zeros_like(p) for p in parameters] for _ in range(2))
    return m, v, jnp.zeros((), jnp.float64, device=parameters[0].device)
