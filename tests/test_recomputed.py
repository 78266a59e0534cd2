"""Every fact of a record is computed again here, by plain arithmetic and numpy, and not by gradperf's own code.

One run of ``pytest perf`` times a few problems of each kind. It also times a style whose cost and errors are known:
it sleeps, takes memory, logs its steps, and is wrong by a little. No bound depends on the speed of the machine: a
time is at least what was slept, and at most what passed here.
"""

import hashlib
import json
import math
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import threadpoolctl

import gradperf
from gradperf.cases import Settings
from gradperf.checks import ceilings
from gradperf.machine import load
from gradperf.records.facts import Facts, RunFacts
from gradperf.suite import recording, timed
from tests.conftest import ROOT
from tests.fake_time import Machine

SEED = 7
SLEPT_S = 2e-3
"""At each step of the known style."""
PREPARED_S = CALLED_S = 0.1
"""Slept when it is prepared, and in each call of all steps."""
HELD_BYTES, FREED_BYTES = 48 * 2**20, 32 * 2**20
"""What it takes when it is prepared, and in each call of all steps."""
GRADIENT_ERROR, LOSS_ERROR = 1e-13, 9e-13
WAITING = 0.25
"""Threads of the run seem to wait this share of the time."""

KNOWN = f'''"""A style of known cost."""

import os
import time

import numpy as np

from gradperf.frameworks.numpy import backprop


def supports(problem, device, dtype):
    return None if problem.name == "two_layer_784x30x10" else "its cost is known for one problem"


def prepare(problem, inputs, device, dtype):
    held = np.ones({HELD_BYTES} // 8)
    time.sleep({PREPARED_S})
    train = backprop.prepare(problem, inputs, lambda a, delta: (a.T @ delta) * (1 + {GRADIENT_ERROR}))
    log = os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def run(steps=None):
        if steps is None:
            held.sum() + np.ones({FREED_BYTES} // 8).sum()
            time.sleep({CALLED_S})
        steps = problem.steps if steps is None else steps
        os.write(log, b"%d\\n" % steps)
        time.sleep({SLEPT_S} * steps)
        outputs = train(steps)
        return {{**outputs, "losses": outputs["losses"] * (1 + {LOSS_ERROR})}}

    return run
'''

DEAR = f'''"""A style of fast steps that is slow to prepare, so that it is ahead only after many steps."""

import time

from gradperf.frameworks.numpy.training import by_hand_inplace


def supports(problem, device, dtype):
    return None if problem.name == "polynomial_degree4" else "its steps are fast in one problem"


def prepare(problem, inputs, device, dtype):
    time.sleep({PREPARED_S})
    return by_hand_inplace.prepare(problem, inputs, device, dtype)
'''

CONDITIONS = f'''"""Nothing is disturbed, and threads wait a known share of the time."""

import time

from gradperf.machine import tasks, threads

threads.bind(1)

from gradperf.checks import calls, conduct
from gradperf.first_call.measure import FirstCall

FirstCall.disturbed = False
calls.NO_COMPUTATION = frozenset()  # it sleeps, and writes down what it did
conduct.IDLE_MOST = 1.0  # the known style sleeps: on a fast machine that is most of its time
tasks.waiting_s = lambda root=None: {WAITING} * time.perf_counter()
'''

PROBLEMS = [
    "two_layer_784x30x10",
    "tiny_bias_adam_3x2x1",
    "polynomial_degree4",
    "shifted_relu_784x50x1",
    "matmul_6x35x11",
    "matmul_128x96x128",
    "sine_derivative_100",
]
STYLES = ["by_hand", "by_hand_inplace", "outer_product", "known", "dear", "operator", "broadcast", "analytic"]
DOUBLE = ["two_layer_784x30x10", "polynomial_degree4", "shifted_relu_784x50x1"]
"""In float64, though the last one was published in float32; the others are in float32."""
DTYPES = {problem: "float64" if problem in DOUBLE else "float32" for problem in PROBLEMS}
KEYWORD = (
    "not (float32 and (two_layer or polynomial or shifted)) and not (float64 and (tiny or matmul or sine)) "
    "and not (not polynomial and (outer_product or inplace))"
)
STEPS = dict(zip(PROBLEMS, (5, 5, 20, 1, 4, 1, 50), strict=True))
"""Of the tier ``short``."""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Run the suite once; return the record and what was known before and after."""
    folder = tmp_path_factory.mktemp("recomputed")
    package, log = folder / "gradperf", folder / "steps.log"
    shutil.copytree(Path(gradperf.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "frameworks/numpy/training/known.py").write_text(KNOWN.replace("LOG", repr(str(log))))
    (package / "frameworks/numpy/training/dear.py").write_text(DEAR)
    (folder / "conditions.py").write_text(CONDITIONS)
    paths = [str(folder), str(ROOT)]
    arguments = [str(ROOT / "perf"), "--framework", "numpy", "--seed", str(SEED), "--tier", "short"]
    arguments += ["--dtype", "float32,float64"]
    arguments += ["--problem", ",".join(PROBLEMS), "--style", ",".join(STYLES), "-k", KEYWORD, "-p", "conditions"]
    arguments += ["--benchmark-max-time=0.01", f"--benchmark-storage=file://{folder / 'results'}"]
    arguments += ["-o", f"pythonpath={shlex.join(paths)}"]
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    environment |= {"PYTHONPATH": os.pathsep.join(paths), "GRADPERF_LOCK": str(folder / "gradperf.lock")}
    environment |= {"JAX_KNOWN": "recorded", "JEX_KNOWN": "not", "PYTEST_ADDOPTS": "-p no:cacheprovider"}
    before, start_s = load.moment(), time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = (folder / "results").glob("*/*.json")
    record = json.loads(file.read_text())
    return SimpleNamespace(
        record=record,
        facts={one["name"]: one["extra_info"] for one in record["benchmarks"]},
        whole=[one for one in record["benchmarks"] if one["extra_info"]["part"] == "all" and not _is_harness(one)],
        arguments=arguments,
        elapsed_s=time.monotonic() - start_s,
        started=before.at,
        ended=datetime.now(UTC),
        steps=Counter(map(int, log.read_text().split())),
    )


def _is_harness(benchmark):
    return benchmark["extra_info"]["problem"] == "nothing"


@pytest.fixture
def known(run):
    """Return the benchmark of the known style."""
    (benchmark,) = (one for one in run.whole if one["extra_info"]["style"] == "known")
    return benchmark


def test_every_fact_is_named_here():
    """A fact that is added must be computed again in this file too."""
    words = set(re.findall(r"\w+", Path(__file__).read_text()))
    assert {fact.name for fact in (*fields(Facts), *fields(RunFacts))} <= words


# What was computed.


def test_each_benchmark_is_the_case_in_its_name(run):
    """Problem, framework, style, device, dtype and part are those of the test id, and of the group."""
    assert {one["extra_info"]["problem"] for one in run.whole} == set(PROBLEMS)
    assert {one["extra_info"]["style"] for one in run.whole} == set(STYLES)
    for one in run.record["benchmarks"]:
        info = one["extra_info"]
        test, case = re.fullmatch(r"test_(\w+)\[(.+)\]", one["name"]).groups()
        dtype = info["dtype"] if _is_harness(one) else DTYPES[info["problem"]]
        assert case == f"{info['problem']}-numpy.{info['style']}-cpu-{dtype}"
        assert (info["framework"], info["device"], info["dtype"]) == ("numpy", "cpu", dtype)
        assert info["part"] == (test if test in ("forward", "backward") else "all")
        part = "" if info["part"] == "all" else f" {info['part']}"
        assert one["group"] == f"{info['problem']} cpu {dtype}{part}"


def test_settings_are_those_of_the_command(run):
    """In the run, in each benchmark, and in what two runs must have in common."""
    asked = {"tier": "short", "threads": 1, "seed": SEED}
    for facts in (run.record["gradperf"], *run.facts.values()):
        assert {name: facts[name] for name in asked} == asked
    assert run.record["machine_info"]["settings"] == asked


def test_three_threads_are_recorded_as_three():
    """The run above has one thread, as any default has."""
    begun = recording.Recording(Settings("full", 3, 9), None, load.moment())
    run = recording.run_facts(begun, [], load.moment(), finished=0)
    assert (run.tier, run.threads, run.seed) == ("full", 3, 9)


def count(products, other, moved, itemsize):
    """Return the facts of this work; ``moved`` counts entries."""
    return {
        "product_flops_per_step": products,
        "flops_per_step": products + other,
        "bytes_per_step": itemsize * moved,
    }


WORK = {
    # As written out in docs/problems.md.
    "two_layer_784x30x10": count(6_136_320, 55_960, 64 * (784 + 10) + 2 * (784 * 30 + 30 * 10) + 1, 8),
    # Layer 1 forward and ∂W₁; layer 2 forward, ∂W₂ and ∂a₁. Then ReLU and its mask, both biases, loss, Adam.
    "tiny_bias_adam_3x2x1": count(
        2 * (2 * 64 * 3 * 2) + 3 * (2 * 64 * 2 * 1),
        64 * 2 * (1 + 2) + 2 * 64 * 2 + 2 * 64 * 1 + 4 * 64 + 14 * (6 + 2 + 2 + 1),
        64 * (3 + 1) + 2 * 11 + 1 + 4 * 11,
        4,
    ),
    # Forward and ∂W; the powers, the loss, the update.
    "polynomial_degree4": count(2 * (2 * 100 * 5), 5 * 100 + 4 * 100 + 2 * 5, 100 * (1 + 1) + 2 * 5 + 1, 8),
    # Three products in each layer, as ∂x is wanted. Parameters: W₁, b₁, W₂, b₂.
    "shifted_relu_784x50x1": count(
        3 * (2 * 2000 * 784 * 50) + 3 * (2 * 2000 * 50 * 1),
        2000 * 50 * (2 + 2) + 2 * 2000 * 50 + 2 * 2000 + 4 * 2000,
        2000 * (784 + 1) + 2 * (784 * 50 + 50 + 50 + 1) + 1 + 2000 * 784,
        8,
    ),
    "matmul_6x35x11": count(2 * 6 * 35 * 11, 0, 6 * 35 + 35 * 11 + 6 * 11, 4),
    "matmul_128x96x128": count(2 * 128 * 96 * 128, 0, 128 * 96 + 96 * 128 + 128 * 128, 4),
    "sine_derivative_100": count(0, 100, 100 + 100, 4),
}


def test_work_is_that_counted_by_hand(run):
    """Operations and bytes; the operations that were counted in the framework are the same."""
    for one in run.whole:
        info = one["extra_info"]
        assert {name: info[name] for name in WORK[info["problem"]]} == WORK[info["problem"]]
        uncounted = {
            "outer_product": "its weight gradient is no matrix product",
            "broadcast": "it multiplies entries, and makes no matrix product",
        }.get(info["style"])
        assert info["uncounted"] == uncounted
        assert info["product_flops_counted"] == (None if uncounted else info["product_flops_per_step"])


def test_steps_are_those_that_were_called(run, known):
    """The known style logged the steps of each call; the timed ones are among them."""
    info, stats = known["extra_info"], known["stats"]
    rounds = sum(moment["rounds"] for moment in info["moments"])
    assert run.steps[info["steps"]] >= stats["rounds"] * stats["iterations"] + rounds
    assert info["short_steps"] is None or run.steps[info["short_steps"]] >= rounds
    for one in run.record["benchmarks"]:
        info = one["extra_info"]
        if info["part"] != "all":
            assert (info["steps"], info["short_steps"], info["first_call_steps"]) == (1, None, None)
        elif not _is_harness(one):
            assert info["first_call_steps"] == STEPS[info["problem"]]
            assert 1 <= info["steps"] <= STEPS[info["problem"]]
            assert info["short_steps"] == (None if info["steps"] == 1 else max(1, info["steps"] // 10))


# The inputs and the results.


def drawn(problem):
    """Draw the inputs again, as the documentation says, in float64."""
    generator = np.random.default_rng(SEED)
    normal = generator.standard_normal
    match problem:
        case "two_layer_784x30x10":
            shapes = {"x": (64, 784), "y": (64, 10), "w1": (784, 30), "w2": (30, 10)}
            return {name: normal(shape) for name, shape in shapes.items()}
        case "tiny_bias_adam_3x2x1":
            shapes = {"x": (64, 3), "y": (64, 1), "w1": (3, 2), "w2": (2, 1), "b1": (2,), "b2": (1,)}
            return {name: normal(shape) for name, shape in shapes.items()}
        case "polynomial_degree4":
            x = np.linspace(0, 5, 100).reshape(100, 1)
            return {"x": x, "y": np.sin(x), "w1": np.zeros((5, 1))}
        case "shifted_relu_784x50x1":
            x, y = images(generator, 2000)
            w1, w2 = normal((784, 50)) * math.sqrt(2 / 784), normal((50, 1)) * math.sqrt(2 / 50)
            sizes = np.linalg.norm(w1, axis=0)
            # With this seed one image puts a unit so near its kink that rounding would decide its gradient.
            near = np.any(np.abs(x @ w1) < 3e-8 * sizes * np.linalg.norm(x, axis=1)[:, None], axis=1)
            assert near.sum() == 1
            x[near], y[near] = images(generator, 1)
            return {"x": x, "y": y, "w1": w1, "w2": w2, "b1": np.zeros(50), "b2": np.zeros(1)}
        case "sine_derivative_100":
            distance = 4 * np.pi / 99
            x = np.linspace(-2 * np.pi, 2 * np.pi, 100)
            return {"x": np.array([x + distance * step / 50 for step in range(50)])}
    m, k, n = map(int, problem.removeprefix("matmul_").split("x"))
    return {"a": normal((STEPS[problem], m, k)), "b": normal((k, n))}


def images(generator, count):
    """Draw images of digits, and the digits."""
    ink = generator.random((count, 784)) < 0.1543
    pixels = ink * generator.uniform(0.6903, 1.0, (count, 784))
    return (pixels - 0.1304) / 0.3073, generator.integers(0, 10, (count, 1))


def inputs(problem):
    """Return the inputs in the dtype of the case."""
    return {name: np.array(array, DTYPES[problem]) for name, array in drawn(problem).items()}


def test_hashes_are_those_of_the_inputs(run):
    """Names in their order, dtypes, shapes and bytes."""
    for problem in PROBLEMS:
        digest = hashlib.sha256()
        for name, array in sorted(inputs(problem).items()):
            digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode() + array.tobytes())
        hashes = {info["inputs_sha256"] for info in run.facts.values() if info["problem"] == problem}
        assert hashes == {digest.hexdigest()}


def last_loss(problem):
    """Train in float64, and return the loss before the last update."""
    given = {name: array.astype(np.float64) for name, array in inputs(problem).items()}
    x, y = given["x"], given["y"]
    if problem == "polynomial_degree4":
        w, powers = given["w1"], np.hstack([x**power for power in range(5)])
        for _ in range(STEPS[problem]):
            residual = powers @ w - y
            w = w - 1e-5 * 2 * powers.T @ residual / 100
        return np.mean(residual**2)
    w1, w2, b1, b2 = given["w1"], given["w2"], given.get("b1", 0.0), given.get("b2", 0.0)
    if problem == "shifted_relu_784x50x1":
        return np.mean(((np.maximum(x @ w1 + b1, 0) - 0.5) @ w2 + b2 - y) ** 2)
    # At its first steps Adam moves each parameter by its rate, as the gradients hardly change.
    adam = problem == "tiny_bias_adam_3x2x1"
    for _ in range(STEPS[problem]):
        hidden = np.maximum(x @ w1 + b1, 0)
        residual = hidden @ w2 + b2 - y
        by_hidden = 2 * residual @ w2.T * (hidden > 0)
        by = {"w1": x.T @ by_hidden, "w2": 2 * hidden.T @ residual}
        by |= {"b1": by_hidden.sum(axis=0), "b2": 2 * residual.sum(axis=0)}
        w1, w2 = (w - 1e-6 * (np.sign(by[name]) if adam else by[name]) for name, w in (("w1", w1), ("w2", w2)))
        if adam:
            b1, b2 = b1 - 1e-6 * np.sign(by["b1"]), b2 - 1e-6 * np.sign(by["b2"])
    return np.sum(residual**2)


def test_final_losses_are_those_of_a_training_here(run):
    """None where nothing is trained."""
    for problem in PROBLEMS:
        for info in run.facts.values():
            if info["problem"] == problem and problem.startswith(("matmul", "sine")):
                assert info["final_loss"] is None
            elif info["problem"] == problem:
                rel = 1e-11 if DTYPES[problem] == "float64" else 1e-6
                assert info["final_loss"] == pytest.approx(last_loss(problem), rel=rel)


def norm_relative(found, expected):
    """Return how far one array is from another, as a share of its norm."""
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


def test_errors_are_those_that_were_planted(known):
    """Of the first gradients, and of all that the call returned: there the losses are furthest off."""
    info = known["extra_info"]
    assert info["gradient_error"] == pytest.approx(GRADIENT_ERROR, rel=0.05, abs=0)
    # The wrong gradients add a share of their own error.
    assert info["trajectory_error"] == pytest.approx(LOSS_ERROR, rel=0.1, abs=0)


def test_errors_without_a_plant_are_those_of_rounding(run):
    """A derivative and products are computed here once more, in their dtype and in float64."""
    x = inputs("sine_derivative_100")["x"]
    cosine = norm_relative(np.cos(x).astype(np.float64), np.cos(x.astype(np.float64)))
    for info in run.facts.values():
        if info["problem"] == "sine_derivative_100":
            assert info["gradient_error"] == info["trajectory_error"] == pytest.approx(cosine, rel=0.2)
        elif info["problem"].startswith("matmul"):
            a, b = inputs(info["problem"]).values()
            product = norm_relative((a @ b).astype(np.float64), a.astype(np.float64) @ b.astype(np.float64))
            assert info["gradient_error"] is None
            assert product / 5 < info["trajectory_error"] < product * 5  # sums in another order round otherwise
        elif info["problem"] != "nothing" and info["style"] != "known":
            most = 100 * np.finfo(info["dtype"]).eps
            assert 0 <= info["gradient_error"] < most
            assert 0 <= info["trajectory_error"] < most


# The times.


def test_calls_take_at_least_what_was_slept(run, known):
    """And all of them together no longer than the run."""
    info, stats = known["extra_info"], known["stats"]
    assert stats["min"] >= SLEPT_S * info["steps"]
    timed_s = 0.0
    for moment in info["moments"]:
        assert moment["long_s"] >= SLEPT_S * info["steps"]
        assert (moment["short_s"] or 0) >= SLEPT_S * (info["short_steps"] or 0)
        assert 0 <= moment["disturbed"] <= moment["rounds"]
        assert 0 < moment["cpu_per_wall"] < 1
        timed_s += (moment["rounds"] - moment["disturbed"]) * (moment["long_s"] + (moment["short_s"] or 0))
    assert stats["total"] + timed_s + info["first_call_s"] <= run.elapsed_s
    assert 0 < info["cpu_per_wall"] < 1  # it sleeps most of the time


def test_waiting_is_measured_over_the_timing(run):
    """At least the known share of it, and at most that share of all that the case took."""
    for one in run.whole:
        info = one["extra_info"]
        most = WAITING * info["took_s"] / one["stats"]["total"]
        assert WAITING * 0.999 <= info["wait_per_wall"] <= most


def test_what_a_case_took_holds_its_timings(run):
    """Those of its halves too. And all cases together took no longer than the run."""
    for one in run.whole:
        info = one["extra_info"]
        timed_s = sum(test["stats"]["total"] for test in run.record["benchmarks"] if test["param"] == one["param"])
        assert info["took_s"] >= timed_s + info["first_call_s"]
    assert sum(one["extra_info"]["took_s"] for one in run.whole) <= run.elapsed_s


def test_what_a_case_took_is_added_over_its_tests(monkeypatch):
    """A forward pass, a backward pass and a whole step, on a clock that moves only in the tests."""
    machine = Machine().replace(monkeypatch, timed)
    machine.times.monotonic = lambda: machine.now_s
    begun = recording.Recording(Settings(), None, load.moment())
    item = SimpleNamespace(
        callspec=SimpleNamespace(params={"case": "one"}), config=SimpleNamespace(stash={recording.KEY: begun})
    )
    for seconds in (2.0, 3.0, 4.0):
        around = timed.pytest_runtest_protocol(item)
        next(around)
        machine.now_s += seconds
        with suppress(StopIteration):
            next(around)
    assert begun.took_s == {"one": 9.0}


def test_first_call_and_memory_are_those_of_the_known_style(run, known):
    """Preparing and a call of all steps; what was freed again counts too."""
    info = known["extra_info"]
    slept_s = PREPARED_S + CALLED_S + SLEPT_S * info["first_call_steps"]
    assert slept_s <= info["first_call_s"] <= run.elapsed_s
    # Some small arrays, less what lies in memory that the process had before.
    assert -(2**20) < info["memory_peak_bytes"] - HELD_BYTES - FREED_BYTES < 16 * 2**20
    for one in run.whole:
        info = one["extra_info"]
        assert info["device_memory_peak_bytes"] is None
        assert run.started - timedelta(seconds=1) <= datetime.fromisoformat(info["first_call_at"]) <= run.ended
    keys = [one["extra_info"]["first_call_key"] for one in run.whole]
    assert all(re.fullmatch("[0-9a-f]{64}", key) for key in keys)
    assert len(set(keys)) == len(keys)


def least(values):
    """Return the smallest of those that are known."""
    return min((value for value in values if value is not None), default=None)


def times(moments, long, short):
    """Return the seconds of a step and of a call's start, by the fastest calls of all moments."""
    long_s, short_s = (least(moment[name] for moment in moments) for name in ("long_s", "short_s"))
    if short is not None and short_s / short >= (long_s - short_s) / (long - short) > 0:
        step_s = (long_s - short_s) / (long - short)
        return step_s, short_s - short * step_s, math.hypot(long_s, short_s) / (long_s - short_s)
    return long_s / long, None, 0.0


def test_times_of_steps_follow_from_the_moments(run):
    """As ``docs/measuring.md`` says: the step, its errors and interval, what a call pays once."""
    references_s = sorted(moment["reference_s"] for one in run.whole for moment in one["extra_info"]["moments"])
    fast_s = references_s[len(references_s) * 5 // 100]
    unrest = np.mean([max(0.0, math.log(second / fast_s)) for second in references_s])
    for one in run.whole:
        info = one["extra_info"]
        moments, long, short = info["moments"], info["steps"], info["short_steps"]
        best_s = min(moment["reference_s"] for moment in moments)
        used = [moment for moment in moments if moment["reference_s"] <= 1.1 * best_s]
        step_s, call_s, leverage = times(used, long, short)
        rests = [[other for other in used if other is not moment] for moment in used] if len(used) > 1 else []
        spread = max((abs(math.log(times(rest, long, short)[0] / step_s)) for rest in rests), default=0.4)
        length = min(4.0, max(1.0, min(moment["long_s"] for moment in used) / 1.8e-3))
        own = min(100.0, math.hypot(0.0115 * length * max(1.0, leverage / 1.4), 0.25 * spread))
        error = min(100.0, math.hypot(own, 0.75 * unrest))
        disturbed = sum(m["disturbed"] for m in moments) / sum(m["rounds"] for m in moments)
        expected = {"step_s": step_s, "call_s": call_s, "own_error": own, "step_error": error, "unrest": unrest}
        expected |= {"disturbed": disturbed}
        for name, value in expected.items():
            assert info[name] == (None if value is None else pytest.approx(value, rel=1e-9, abs=0)), name
        interval_s = [step_s * math.exp(-2 * error), step_s * math.exp(2 * error)]
        assert info["step_interval_s"] == pytest.approx(interval_s, rel=1e-9, abs=0)


def test_comparisons_follow_from_the_times(run):
    """The share of peak, the multiple of the baseline, and from which step on a style is ahead of it."""
    peaks = {peak["dtype"]: peak for peak in run.record["gradperf"]["ceilings"]}
    bases = {one["problem"]: one for one in run.facts.values() if _is_baseline(one)}
    for one in run.whole:
        info = one["extra_info"]
        base, peak, moved = bases[info["problem"]], peaks[info["dtype"]], info["bytes_per_step"]
        rates = {int(size): rate for size, rate in peak["copy_bytes_per_s"].items()}
        rate = max((rate for size, rate in rates.items() if size >= moved), default=rates[max(rates)])
        least_s = max(info["flops_per_step"] / peak["flops_per_s"], moved / rate)
        assert info["peak_fraction"] == pytest.approx(least_s / info["step_s"], rel=1e-9, abs=0)
        assert info["ratio_to_baseline"] == pytest.approx(info["step_s"] / base["step_s"], rel=1e-9, abs=0)
        assert info["break_even_steps"] == (None if info is base else ahead_from(info, base))


def _is_baseline(info):
    return info["part"] == "all" and info["style"] in ("by_hand", "operator", "analytic")


def ahead_from(style, base):
    """Return the first step from which on a style's total is smaller than the baseline's."""
    step_s, base_step_s = Fraction(style["step_s"]), Fraction(base["step_s"])
    once_s, base_once_s = (
        max(Fraction(0), Fraction(one["first_call_s"]) - one["first_call_steps"] * Fraction(one["step_s"]))
        for one in (style, base)
    )
    if step_s > base_step_s:
        return "never"
    return max(1, math.floor((once_s - base_once_s) / (base_step_s - step_s)) + 1)


def test_halves_have_no_times_of_steps(run):
    """They are timed by pytest-benchmark alone."""
    halves = [info for info in run.facts.values() if info["part"] != "all"]
    assert len(halves) == 2 * 6
    timed = ("step_s", "call_s", "step_error", "took_s", "first_call_s", "peak_fraction", "flops_per_step")
    assert {info[name] for info in halves for name in timed} == {None}


def test_ceilings_are_the_rates_of_the_best_call(monkeypatch):
    """On a clock that moves only in the calls; the second framework is faster at some of them."""
    machine = Machine().replace(monkeypatch, ceilings)
    product_s = {"numpy": {512: 0.25, 1024: 4.0}, "torch": {512: 0.5, 1024: 1.0}}
    copy_s = {"numpy": lambda size: size / 2e9, "torch": lambda size: size / 1e9 if size < 2**20 else size / 4e9}

    def runtime(name, threads):
        return SimpleNamespace(
            multiplier=lambda a, b, device: lambda: machine.call(product_s[name][len(a)])(1),
            copier=lambda size, device: lambda: machine.call(copy_s[name](size))(1),
        )

    monkeypatch.setattr(ceilings.frameworks, "load", runtime)
    monkeypatch.setattr(ceilings, "_known", {})
    monkeypatch.setattr(ceilings, "_measured", set())
    ceilings.ceilings("numpy", "cpu", "float32", 1)
    ceilings.ceilings("torch", "cpu", "float32", 1)
    begun = recording.Recording(Settings(), None, load.moment())
    (recorded,) = recording.run_facts(begun, [], load.moment(), finished=0).ceilings
    sizes = [2**k for k in (14, 16, 18, 20, 22, 24, 26)]
    assert recorded == {
        "device": "cpu",
        "dtype": "float32",
        "flops_per_s": pytest.approx(2 * 1024**3 / 1.0),
        "copy_bytes_per_s": pytest.approx({2 * s: 2 * (2e9 if s < 2**20 else 4e9) for s in sizes}),
    }


# The run.


def test_run_is_the_one_that_was_started_here(run):
    """The command, what it selected, when it began and ended, and how many benchmarks it has."""
    facts = run.record["gradperf"]
    assert facts.keys() == {fact.name for fact in fields(RunFacts)}
    assert all(info.keys() == {fact.name for fact in fields(Facts)} for info in run.facts.values())
    assert facts["schema"] == 2
    assert facts["command"] == ["pytest", "-p", "no:cacheprovider", *run.arguments]
    assert facts["selection"] == {
        "paths": ["perf"],
        "keyword": KEYWORD,
        "markers": None,
        "deselected": [],
        "ignored": [],
        "framework": ["numpy"],
        "style": sorted(STYLES),
        "problem": sorted(PROBLEMS),
        "device": [],
        "dtype": ["float32", "float64"],
    }
    # 4 trainings by hand, 3 more styles of the polynomial, the known style; 2 products in 2 styles; 1 derivative.
    wholes, halves, harness = 4 + 3 + 1 + 2 * 2 + 1, 2 * 6, 1
    assert facts["benchmarks_selected"] == facts["benchmarks_finished"] == wholes + halves + harness
    assert len(run.record["benchmarks"]) == wholes + halves + harness
    assert (facts["cut_short"], facts["planted"], facts["failed"]) == (None, {}, {})
    cannot = {reason: set(ids) for reason, ids in facts["cannot_run"].items()}
    assert cannot == {
        reason: {
            f"{problem}-numpy.{style}-cpu-{dtype}"
            for problem in {*PROBLEMS[:4]} - {only}
            for dtype in ("float32", "float64")
        }
        for reason, style, only in (
            ("its cost is known for one problem", "known", "two_layer_784x30x10"),
            ("its steps are fast in one problem", "dear", "polynomial_degree4"),
        )
    }
    started, finished = (datetime.fromisoformat(facts[name]) for name in ("started", "finished"))
    assert run.started - timedelta(seconds=1) <= started <= finished <= run.ended
    moments = [moment["at"] for one in run.whole for moment in one["extra_info"]["moments"]]
    assert all(started <= datetime.fromisoformat(at) <= finished for at in moments)


def test_load_and_steal_are_those_of_the_system(monkeypatch, tmp_path):
    """The load of the last minute, not of five; the ticks that the host took, of all that were wanted."""
    (tmp_path / "proc").mkdir()

    def moment(minute, stolen):
        monkeypatch.setattr(os, "getloadavg", lambda: (minute, 5.0, 15.0))
        # user, nice, system, idle, iowait, irq, softirq, steal
        (tmp_path / "proc/stat").write_text(f"cpu  {100 + stolen} 0 0 {900 * stolen} 0 0 0 {stolen} 0 0\n")
        return load.moment(tmp_path)

    begun = recording.Recording(Settings(), None, moment(1.25, 0))
    run = recording.run_facts(begun, [], moment(2.5, 30), finished=0)
    assert run.load == {"start": 1.25, "end": 2.5}
    assert run.steal == 30 / (30 + 30)


def test_environment_and_pools_are_those_of_the_run(run):
    """The threads are bound, and of two known variables the one of a numerical library is recorded."""
    facts = run.record["gradperf"]
    facts["environment"].pop("KMP_DUPLICATE_LIB_OK", None)  # threadpoolctl may set it
    threads = dict.fromkeys(("MKL_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    assert facts["environment"] == {"JAX_KNOWN": "recorded", **threads}
    pools = {
        f"{pool['internal_api']} ({Path(pool['filepath']).name})": 1 for pool in threadpoolctl.threadpool_info()
    }
    assert facts["pools"].items() <= pools.items()
    assert facts["pools"]


def test_machine_and_versions_are_those_of_here(run):
    """By the system and by the installed distributions."""
    info = run.record["machine_info"]
    packages = {"jax": ["jax"], "jaxlib": ["jaxlib"], "keras": ["keras"], "numpy": ["numpy"], "torch": ["torch"]}
    packages["tensorflow"] = ["tensorflow", "tensorflow-cpu"]
    versions = {one.name.lower().replace("_", "-"): one.version for one in metadata.distributions()}
    installed = {package: versions[n] for package, names in packages.items() for n in names if n in versions}
    assert info["versions"] == installed
    assert {facts["framework_version"] for facts in run.facts.values()} == {metadata.version("numpy")}
    assert info["python_version"] == platform.python_version()
    assert info["logical_cpus"] == os.cpu_count()
    assert not info["cpu"].keys() & {"hz_actual", "hz_advertised"}
    if sys.platform == "linux":
        assert info["affinity_cpus"] == len(os.sched_getaffinity(0))
        assert 0 < info["effective_cpus"] <= info["affinity_cpus"]
        names = re.findall(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
        assert not names or info["cpu_model"] == names[0]
    if shutil.which("nvidia-smi") is None:
        assert info["gpus"] == {}
    built = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    assert (info["blas"]["name"], info["blas"]["version"]) == (built["name"], built["version"])
    assert {pool["num_threads"] for pool in info["blas"]["loaded"].values()} == {1}
