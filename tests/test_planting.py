"""Known work can be added to the steps of a case: in every timed call of a run, and nowhere else."""

import json

import pytest

from gradperf.errors import UserError
from gradperf.pairs import planting
from gradperf.records.facts import read_run
from tests.conftest import ROOT

SPY = """
from gradperf.pairs import planting
planting.units = lambda seconds: 10_000.0
"""
"""A plugin that makes any share of work so much that a step takes ten times as long, on any machine."""

LEAST_S = 1e-4
"""No machine does this work in less time."""


def test_patterns():
    """An id, or parts of ids with a star between them; the last one that means a case counts."""
    cases = ["a-torch.x-cpu", "b-torch.x-cpu", "b-jax.x-cpu"]
    assert planting.by_case({"b-jax.x-cpu": 0.1}, cases) == {"b-jax.x-cpu": 0.1}
    assert planting.by_case({"*": 0.1, "b*cpu": 0.2}, cases) == dict(zip(cases, (0.1, 0.2, 0.2), strict=True))
    with pytest.raises(UserError, match="--plant numpy: there is no such case"):
        planting.by_case({"numpy": 0.1}, cases)
    with pytest.raises(UserError, match=r"no such case\. Did you mean 'b-jax\.x-cpu'\?"):
        planting.by_case({"b-jx.x*cpu": 0.1}, cases)


def test_work_is_added_to_each_step(monkeypatch):
    """A fraction of a unit for each step adds up over a call; what the call returns stays."""
    added = []
    monkeypatch.setattr(planting, "work", added.append)
    slower = planting.with_work(lambda steps: f"{steps} steps", 2.25)
    assert [slower(1), slower(10), slower(100)] == ["1 steps", "10 steps", "100 steps"]
    assert added == [2, 22, 225]
    assert planting.with_work(len, 0.0) is len


def test_known_work_in_a_run(run_pytest, tmp_path):
    """All moments, in both processes, and pytest-benchmark's rounds have it; another case does not."""
    (tmp_path / "spy.py").write_text(SPY)
    chosen = ("--problem", "tiny_3x2x1", "--framework", "numpy", "--style", "by_hand,by_hand_inplace")
    arguments = (ROOT / "perf" / "test_training.py", "-p", "spy", *chosen, "--no-first-calls")
    done = run_pytest(*arguments, "--plant", "*by_hand-*=1%", extra_path=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "work was added to 1 case on purpose" in done.stdout
    (file,) = (tmp_path / "results").rglob("*.json")
    record = json.loads(file.read_text())
    by_style = {one["extra_info"]["style"]: one for one in record["benchmarks"]}
    slower, other = by_style["by_hand"], by_style["by_hand_inplace"]
    steps = slower["extra_info"]["steps"]
    assert slower["stats"]["min"] > steps * LEAST_S
    moments = slower["extra_info"]["moments"]
    assert {moment["process"] for moment in moments} == {"main", "second"}
    assert all(moment["long_s"] > steps * LEAST_S for moment in moments)
    assert (
        min(moment["long_s"] for moment in other["extra_info"]["moments"]) < other["extra_info"]["steps"] * LEAST_S
    )
    assert record["gradperf"]["planted"] == {"tiny_3x2x1-numpy.by_hand-cpu-float32": 0.01}


def test_a_run_with_planted_work_is_no_run_to_compare_with():
    """However complete it is."""
    whole = {"benchmarks_selected": 3, "benchmarks_finished": 3}
    assert read_run({"gradperf": whole}).partial is None
    assert read_run({"gradperf": {**whole, "planted": {"a": 0.1}}}).partial == "work planted in 1 case"


@pytest.mark.parametrize(
    ("arguments", "reported"),
    [
        (("perf", "--plant", "by_hand=5"), "argument --plant: expected a share between 0 and 1"),
        (("perf", "--plant", "nothing=5%", "--framework", "numpy"), "--plant nothing: there is no such case"),
        (("correctness", "--plant", "by_hand=5%"), "--plant adds work to what `pytest perf` times"),
    ],
)
def test_a_mistake_is_told_before_anything_is_timed(run_pytest, arguments, reported):
    """In one line: of what is not CASE=SHARE, of what means no case, and where nothing is timed."""
    path, *others = arguments
    done = run_pytest(ROOT / path, *others)
    assert done.returncode == 4
    assert reported in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
