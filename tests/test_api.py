"""``import gradperf``: checked gradients, loaded runs, explained names."""

import json
import math
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import gradperf
from gradperf import api, problems
from gradperf.api import paired as paired_module
from gradperf.api.diagnosis import Sizes, diagnosis
from gradperf.api.notebook import Table
from gradperf.errors import UnknownName, UserError
from tests.conftest import ROOT
from tests.records import RUN, record

SIZES = Sizes(batch=64, outputs=10)


def by_hand(x, y, w1, b1, w2, b2):
    """Return the gradients of a network with a ReLU and the loss Σ(ŷ − y)², written apart from the suite's."""
    z = x @ w1 + b1
    hidden = np.where(z > 0, z, 0)
    by_result = 2 * (hidden @ w2 + b2 - y)
    by_z = np.where(z > 0, by_result @ w2.T, 0)
    return {"w1": x.T @ by_z, "b1": by_z.sum(0), "w2": hidden.T @ by_result, "b2": by_result.sum(0)}


def verdicts(backward, **more):
    """Return what was found of each parameter of a network with biases."""
    return {
        one["parameter"]: one["verdict"] for one in gradperf.check(backward, "tiny_bias_3x2x1", **more).records()
    }


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "given",
    [
        by_hand,
        lambda **inputs: list(by_hand(**inputs).values()),
        lambda **inputs: {f"grad_{name}": gradient for name, gradient in by_hand(**inputs).items()},
        lambda x, y, **weights: by_hand(x, y, **weights),
    ],
)
def test_right(given, dtype):
    """Gradients by name or in order, of any seed."""
    for seed in range(3):
        checked = gradperf.check(given, "tiny_bias_3x2x1", dtype=dtype, seed=seed)
        assert checked
        assert {one.problem for one in checked.parameters} == {""}


MISTAKES = {
    "sign": (
        lambda g: {**g, "w1": -g["w1"]},
        "w1",
        "is −1 times it: is the sign wrong, as in target − prediction?",
    ),
    "batch": (lambda g: {**g, "w2": g["w2"] / 64}, "w2", "is 1/64 of it: is it divided by the batch?"),
    "square": (
        lambda g: {**g, "b1": g["b1"] / 2},
        "b1",
        "is 1/2 of it: is the 2 of the square's derivative left out?",
    ),
    "factor": (lambda g: {**g, "b1": g["b1"] * 1.7}, "b1", "is 1.7 times the gradient"),
    "missing": (lambda g: {name: g[name] for name in ("w1", "b1", "w2")}, "b2", "was not returned"),
    "zero": (
        lambda g: {**g, "w1": 0 * g["w1"]},
        "w1",
        "is 0 everywhere: is it computed, and does the loss depend on it?",
    ),
    "nan": (lambda g: {**g, "b2": g["b2"] * np.nan}, "b2", "holds NaN or infinity in 1 of 1 entries"),
    "transposed": (lambda g: {**g, "w1": g["w1"].T}, "w1", "has shape (2, 3), not (3, 2): it is transposed"),
    "row": (lambda g: {**g, "b1": g["b1"][None]}, "b1", "has shape (1, 2), not (2,), and is right otherwise"),
    "exchanged": (lambda g: {**g, "b1": g["w2"]}, "b1", "is the gradient of w2"),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_one_mistake(kind):
    """It is named, and the other gradients are right."""
    change, name, text = MISTAKES[kind]
    found = verdicts(lambda **inputs: change(by_hand(**inputs)))
    assert found.pop(name) == text
    assert set(found.values()) == {"right"}


def test_lower_precision():
    """Gradients in float32 are right in a float32 check alone."""

    def backward(**inputs):
        return by_hand(**{name: array.astype("float32") for name, array in inputs.items()})

    found = set(verdicts(backward).values())
    assert all(re.match(r"is off by \d\.\de-0[678] of its norm, more than rounding", text) for text in found)
    assert set(verdicts(backward, dtype="float32").values()) == {"right"}


def test_what_a_check_shows():
    """A table, in a notebook and elsewhere; it is true if all are right."""
    checked = gradperf.check(lambda **inputs: {**by_hand(**inputs), "b1": None}, "tiny_bias_3x2x1")
    assert not checked
    assert repr(checked) == str(checked)
    assert str(checked).splitlines()[1].split() == ["parameter", "error", "verdict"]
    assert re.search(r"^b1 +– +was not returned$", str(checked), re.MULTILINE)
    assert "<td>was not returned</td>" in checked._repr_html_()


def test_entries():
    """A mistake in some entries is said to be in their columns or rows, with the furthest."""
    expected = np.arange(1.0, 31.0).reshape(5, 6)
    found = expected.copy()
    found[:, 4] += 100
    text = diagnosis("w1", found, {"w1": expected}, SIZES)
    assert text == "is off in column 4 alone: 5 of 30 entries, furthest at (0, 4): 105, not 5"
    found = expected.copy()
    found[2] = 0
    assert diagnosis("w1", found, {"w1": expected}, SIZES).startswith("is off in row 2 alone: 6 of 30 entries")


def test_bias_that_is_not_summed():
    """Its gradient has a row for each example."""
    rows = np.random.default_rng(0).standard_normal((64, 10))
    text = diagnosis("b1", rows, {"b1": rows.sum(0)}, SIZES)
    assert text == "has shape (64, 10), not (10,): it is not summed over the batch"


def test_without_the_derivative_of_the_relu():
    """An error in the entries is never called a factor."""

    def backward(x, y, w1, w2):
        hidden = np.maximum(x @ w1, 0)
        by_result = 2 * (hidden @ w2 - y)
        return x.T @ (by_result @ w2.T), hidden.T @ by_result

    first, second = gradperf.check(backward, "two_layer_784x30x10").parameters
    assert first.problem.startswith("is off")
    assert second.right


@pytest.mark.parametrize(
    ("given", "problem", "message"),
    [
        (lambda x, y: 1, "tiny_3x2x1", r"called with these inputs by name: x \(64, 3\), y"),
        (lambda **_: 1, "tiny_3x2x1", "the function returned int; return the gradients by w1, w2"),
        (lambda **_: [1, 2, 3], "tiny_3x2x1", "the function returned 3 values"),
        (lambda **_: {"w3": 1}, "tiny_3x2x1", "the function returned w3; the parameters are w1, w2"),
        (lambda **_: ["a", "b"], "tiny_3x2x1", "the gradient by w1 is no array of numbers"),
        (by_hand, "matmul_5x784x10", "has no parameters to take gradients by"),
        (by_hand, "tiny_3x2", "unknown problem 'tiny_3x2'. Did you mean 'tiny_3x2x1'"),
    ],
)
def test_what_is_no_set_of_gradients(given, problem, message):
    """One error says what to return."""
    with pytest.raises(UserError, match=message):
        gradperf.check(given, problem)


def test_inputs_may_be_changed():
    """The function gets copies, so a second check sees the same numbers."""

    def backward(x, y, w1, b1, w2, b2):
        gradients = by_hand(x, y, w1, b1, w2, b2)
        for array in (x, y, w1, b1, w2, b2):
            array[...] = 0
        return gradients

    assert gradperf.check(backward, "tiny_bias_3x2x1")
    assert gradperf.check(backward, "tiny_bias_3x2x1")


@pytest.mark.parametrize("framework", ["torch", "tensorflow", "jax"])
def test_arrays_of_frameworks(framework):
    """They are copied to numpy, those that need a gradient too."""
    module = pytest.importorskip(framework)
    make = {
        "torch": lambda array: module.tensor(array, requires_grad=True),
        "tensorflow": lambda array: module.constant(array),
        "jax": lambda array: module.numpy.asarray(array),
    }[framework]
    dtype = "float32"  # JAX has no float64 without its switch
    assert gradperf.check(
        lambda **inputs: [make(g.astype(dtype)) for g in by_hand(**inputs).values()], "tiny_bias_3x2x1", dtype=dtype
    )


def test_load(tmp_path):
    """A row for each case, as ``gradperf show --format json`` prints it; text, a table, and no markup of others."""
    file = tmp_path / "0001_x.json"
    file.write_text(json.dumps({"benchmarks": [*RUN, record(problem="<script>alert(1)</script>")]}))
    run = gradperf.load(file)
    rows = run.records()
    assert len(rows) == len([one for one in run.run.benchmarks if one.is_compared])
    assert rows[0]["step_s"] > 0
    assert str(run).startswith(str(file))
    assert repr(run) == str(run)
    assert "<script>" not in run._repr_html_()
    assert run._repr_html_().count("<tr>") == len(rows) + 1
    assert gradperf.load(tmp_path).records() == rows
    with pytest.raises(UserError, match="there is no such folder"):
        gradperf.load(results=tmp_path / "missing")


def test_to_pandas(tmp_path, monkeypatch):
    """A frame where pandas is; else an error that says how to install it."""
    file = tmp_path / "0001_x.json"
    file.write_text(json.dumps({"benchmarks": [*RUN]}))
    run = gradperf.load(file)
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "pandas", None)
        with pytest.raises(UserError, match="pip install pandas"):
            run.to_pandas()
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=lambda rows: ("frame", rows)))
    assert run.to_pandas() == ("frame", run.records())


class Machine:
    """A clock that functions advance: one with noise, spikes, and a drift that doubles all times meanwhile."""

    def __init__(self, seed):
        self.now_s, self.coin = 0.0, np.random.default_rng(seed)

    def __call__(self):
        """Return the time."""
        return self.now_s

    def taking(self, seconds, name):
        """Return a function that takes this long."""

        def function():
            spike = 3.0 if self.coin.random() < 0.02 else 1.0
            noise = np.exp(0.05 * self.coin.standard_normal())
            self.now_s += seconds * noise * spike * (1 + self.now_s / 0.4)

        function.__name__ = name
        return function


def paired(monkeypatch, seed, slower):
    """Return what is found of a second function that takes ``slower`` times as long."""
    machine = Machine(seed)
    monkeypatch.setattr(paired_module, "clock", machine)
    monkeypatch.setattr(paired_module, "preemptions", lambda: 0)
    return gradperf.pair(machine.taking(1e-3, "old"), machine.taking(1e-3 * slower, "new"), seed=seed)


def test_pairs_of_equal_functions(monkeypatch):
    """95 % of the intervals hold 1, although the machine becomes twice as slow."""
    found = [paired(monkeypatch, seed, 1.0) for seed in range(150)]
    alarms = sum(one.verdict != "nothing seen" for one in found)
    assert alarms <= 17  # 7.5 are expected; more than 17 have a probability of 0.001
    assert found[0].pairs == 48


def test_pairs_of_different_functions(monkeypatch):
    """10 % are found, and the interval holds the true ratio."""
    found = [paired(monkeypatch, seed, 1.1) for seed in range(100)]
    assert sum(one.verdict == "slower" for one in found) >= 95
    assert sum(one.interval[0] <= 1.1 <= one.interval[1] for one in found) >= 88
    assert {paired(monkeypatch, seed, 1 / 1.3).verdict for seed in range(20)} == {"faster"}


def test_pairs_of_long_functions(monkeypatch):
    """They have fewer turns, of one call, but enough for an interval."""
    machine = Machine(0)
    monkeypatch.setattr(paired_module, "clock", machine)
    found = gradperf.pair(machine.taking(1.0, "old"), machine.taking(1.0, "new"))
    assert found.pairs == 6
    assert np.isfinite(found.interval).all()


def test_pairs_that_were_disturbed(monkeypatch):
    """They are left out while enough are left."""
    machine = Machine(0)
    monkeypatch.setattr(paired_module, "clock", machine)
    numbers = iter(range(10**6))
    monkeypatch.setattr(paired_module, "preemptions", lambda: next(numbers) // 3)  # every third number is new
    found = gradperf.pair(machine.taking(1e-3, "old"), machine.taking(1e-3, "new"))
    assert 0 < found.disturbed < 48
    assert found.pairs + found.disturbed == 48


def test_what_a_pair_shows(monkeypatch):
    """A sentence, and a row for each function; two lambdas are called first and second."""
    found = paired(monkeypatch, 1, 1.5)
    assert re.match(r"new is slower than old: 1\.\d+ of its time \(1\.\d+ to 1\.\d+\), 48 pairs", str(found))
    assert [row["function"] for row in found.records()] == ["old", "new"]
    assert gradperf.pair(lambda: None, lambda: None).title.split()[0] == "second"


def test_explain():
    """The text of the command; unknown names are answered with the nearest."""
    assert "regressed: slower by more than" in gradperf.explain("10")
    assert repr(gradperf.explain("suspect")) == str(gradperf.explain("suspect"))
    assert "style: " in gradperf.explain()
    with pytest.raises(UnknownName):
        gradperf.explain("nothing at all")


def test_the_stub_names_what_is_public():
    """A type checker knows every name."""
    stub = (ROOT / "gradperf" / "__init__.pyi").read_text()
    assert set(re.findall(r"import (\w+) as \1\n", stub)) == set(gradperf._PUBLIC) == set(api.__all__)


def test_import_is_light():
    """It imports neither numpy nor pytest nor a framework, and names what is public."""
    source = (
        "import sys, gradperf\n"
        "print(sorted({'numpy', 'pytest', 'rich', 'torch', 'jax', 'tensorflow'} & set(sys.modules)))\n"
        "print({'check', 'pair', 'load', 'explain'} <= set(dir(gradperf)))\n"
        "gradperf.nothing\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=False, cwd=ROOT, timeout=60
    )
    assert done.stdout.split("\n")[:2] == ["[]", "True"]
    assert "has no attribute 'nothing'" in done.stderr


def test_the_page_shows_what_is_printed(capsys):
    """The code of the how-to runs, and prints what stands below it."""
    text = (ROOT / "docs" / "howto" / "backprop.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (shown,) = re.findall(r"```\n(gradients .*?)```", text, re.DOTALL)
    exec(compile(code, "backprop.md", "exec"), {})  # noqa: S102 - our own page
    rounding = re.compile(r"\S+ +right")  # the error of a right gradient depends on the BLAS

    def words(table):
        return rounding.sub("right", table).split()

    assert words(capsys.readouterr().out) == words(shown)


def test_every_training_can_be_checked():
    """The function is called by the names that the page on problems has."""
    for problem in problems.entries():
        if problem.family == "training":
            seen = []
            with pytest.raises(UserError):
                gradperf.check(lambda **inputs: seen.extend(inputs), problem.name)  # noqa: B023 - called at once
            assert {"x", "y", "w1"} <= set(seen)


def test_bench_checks_and_times():
    """Every style is checked and timed in fresh processes; the fastest comes first, the baseline is 1."""
    benched = gradperf.bench("tiny_3x2x1", ["numpy.by_hand", "numpy.by_hand_inplace"])
    rows = {row["style"]: row for row in benched.records()}
    assert rows.keys() == {"numpy.by_hand", "numpy.by_hand_inplace"}
    steps_s = [row["step_s"] for row in benched.records()]
    assert steps_s == sorted(steps_s)
    assert rows["numpy.by_hand"]["ratio"] == 1
    other = rows["numpy.by_hand_inplace"]
    assert other["low"] < other["ratio"] < other["high"]
    assert other["ratio"] == pytest.approx(other["step_s"] / rows["numpy.by_hand"]["step_s"])
    assert all(0 < row["gradient_error"] < 1e-5 for row in rows.values())
    assert "</table><svg" in benched._repr_html_()
    assert "fresh processes" in str(benched)


def test_ratios_have_a_picture():
    """Each with its interval, on a logarithmic axis; names stay text, and an endless interval is left out."""

    class Ratios(Table):
        title = "ratios"

        def records(self):
            bounds = (
                (1.0, None, None),
                (2.0, 1.0, 4.0),
                (0.25, 0.25, 0.25),
                (1.0, 0.5, math.inf),
                (math.nan, 1.0, 2.0),
            )
            return [
                {"style": f"<b>{place}", "ratio": ratio, "low": low, "high": high}
                for place, (ratio, low, high) in enumerate(bounds)
            ]

    shown = Ratios()._repr_html_()
    assert "<b>" not in shown
    assert re.findall(r'circle cx="([0-9.]+)"', shown) == ["390.0", "475.0", "220.0"]
    assert re.findall(r'line x1="([0-9.]+)" x2="([0-9.]+)"', shown)[1] == ("390.0", "560.0")
    assert shown.endswith("</svg>")


def test_bench_without_the_baseline():
    """Then the fastest is 1."""
    benched = gradperf.bench("matmul_8x8x8", ["numpy.einsum"])
    assert (benched.baseline, [row["ratio"] for row in benched.records()]) == ("numpy.einsum", [1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gradperf.bench("tiny_3x2x2"), "unknown problem 'tiny_3x2x2'. Did you mean 'tiny_3x2x1'"),
        (lambda: gradperf.bench("tiny_3x2x1", ["numpy.by_hnd"]), "unknown style 'numpy.by_hnd'. Did you mean"),
        (lambda: gradperf.bench("tiny_3x2x1", dtype="float16"), "unknown dtype 'float16'"),
        (lambda: gradperf.bench("matmul_512x512x512", ["numpy.loops"]), "cannot run here: .* Python calls"),
    ],
)
def test_bench_of_what_does_not_exist(call, message):
    """One line says what is wrong."""
    with pytest.raises(UserError, match=message):
        call()


def test_bench_of_a_wrong_style(monkeypatch, tmp_path):
    """Nothing is shown of a style that disagrees with the reference."""
    from correctness.planted import Fault, planted_package

    fault = Fault("", "numpy", "by_hand", "frameworks/numpy/backprop.py", "2 / divisor * residual", "3 * residual")
    planted_package(fault, tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        UserError, match=r"so none is shown:\ntiny_3x2x1-numpy.by_hand-cpu-float32: w1 .* disagrees"
    ):
        gradperf.bench("tiny_3x2x1", ["numpy.by_hand"])
