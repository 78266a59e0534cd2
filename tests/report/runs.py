"""Recorded runs, made by hand, in a folder."""

import json
import math

from tests.records import record

MACHINE = {
    "cpu_model": "A CPU",
    "logical_cpus": 2,
    "python_version": "3.11.7",
    "versions": {"numpy": "2.4.6", "torch": "2.13.0"},
}
STEPS_S = {"numpy.by_hand": 2e-5, "torch.autograd": 2e-4, "jax.jit": 1e-5, "tensorflow.tape": 8e-4}
FIRST_S = {"numpy.by_hand": 0.001, "torch.autograd": 0.05, "jax.jit": 0.4, "tensorflow.tape": 0.02}
CEILINGS = [{"device": "cpu", "dtype": "float64", "flops_per_s": 1e10, "copy_bytes_per_s": {"1": 1e10}}]
KNOWN = {"flops_per_step": 1e4, "bytes_per_step": 2e3, "peak_fraction": 0.1, "memory_peak_bytes": 3e6}


def write(folder, number=1, *, factor=1.0, benchmarks=None, machine=None, **more):
    """Write a run with some styles of a polynomial and two products; every time is multiplied by ``factor``."""
    folder.mkdir(parents=True, exist_ok=True)
    if benchmarks is None:
        benchmarks = [
            record(
                label,
                step_s=step_s * factor,
                first_call_s=FIRST_S[label],
                first_call_steps=50,
                gradient_error=1e-16,
                trajectory_error=2e-16,
                **KNOWN,
            )
            for label, step_s in STEPS_S.items()
        ]
        benchmarks += [
            record("numpy.operator", step_s=size**3 * 1e-10, problem=f"matmul_{size}x{size}x{size}", **KNOWN)
            for size in (64, 128)
        ]
    day = f"2026-11-{number % 28 + 1:02}"
    stored = {
        "machine_info": MACHINE if machine is None else machine,
        "commit_info": {"id": f"{number:040x}", "dirty": False},
        "benchmarks": benchmarks,
        "datetime": f"{day}T12:00:00+00:00",
        "version": "5.3.1",
        "gradperf": {
            "schema": 2,
            "command": ["pytest", "perf"],
            "tier": "quick",
            "threads": 1,
            "seed": 0,
            "ceilings": CEILINGS,
        },
        **more,
    }
    file = folder / f"{number:04}_run.json"
    file.write_text(json.dumps(stored))
    return file


def write_case(folder, name="run.json", **changed):
    """Write what ``gradperf run --json`` writes of a short training of the polynomial."""
    folder.mkdir(parents=True, exist_ok=True)
    x = [place / 4 for place in range(21)]
    stored = {
        "case": "polynomial_degree4-torch.autograd-cpu-float64",
        "command": ["gradperf", "run", "polynomial_degree4", "torch.autograd", "--steps", "1000", "--json", name],
        "at": "2026-11-27T12:00:00+00:00",
        "steps": 1000,
        "seconds": 0.25,
        "framework_version": "2.13.0",
        "gradient_error": 1e-16,
        "loss": [5 / (step + 1) + 0.1 for step in range(1000)],
        "gradients": {},
        "weights": {},
        "result": {},
        "curve": {"x": x, "y": [math.sin(one) for one in x], "fitted": [one / 9 for one in x]},
    }
    file = folder / name
    file.write_text(json.dumps(stored | changed))
    return file


SINE = {
    "case": "sine_derivative_100-jax.vmap-cpu-float32",
    "command": ["gradperf", "run", "sine_derivative_100", "jax.vmap", "--json", "sine.json"],
    "loss": [],
    "curve": {
        "x": [place / 8 for place in range(-50, 51)],
        "y": [math.sin(place / 8) for place in range(-50, 51)],
        "derivative": [math.cos(place / 8) for place in range(-50, 51)],
    },
}
