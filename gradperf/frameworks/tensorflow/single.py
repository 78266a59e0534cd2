"""The same call of one function again and again, for the families without a training loop."""

from collections.abc import Callable
from typing import Any

from gradperf.contract import Run
from gradperf.frameworks.tensorflow.calling import CallAs, eager
from gradperf.frameworks.tensorflow.runtime import from_numpy, on, synchronize
from gradperf.problems import Arrays


def prepare(
    name: str, function: Callable[..., Any], steps: int, inputs: Arrays, device: str, call_as: CallAs = eager
) -> Run:
    """Call ``function`` with all inputs, in their order, ``steps`` times; its result is the output ``name``."""
    arguments = [from_numpy(array, device) for array in inputs.values()]
    with on(device):
        call = call_as(function, *arguments)

    def run() -> dict[str, Any]:
        with on(device):
            for _ in range(steps):
                result = call(*arguments)
        synchronize(device)
        return {name: result}

    return run
