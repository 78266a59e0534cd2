"""``jax.lax.scan`` under ``jit``: the whole training is one compiled loop, Python is called once.

XLA may move what does not change out of the loop, such as the powers of the polynomial's x; that is part of what
a compiler is for.
"""

from typing import Any

import jax

from gradperf.contract import Run
from gradperf.frameworks.jax import network
from gradperf.problems import Arrays
from gradperf.problems.training import Training


def prepare(problem: Training, inputs: Arrays, device: str, dtype: str) -> Run:
    step = network.step_of(problem, inputs, device)
    initial = network.differentiated(problem, inputs, device)

    @jax.jit
    def train(parameters: Any) -> Any:
        def body(carry: Any, _: None) -> Any:
            parameters, state, loss, gradients = step(*carry)
            return (parameters, state), (loss, gradients)

        start = (parameters, network.start(problem, initial))
        (parameters, _), (losses, gradients) = jax.lax.scan(body, start, length=problem.steps)
        last = [gradient[-1] for gradient in gradients or []]
        return problem.outputs(losses, parameters[: len(problem.parameters)], last)

    def run() -> Any:
        return jax.block_until_ready(train(initial))

    return run
