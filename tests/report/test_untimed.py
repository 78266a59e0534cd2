"""Why a case has no time: from the run that knows it, through the record, to the grey cell."""

import pytest

from gradperf.records.facts import RunFacts, ids_by_reason
from gradperf.records.storage import Run
from gradperf.report.untimed import NOT_KNOWN, Untimed
from tests.report.runs import write
from tests.report.test_data import gathered

NO_GPU = "no CUDA device"


def reasons(folder, **facts):
    """Return why each style that was timed elsewhere has no time in the first table and in that of a product."""
    write(folder, gradperf={"schema": 2, **facts})
    (details,) = gathered(folder).details.values()
    return [
        {label: details["reasons"][place] for label, place in group["untimed"].items()}
        for group in details["groups"][:2]
    ], details["untimed"]


def test_every_reason(tmp_path):
    """Cannot run here, failed, not the style's kind of problem, not selected."""
    (polynomial, product), listed = reasons(
        tmp_path,
        cannot_run={NO_GPU: ["polynomial_degree4-torch.autograd-cuda-float64"]},
        failed={"Disagreement: off": ["matmul_64x64x64-jax.jit-cpu-float64"]},
    )
    assert polynomial == {"numpy.operator": "the style computes no problem of the family training"}
    assert product["jax.jit"] == "failed: Disagreement: off"
    assert product["torch.autograd"] == "the style computes no problem of the family matmul"
    assert listed == [
        ["failed: Disagreement: off", ["matmul_64x64x64-jax.jit-cpu-float64"]],
        [f"cannot run here: {NO_GPU}", ["polynomial_degree4-torch.autograd-cuda-float64"]],
    ]


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({}, NOT_KNOWN),
        ({"cannot_run": {}}, "not selected"),
        ({"cannot_run": {}, "cut_short": "interrupted"}, "not selected, or the run was interrupted before"),
    ],
)
def test_what_was_not_recorded(tmp_path, facts, said):
    """An older record does not know; a newer one names all that could not run, so the rest was not selected."""
    (_, product), _ = reasons(tmp_path, **facts)
    assert product["jax.jit"] == said


def test_a_device_that_a_framework_has_not(tmp_path):
    """It needs no record."""
    untimed = Untimed(Run(tmp_path, None, (), RunFacts(cannot_run={})))
    said = untimed.reason("polynomial_degree4", "training", "numpy.by_hand", "cuda", "float64")
    assert said == "numpy does not run on cuda"


@pytest.mark.parametrize("stored", [None, 3, "x", ["a"]])
def test_no_reasons(stored):
    """What is no mapping holds no reasons."""
    assert ids_by_reason(stored) is None


def test_hostile_reasons():
    """They become clean texts of some length, and there are not too many of them."""
    stored = {"\x1b[31m" + "x" * 10_000: ["\x07", 3, None, {}], "b": 7, "b\n": ["c"]}
    found = ids_by_reason(stored | {str(number): [] for number in range(10_000)})
    assert [*found.values()][:2] == [("?", "3", "–", "{}"), ("c",)]
    assert len(found) < 300
    assert all(len(reason) <= 300 and reason.isprintable() for reason in found)
    assert ids_by_reason({"a": ["x"] * 10**6})["a"] == ("x",) * 2000


def test_what_cannot_run_is_remembered():
    """By reason, each case once, though several tests take it."""
    from gradperf.suite import selection

    class Item:
        def __init__(self, id_, reason):
            self.callspec = type("Spec", (), {"params": {"case": id_}})
            self.reason = reason

        def get_closest_marker(self, name):
            return type("Mark", (), {"kwargs": {"reason": self.reason}}) if self.reason else None

    config = type("Config", (), {"stash": pytest.Stash()})
    items = [Item("a", NO_GPU), Item("a", NO_GPU), Item("b", NO_GPU), Item("c", "slow"), Item("d", None)]
    assert len(selection._cannot_run(config, items)) == 4
    assert selection.cannot_run(config) == {NO_GPU: ["a", "b"], "slow": ["c"]}
    assert selection.pytest_report_collectionfinish(config) == [
        f"gradperf: cannot run here: 2 cases: {NO_GPU}",
        "gradperf: cannot run here: 1 case: slow",
    ]
