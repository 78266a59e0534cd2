"""One function called once for each step, for the families without a training loop."""

from collections.abc import Callable, Sequence
from typing import Any

from gradperf.frameworks.contract import Array, Run
from gradperf.frameworks.tensorflow.calling import CallAs, eager
from gradperf.frameworks.tensorflow.runtime import from_numpy, on, synchronized


def prepare(
    name: str,
    function: Callable[..., Any],
    device: str,
    varying: Array,
    fixed: Sequence[Array] = (),
    call_as: CallAs = eager,
) -> Run:
    """Return a run that calls ``function(array, *fixed)`` for each ``array`` of ``varying``, as output ``name``."""
    arrays, others = ([from_numpy(array, device) for array in some] for some in (varying, fixed))
    with on(device):
        call = call_as(function, arrays[0], *others)

    def run(steps: int | None = None) -> dict[str, Any]:
        with on(device):
            results = [call(array, *others) for array in arrays[:steps]]
        return {name: synchronized(results, device)}

    return run
