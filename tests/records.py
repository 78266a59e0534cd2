"""Records of benchmarks, made by hand, and the table that shows them."""

from gradperf.comparison import baseline, changes, table
from gradperf.records.facts import read_benchmark
from gradperf.text.table import Terminal

BASELINES = {"polynomial_degree4": "numpy.by_hand", "matmul_64x64x64": "numpy.operator"}


CALL_S = 2e-6
"""What a call pays once."""


def record(
    label="numpy.by_hand",
    *,
    step_s=1e-5,
    problem="polynomial_degree4",
    device="cpu",
    steps=50,
    schema=2,
    reference_s=1e-5,
    **info,
):
    """Return a record as pytest-benchmark stores it, with a spread of ±1 %.

    Of schema 2, with what its moments show; or of schema 1, in which the statistics alone tell the time of a step.
    """
    framework, _, style = label.partition(".")
    call_s = step_s * steps
    moment = {"at": "2026-11-26T04:00:00+00:00", "process": "main", "reference_s": reference_s}
    measured = {
        "step_s": step_s,
        "step_interval_s": [step_s * 0.99, step_s * 1.01],
        "step_error": 0.005,
        "short_steps": 5,
        "call_s": CALL_S,
        "disturbed": 0.1,
        "moments": [moment] * 4,
    }
    known = {
        "problem": problem,
        "framework": framework,
        "style": style,
        "device": device,
        "dtype": "float64",
        "part": "all",
        "steps": steps,
        "threads": 1,
        **(measured if schema == 2 else {}),
    }
    return {
        "fullname": f"perf/test_training.py::test_training[{problem}-{label}-{device}-float64]",
        "group": f"{problem} {device} float64",
        "stats": {"median": call_s, "iqr": call_s * 0.02, "q1": call_s * 0.99, "q3": call_s * 1.01},
        "extra_info": known | info,
    }


def measured(label, step_s, first_call_s, **info):
    """Return a record with every fact of a run on the CPU."""
    return record(
        label,
        step_s=step_s,
        first_call_s=first_call_s,
        peak_fraction=1e-6 / step_s,
        gradient_error=2.1e-16,
        trajectory_error=3.4e-15,
        memory_peak_bytes=301_200_000,
        cpu_per_wall=0.998,
        **info,
    )


def lines(records, width=80, ascii_only=False, baseline_of=BASELINES.get, then=None):
    """Return the lines of a table; ``then`` are the records of the run that it is compared with."""
    benchmarks, terminal = [read_benchmark(one) for one in records], Terminal(width, ascii_only)
    since = None
    if then is not None:
        since = changes.changes([read_benchmark(one) for one in then], benchmarks, "seconds", baseline_of)
    return table.lines(benchmarks, baseline_of=baseline_of, terminal=terminal, changes=since)


def compared(records):
    return baseline.compare([read_benchmark(one) for one in records], BASELINES.get)


RUN = [
    record("numpy.empty", problem="nothing", step_s=43e-9, steps=1),
    measured("numpy.by_hand", 10.4e-6, 0.00161),
    measured("numpy.by_hand_inplace", 3.03e-6, 0.0012),
    measured("torch.compiled", 43e-6, 21.4),
    measured("jax.scan", 0.971e-6, 0.312),
    measured("jax.scan", 0.3e-6, 0.1, part="forward"),
    record("jax.grad", step_s=2.532e-3),
]
