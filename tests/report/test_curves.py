"""What single cases computed: losses and curves, read from what ``gradperf run --json`` writes."""

import json
import math
from itertools import pairwise

import numpy as np
import pytest

from gradperf import problems
from gradperf.records.one_run import OneRun
from gradperf.report import curves
from tests.report.runs import SINE, write, write_case
from tests.report.test_data import gathered


def test_a_training(tmp_path):
    """Its losses, thinned where there are too many, and the fitted curve over its data."""
    write_case(tmp_path, steps=5000, loss=[5 / (step + 1) for step in range(5000)])
    report = gathered(tmp_path)
    assert (report.runs, report.left_out) == ([], [])
    (curve,) = report.curves
    assert (curve["label"], curve["problem"]) == ("torch.autograd", "polynomial_degree4")
    assert curve["steps"] == 5000
    steps = [step for step, _ in curve["loss"]]
    assert (steps[0], steps[-1], steps) == (1, 5000, sorted(set(steps)))
    assert 250 < len(steps) <= 400
    assert max(after - before for before, after in pairwise(steps)) <= 26
    assert all(loss == pytest.approx(5 / step, rel=1e-6) for step, loss in curve["loss"])
    assert curve["curve"].keys() == {"x", "y", "fitted"}


def test_beside_stored_runs(tmp_path):
    """A folder may hold both."""
    write(tmp_path)
    write_case(tmp_path, "sine.json", **SINE)
    report = gathered(tmp_path)
    assert (len(report.runs), [one["case"] for one in report.curves]) == (1, [SINE["case"]])
    assert report.left_out == []


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"case": 3}, "'case' is not the id of a case"),
        ({"case": "a-b"}, "'case' is not the id of a case"),
        ({"loss": 3}, "'loss' is not a list"),
        ({"loss": [1.0, math.nan]}, "'loss' holds something else than finite numbers, at place 1"),
        ({"loss": [10**400]}, "'loss' holds something else than finite numbers, at place 0"),
        ({"loss": [1.0, "2"]}, "'loss' holds something else than finite numbers"),
        ({"curve": {"x": [1], "y": [1, 2], "fitted": [1]}}, "'curve' needs x, y and one curve, all of one length"),
        ({"curve": {"x": [1], "y": [1]}}, "'curve' needs x, y and one curve"),
        ({"curve": {"x": [], "y": [], "fitted": []}}, "'curve' needs x, y and one curve"),
        ({"curve": {"<b>": [1]}}, "'curve' is not what gradperf writes"),
        ({"curve": [1]}, "'curve' is not what gradperf writes"),
        ({"loss": [1.0], "curve": {}}, "nothing to draw"),
    ],
)
def test_a_damaged_one_is_left_out(tmp_path, changed, reason):
    """It is named, with what is wrong."""
    write_case(tmp_path, "good.json")
    write_case(tmp_path, "bad.json", **changed)
    report = gathered(tmp_path)
    assert [one["file"] for one in report.curves] == ["good.json"]
    (said,) = report.left_out
    assert "bad.json: " in said
    assert reason in said


def test_hostile_texts_become_short_texts(tmp_path):
    """No control character, no endless text."""
    hostile = "\x1b[31m</script>" + "x" * 10_000
    write_case(tmp_path, case=f"{hostile}-a.b-c-d", command=[hostile] * 9, at=hostile, framework_version=[hostile])
    text = json.dumps(gathered(tmp_path).curves, allow_nan=False)
    assert "\\u001b" not in text
    assert "x" * 300 not in text


def test_too_many(tmp_path):
    """Some are drawn; the others are named."""
    for number in range(curves.MOST + 2):
        write_case(tmp_path, f"{number}.json", loss=[2.0, 1.0])
    report = gathered(tmp_path)
    assert (len(report.curves), len(report.left_out)) == (curves.MOST, 2)


def test_the_curve_of_a_training():
    """The network at each x, with the weights that the style returned."""
    problem = problems.find("polynomial_degree4")
    inputs, weights = problem.inputs(0, "float64"), np.arange(5.0)[:, None]
    curve = problem.curve(inputs, {"w1": weights})
    assert np.array_equal(curve["x"], np.linspace(0, 5, 100))
    assert np.array_equal(curve["y"], np.sin(curve["x"]))
    x = curve["x"]
    assert curve["fitted"] == pytest.approx(x + 2 * x**2 + 3 * x**3 + 4 * x**4)


@pytest.mark.parametrize("name", ["tiny_3x2x1", "matmul_64x64x64", "shifted_relu_784x50x1"])
def test_other_problems_have_no_curve(name):
    """Their inputs have more than one dimension."""
    problem = problems.find(name).at_tier("short")
    assert problem.curve(problem.inputs(0, "float64"), {}) == {}


def test_what_the_command_writes(run_gradperf, tmp_path):
    """Every field, and the derivative of the sine at the points of the first one."""
    file = tmp_path / "sine.json"
    done = run_gradperf("run", "sine_derivative_100", "numpy.analytic", "--json", file)
    assert done.returncode == 0, done.stderr
    stored = json.loads(file.read_text())
    assert stored.keys() == OneRun.__dataclass_fields__.keys()
    assert stored["command"][:3] == ["gradperf", "run", "sine_derivative_100"]
    curve = curves.read(file)["curve"]
    assert curve["x"] == pytest.approx(np.linspace(-2 * np.pi, 2 * np.pi, 100), rel=1e-5)
    assert curve["y"] == pytest.approx(np.sin(curve["x"]), abs=1e-5)
    assert curve["derivative"] == pytest.approx(np.cos(curve["x"]), abs=1e-5)
