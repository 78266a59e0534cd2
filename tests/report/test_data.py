"""What the page shows: numbers as they were recorded, and no text that could be more than text."""

import json
import math

import pytest

from gradperf import problems
from gradperf.commands.report import family_of
from gradperf.records import history
from gradperf.report import data
from tests.records import record
from tests.report.runs import MACHINE, STEPS_S, write


def gathered(folder):
    """Return what the page shows of all runs in ``folder``."""
    return data.gather(history.newest_first(history.files_below(folder)), problems.baseline_of, family_of)


def test_one_run(tmp_path):
    """All numbers of a case, the fastest first."""
    write(tmp_path)
    report = gathered(tmp_path)
    (group, *_) = report.details[0]["groups"]
    assert (group["problem"], group["baseline"]) == ("polynomial_degree4", "numpy.by_hand")
    assert [row["label"] for row in group["rows"]] == sorted(STEPS_S, key=STEPS_S.get)
    row = group["rows"][0]
    assert (row["step"], row["first"], row["first_steps"], row["rank"]) == (1e-5, 0.4, 50, 1)
    assert row["interval"] == pytest.approx([0.99e-5, 1.01e-5])
    assert report.history["polynomial_degree4-jax.jit-cpu-float64"] == [[0, 1e-5, 0.005, 0]]
    assert "Backpropagation by hand" in report.styles["training/numpy.by_hand"]["doc"]
    assert "def prepare(" in report.styles["training/numpy.by_hand"]["source"]


def test_changes_are_marked_where_a_comparison_sees_them(tmp_path):
    """Newest first; the run that became slower is marked, and no change of 0.1 %."""
    for number, factor in ((1, 1.0), (2, 1.001), (3, 1.3), (4, 1.3), (5, 1.0)):
        write(tmp_path, number, factor=factor)
    entries = gathered(tmp_path).history["polynomial_degree4-jax.jit-cpu-float64"]
    assert [(entry[0], entry[3]) for entry in entries] == [(0, -1), (1, 0), (2, 1), (3, 0), (4, 0)]


def test_no_change_is_marked_across_machines(tmp_path):
    """A run of another machine is compared with none of this one."""
    for number, factor, cpu in ((1, 1.0, "A"), (2, 3.0, "B"), (3, 1.0, "A"), (4, 1.0, "B")):
        write(tmp_path, number, factor=factor, machine=MACHINE | {"cpu_model": cpu})
    report = gathered(tmp_path)
    assert [run["machine"] for run in report.runs] == [0, 1, 0, 1]
    marks = [entry[3] for entry in report.history["polynomial_degree4-jax.jit-cpu-float64"]]
    assert marks == [-1, 0, 0, 0]


def test_a_partial_run_is_shown_and_marks_nothing(tmp_path):
    """It is named as partial, and the run after it is compared with the complete one before."""
    write(tmp_path, 1)
    facts = {"schema": 2, "benchmarks_selected": 9, "benchmarks_finished": 6}
    write(tmp_path, 2, factor=2.0, gradperf=facts)
    write(tmp_path, 3)
    report = gathered(tmp_path)
    assert [run["partial"] for run in report.runs] == [None, "6 of 9 benchmarks", None]
    assert {entry[3] for entries in report.history.values() for entry in entries} == {0}


def test_files_that_hold_no_run_are_named(tmp_path):
    """Damaged, foreign and newer files are left out, each with its reason."""
    write(tmp_path, 1)
    (tmp_path / "0002_run.json").write_text("{")
    (tmp_path / "0003_run.json").write_text('{"benchmarks": [{"fullname": "test_x", "stats": {"median": 1}}]}')
    write(tmp_path, 4, gradperf={"schema": 99})
    report = gathered(tmp_path)
    assert len(report.runs) == 1
    assert len(report.left_out) == 3
    assert any("0002_run.json: not JSON" in reason for reason in report.left_out)
    assert any("0003_run.json: no case of gradperf" in reason for reason in report.left_out)


def test_only_the_newest_are_kept_with_all_numbers(tmp_path):
    """Of older runs the times stay, so that hundreds fit on a page."""
    for number in range(1, data.DETAILED + 3):
        write(tmp_path, number)
    report = gathered(tmp_path)
    assert [*report.details] == [*range(data.DETAILED)]
    assert len(report.history["polynomial_degree4-jax.jit-cpu-float64"]) == data.DETAILED + 2


HOSTILE = {
    "problem": "</script><script>alert(1)</script>",
    "framework": "\x1b[31mred",
    "style": "=cmd()",
    "device": "x" * 10_000,
    "dtype": None,
    "uncounted": ["nested"] * 50,
    "step_s": math.inf,
    "step_error": "much",
}


def test_hostile_texts_become_short_texts(tmp_path):
    """No control character, no endless text, no number that JSON does not know."""
    benchmarks = [
        record(),
        record() | {"extra_info": HOSTILE},
        record() | {"extra_info": HOSTILE | {"step_s": 1e-5}},
    ]
    write(tmp_path, benchmarks=benchmarks, machine={"cpu_model": "\x07" * 500, "gpus": {"a": {"b": [1e400] * 99}}})
    report = gathered(tmp_path)
    text = json.dumps(vars(report), allow_nan=False)
    assert "\\u001b" not in text
    assert "\\u0007" not in text
    assert "x" * 300 not in text


def test_two_hundred_runs_take_little(tmp_path):
    """The history grows by a few numbers for each case and run."""
    for number in range(1, 201):
        write(tmp_path, number)
    report = gathered(tmp_path)
    assert len(report.runs) == 200
    assert len(json.dumps(report.history)) < 200 * 6 * 40
