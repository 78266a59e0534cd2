"""A record is right: every field of a real run is computed again, by plain numpy and arithmetic written here.

At another seed than the default. Errors, waits and rates of known size are planted, as a check of a number that is
nearly 0 would pass for any small number.
"""

import hashlib
import json
import math
import platform
import re
import sys
from datetime import UTC, datetime, timedelta
from importlib import metadata
from types import SimpleNamespace

import numpy as np
import pytest

from correctness.planted import Fault, planted_package, time_as_a_user
from gradperf import problems
from gradperf.checks import ceilings
from tests.conftest import ROOT, run_process
from tests.fake_time import Machine

SEED = 3
NAMES = ("polynomial_degree4", "tiny_bias_adam_3x2x1", "matmul_64x64x64", "sine_derivative_100")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return the record of a real run of numpy's styles, and when it began and ended."""
    folder = tmp_path_factory.mktemp("recomputed")
    command = [sys.executable, "-m", "pytest", str(ROOT / "perf"), "-p", "no:cacheprovider", "--framework", "numpy"]
    command += ["--style", "by_hand,by_hand_inplace,operator,einsum,analytic", "--problem", ",".join(NAMES)]
    command += ["--seed", str(SEED), "--benchmark-max-time=0.01", f"--benchmark-storage=file://{folder}"]
    begun = datetime.now(UTC).replace(microsecond=0)
    done = run_process(command, folder, "", {})
    ended = datetime.now(UTC)
    assert done.returncode == 0, done.stdout
    (file,) = folder.glob("*/*.json")
    return SimpleNamespace(stored=json.loads(file.read_text()), command=command, begun=begun, ended=ended)


@pytest.fixture
def facts(run):
    """Return ``facts(problem, style)``: what was recorded of its whole steps."""

    def find(problem, style):
        (one,) = [
            benchmark
            for benchmark in run.stored["benchmarks"]
            if benchmark["extra_info"]["part"] == "all"
            and (benchmark["extra_info"]["problem"], benchmark["extra_info"]["style"]) == (problem, style)
        ]
        return SimpleNamespace(**one["extra_info"], stats=one["stats"], name=one["name"])

    return find


def cases(run):
    """Return what was recorded of all whole steps."""
    found = [one["extra_info"] for one in run.stored["benchmarks"] if one["extra_info"]["part"] == "all"]
    return [one for one in found if one["problem"] != "nothing"]


def sha256(arrays):
    """Hash names, dtypes, shapes and bytes, in the order of the names."""
    text = b"".join(
        f"{name} {array.dtype.str} {array.shape}\n".encode() + array.tobytes()
        for name, array in sorted(arrays.items())
    )
    return hashlib.sha256(text).hexdigest()


def test_names_and_settings(run):
    """They are those of the test's id, and of the command."""
    assert {one["problem"] for one in cases(run)} == set(NAMES)
    for benchmark in run.stored["benchmarks"]:
        info = benchmark["extra_info"]
        (id_,) = re.findall(r"\[(.*)\]", benchmark["name"])
        assert id_ == f"{info['problem']}-{info['framework']}.{info['style']}-{info['device']}-{info['dtype']}"
        assert (info["tier"], info["threads"], info["seed"]) == ("quick", 1, SEED)
        part = {"test_forward": "forward", "test_backward": "backward"}.get(
            benchmark["name"].partition("[")[0], "all"
        )
        assert info["part"] == part


def test_hashes_of_the_inputs(facts):
    """Drawn here once more."""
    generator = np.random.default_rng(SEED)
    a, b = generator.standard_normal((4, 64, 64)), generator.standard_normal((64, 64))
    assert facts("matmul_64x64x64", "operator").inputs_sha256 == sha256({"a": a.astype("f4"), "b": b.astype("f4")})
    x, distance = np.linspace(-2 * np.pi, 2 * np.pi, 100, retstep=True)
    rows = np.stack([x + distance * row / 50 for row in range(50)]).astype("f4")
    assert facts("sine_derivative_100", "analytic").inputs_sha256 == sha256({"x": rows})
    x = np.linspace(0, 5, 100)[:, None]
    published = {"x": x, "y": np.sin(x), "w1": np.zeros((5, 1))}
    assert facts("polynomial_degree4", "by_hand").inputs_sha256 == sha256(published)


WORK = {
    # operations in products, all operations, bytes of a step; each line is counted by hand
    "matmul_64x64x64": (2 * 64**3, 2 * 64**3, 4 * 3 * 64**2),
    "sine_derivative_100": (0, 100, 4 * 2 * 100),
    # 100 points, 5 powers, 1 output: a product forward, one for the weights. Then 5 powers and 4 of the residual
    # for each point, and 2 for each weight. x, y, weights twice, the loss.
    "polynomial_degree4": (2 * 2 * 100 * 5, 2 * 2 * 100 * 5 + 100 * (5 + 4) + 2 * 5, 8 * (200 + 2 * 5 + 1)),
}


@pytest.mark.parametrize("problem", WORK)
def test_work_of_a_step(run, problem):
    """In every style of the problem, and as counted."""
    for info in cases(run):
        if info["problem"] == problem:
            found = info["product_flops_per_step"], info["flops_per_step"], info["bytes_per_step"]
            assert found == WORK[problem]
            assert info["product_flops_counted"] == WORK[problem][0] or info["uncounted"]


def test_final_loss_of_sgd(facts):
    """Trained here, in float64, over the default steps."""
    problem = problems.find("polynomial_degree4").at_tier("quick")
    drawn = problem.inputs(SEED, "float64")
    x, y, w = drawn["x"], drawn["y"], drawn["w1"].copy()
    powers = np.concatenate([x**k for k in range(5)], axis=1)
    for _ in range(problem.steps):
        residual = powers @ w - y
        loss = np.mean(residual**2)
        w -= problem.optimizer.lr * 2 / len(x) * powers.T @ residual
    for style in ("by_hand", "by_hand_inplace"):
        assert facts("polynomial_degree4", style).final_loss == pytest.approx(loss, rel=1e-9)
        assert facts("polynomial_degree4", style).first_call_steps == problem.steps


def test_final_loss_of_adam(facts):
    """By the published algorithm, written here with scalars for each entry."""
    problem = problems.find("tiny_bias_adam_3x2x1").at_tier("quick")
    drawn = {name: array.astype(float) for name, array in problem.inputs(SEED, "float32").items()}
    names, optimizer = ("w1", "b1", "w2", "b2"), problem.optimizer
    m, v = ({name: np.zeros_like(drawn[name]) for name in names} for _ in range(2))
    for t in range(1, problem.steps + 1):
        z = drawn["x"] @ drawn["w1"] + drawn["b1"]
        a = np.maximum(z, 0)
        residual = a @ drawn["w2"] + drawn["b2"] - drawn["y"]
        scale = len(residual) if problem.loss == "mean" else 1
        loss = np.sum(residual**2) / scale
        by_output = 2 * residual / scale
        by_z = by_output @ drawn["w2"].T * (z > 0)
        gradients = {
            "w1": drawn["x"].T @ by_z,
            "b1": by_z.sum(axis=0),
            "w2": a.T @ by_output,
            "b2": by_output.sum(axis=0),
        }
        for name in names:
            m[name] = optimizer.beta1 * m[name] + (1 - optimizer.beta1) * gradients[name]
            v[name] = optimizer.beta2 * v[name] + (1 - optimizer.beta2) * gradients[name] ** 2
            rate = optimizer.lr * math.sqrt(1 - optimizer.beta2**t) / (1 - optimizer.beta1**t)
            drawn[name] -= rate * m[name] / (np.sqrt(v[name]) + optimizer.eps * math.sqrt(1 - optimizer.beta2**t))
    assert facts("tiny_bias_adam_3x2x1", "by_hand").final_loss == pytest.approx(loss, rel=1e-5)


def test_times_follow_from_the_moments(run):
    """A step is what a longer call takes more, and it lies in its interval; what a call pays once is the rest."""
    for info in cases(run):
        moments = info["moments"]
        assert {moment["process"] for moment in moments} == {"main", "second"}
        assert all(run.begun <= datetime.fromisoformat(moment["at"]) <= run.ended for moment in moments)
        if info["step_interval_s"] is not None:  # too few moments on a busy machine show none
            low, high = info["step_interval_s"]
            assert low < info["step_s"] < high
        if info["short_steps"] is None or info["call_s"] is None or None in [one["short_s"] for one in moments]:
            continue
        more = info["steps"] - info["short_steps"]
        steps_s = [(moment["long_s"] - moment["short_s"]) / more for moment in moments]
        assert 0.8 * min(steps_s) <= info["step_s"] <= 1.2 * max(steps_s)
        calls_s = [moment["short_s"] - info["short_steps"] * info["step_s"] for moment in moments]
        assert min(calls_s) - 1e-6 <= info["call_s"] <= max(*calls_s, 0.0) + 1e-6
        share = sum(moment["disturbed"] for moment in moments) / sum(moment["rounds"] for moment in moments)
        assert info["disturbed"] == pytest.approx(share)


def test_ratios_follow_from_the_times(run, facts):
    """To the baseline, and to the ceilings of the run."""
    for info in cases(run):
        baseline = {"matmul_64x64x64": "operator", "sine_derivative_100": "analytic"}.get(
            info["problem"], "by_hand"
        )
        base_s = facts(info["problem"], baseline).step_s
        assert info["ratio_to_baseline"] == pytest.approx(info["step_s"] / base_s, rel=1e-6)
        (ceiling,) = [one for one in run.stored["gradperf"]["ceilings"] if one["dtype"] == info["dtype"]]
        rates = [
            rate for moved, rate in ceiling["copy_bytes_per_s"].items() if int(moved) >= info["bytes_per_step"]
        ]
        least_s = max(info["flops_per_step"] / ceiling["flops_per_s"], info["bytes_per_step"] / max(rates))
        assert info["peak_fraction"] == pytest.approx(least_s / info["step_s"], rel=1e-6)


def test_break_even_follows_from_the_first_calls(facts):
    """Found by adding up, step by step, or by the sign of the difference where that takes too long."""
    style, base = (facts("polynomial_degree4", name) for name in ("by_hand_inplace", "by_hand"))
    once_s = [max(0.0, one.first_call_s - one.first_call_steps * one.step_s) for one in (style, base)]

    def ahead(steps):
        return once_s[0] + steps * style.step_s < once_s[1] + steps * base.step_s

    found = style.break_even_steps
    assert (found == "never") == (style.step_s >= base.step_s)
    if found != "never":
        assert ahead(found)
        assert found == 1 or not ahead(found - 1)


def test_versions_and_machine(run):
    """Of what is installed here, and of this machine."""
    machine = run.stored["machine_info"]
    for name in ("torch", "tensorflow", "jax", "jaxlib", "numpy"):
        if name in machine["versions"]:
            package = {"tensorflow": "tensorflow-cpu"}.get(name, name)
            assert machine["versions"][name].partition("+")[0] == metadata.version(package).partition("+")[0]
    assert {one["framework_version"] for one in cases(run)} == {np.__version__} == {metadata.version("numpy")}
    assert machine["python_version"] == platform.python_version()
    assert machine["settings"] == {"tier": "quick", "threads": 1, "seed": SEED}


def test_facts_of_the_run(run):
    """Command, selection, counts, begin and end."""
    known = run.stored["gradperf"]
    assert known["command"][-len(run.command) + 4 :] == run.command[4:]
    assert run.begun <= datetime.fromisoformat(known["started"]) <= datetime.fromisoformat(known["finished"])
    assert datetime.fromisoformat(known["finished"]) <= run.ended + timedelta(seconds=1)
    assert known["benchmarks_selected"] == known["benchmarks_finished"] == len(run.stored["benchmarks"])
    assert known["selection"]["problem"] == sorted(NAMES)
    assert (known["tier"], known["threads"], known["seed"]) == ("quick", 1, SEED)
    assert set(known["pools"].values()) == {1}
    assert known["environment"]["OMP_NUM_THREADS"] == "1"
    assert (known["cut_short"], known["planted"], known["schema"]) == (None, {}, 2)


PLANTED = """    import time

    def wrong(steps: int = problem.steps) -> dict[str, Any]:
        time.sleep(0.002 * steps + 0.003)
        outputs = run(steps)
        return {name: array * (1 + 5e-13) if name == "losses" else array for name, array in outputs.items()}

    return wrong
"""


def test_planted_sizes(tmp_path):
    """Errors of 4e-13 in a gradient and 5e-13 in the losses, 2 ms in each step and 3 ms in each call."""
    fault = Fault("", "numpy", "by_hand", "frameworks/numpy/backprop.py", "    return run\n", PLANTED)
    planted_package(fault, tmp_path)
    file = tmp_path / "gradperf" / fault.file
    right = "gradients[w] = weight_gradient(a, delta)"
    assert right in file.read_text()
    file.write_text(file.read_text().replace(right, f"{right} * (1 + 4e-13)"))
    options = ["--framework", "numpy", "--style", "by_hand", "--problem", "polynomial_degree4"]
    code, printed = time_as_a_user(tmp_path, "training", *options)
    assert code == 0, printed
    (run_file,) = (tmp_path / "results").rglob("*.json")
    (info,) = [
        one["extra_info"]
        for one in json.loads(run_file.read_text())["benchmarks"]
        if one["extra_info"]["problem"] == "polynomial_degree4" and one["extra_info"]["part"] == "all"
    ]
    assert info["gradient_error"] == pytest.approx(4e-13, rel=0.01, abs=0)
    assert info["trajectory_error"] == pytest.approx(5e-13, rel=0.05, abs=0)
    assert info["step_s"] >= 0.0019
    assert info["steps"] * info["step_s"] + (info["call_s"] or 0) >= info["steps"] * 0.002 + 0.003 - 1e-4
    assert info["cpu_per_wall"] < 0.9


def test_ceilings_of_known_rates(monkeypatch):
    """By a machine on which a product takes 20 ms, and a copy 1 µs and 0.1 ns for each byte."""
    machine = Machine().replace(monkeypatch, ceilings)

    def takes(seconds):
        def call():
            machine.now_s += seconds

        return call

    runtime = SimpleNamespace(
        multiplier=lambda a, b, device: takes(0.02),
        copier=lambda size_bytes, device: takes(1e-6 + 1e-10 * size_bytes),
    )
    monkeypatch.setattr(ceilings.frameworks, "load", lambda framework, threads: runtime)
    found = ceilings._measure("numpy", "cpu", "float32", 1)
    assert found.flops_per_s == pytest.approx(2 * 1024**3 / 0.02)
    for moved, rate in found.copy_bytes_per_s.items():
        assert rate == pytest.approx(moved / (1e-6 + 1e-10 * moved / 2))
    assert found.least_s(10**9, 0) == pytest.approx(10**9 * 0.02 / (2 * 1024**3))
