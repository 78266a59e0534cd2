"""The facts that must be equal for two runs to be comparable."""

from dataclasses import asdict
from typing import Any

from gradperf.machine.cpus import detect_cpus
from gradperf.machine.gpus import detect_gpus
from gradperf.machine.libraries import blas


def identity() -> dict[str, Any]:
    """Return the facts, ready for JSON. Imports numpy, and no framework.

    The number of threads in them is the one that is bound at the time of the call.
    """
    from gradperf.frameworks import versions  # imports numpy

    cpus = detect_cpus()
    return {
        "cpu_model": cpus.model,
        "logical_cpus": cpus.logical,
        "affinity_cpus": cpus.affinity,
        "effective_cpus": cpus.effective,
        "governor": cpus.governor,
        # By number, so that a comparison can name the one that differs.
        "gpus": {str(number): asdict(gpu) for number, gpu in enumerate(detect_gpus() or ())},
        "blas": blas(),
        "versions": versions.installed(),
    }
