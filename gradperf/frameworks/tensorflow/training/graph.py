"""TensorFlow v1's static graph: placeholders, ``tf.gradients``, assign operations, a session fed at every step.

The data are copied from numpy at every step, as in the notebooks of that time: this is part of the style's cost.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from gradperf.frameworks.contract import Arrays, Run
from gradperf.frameworks.tensorflow import network, optimizers
from gradperf.frameworks.tensorflow.runtime import on
from gradperf.problems.training import Training

v1 = tf.compat.v1

EXECUTION = "graph"


def session_config() -> Any:
    """Return a configuration with the thread pools of the eager runtime."""
    config = v1.ConfigProto(
        intra_op_parallelism_threads=tf.config.threading.get_intra_op_parallelism_threads(),
        inter_op_parallelism_threads=tf.config.threading.get_inter_op_parallelism_threads(),
        # Gradients compute with shapes, which has no kernel on a GPU.
        allow_soft_placement=True,
    )
    config.gpu_options.allow_growth = True
    return config


def prepare(problem: Training, inputs: Arrays, device: str, dtype: str) -> Run:
    with tf.Graph().as_default() as graph, on(device):
        x, y = (v1.placeholder(dtype, inputs[name].shape, name) for name in ("x", "y"))
        parameters = network.variables(problem, inputs)
        loss = network.loss_of(problem, dtype)(parameters, x, y)
        gradients = tf.gradients(loss, [*parameters, x] if problem.input_gradient else parameters)
        update, _ = optimizers.build(problem.optimizer, parameters)
        # Each variable is read once, and its new value depends on that read. So loss and gradients are those of the
        # weights before the update, without a control dependency.
        updates = tf.group(update(gradients))
        initialise = v1.global_variables_initializer()
    session = v1.Session(graph=graph, config=session_config())
    fetches = [loss, gradients if problem.optimizer is None else updates]
    feeds = {x: inputs["x"], y: inputs["y"]}

    def run(steps: int = problem.steps) -> dict[str, Any]:
        session.run(initialise)
        losses = np.empty(steps, dtype)
        for step in range(steps):
            losses[step], fetched = session.run(fetches, feeds)
        return problem.outputs(losses, session.run(parameters), fetched)

    return run
