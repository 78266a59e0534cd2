"""The cases that the gate times in this repository, ten for each framework, and what its processes may skip."""

import os
from collections import Counter
from dataclasses import replace

import pytest

from gradperf.stage import PROCESS, VARIABLE, stage
from gradperf.suite import duties, gate_set
from tests.conftest import ROOT


@pytest.fixture
def marked(run_pytest, tmp_path):
    """Return ``marked(*arguments)``: id, group and whether it may be the control, of each case marked ``gate``."""
    (tmp_path / "spy.py").write_text(
        "def pytest_collection_finish(session):\n"
        "    for item in session.items:\n"
        "        mark = item.get_closest_marker('gate').kwargs\n"
        "        print('MARKED', item.name, mark['group'], mark['control'])\n"
    )

    def collect(*arguments):
        done = run_pytest(
            *(ROOT / "perf", "-m", "gate", "--collect-only", "-p", "spy", *arguments),
            extra_path=tmp_path,
            GRADPERF_GATE="repeat",
        )
        assert done.returncode == 0, done.stdout
        found = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("MARKED ")]
        return [(name.partition("[")[2], group, control == "True") for name, group, control in found]

    return collect


def test_ten_of_each_framework(marked):
    """No case of the set is missing, such as one whose style was renamed."""
    found = marked()
    assert Counter(group for _, group, _ in found) == {"numpy": 10, "torch": 10, "tensorflow": 10, "jax": 10}
    assert len(found) == len(gate_set.CASES)
    for problem, style in gate_set.CASES:
        assert any(id_.startswith(f"{problem}-{style}-cpu-") for id_, _, _ in found)


@pytest.mark.parametrize("problem", ["two_layer_784x30x10", "tiny_bias_adam_3x2x1"])
def test_first_control_is_quick_to_start(marked, problem):
    """The first control imports no framework but numpy, because two more processes of each pair run it."""
    arguments = () if problem == "two_layer_784x30x10" else ("--problem", f"matmul_64x64x64,{problem}")
    first = next(id_ for id_, _, control in marked(*arguments) if control)
    assert first.startswith(f"{problem}-numpy.by_hand-")


def test_only_repeating_processes_skip_checks():
    """The first process of each side checks all that a user's run checks, except for first calls."""
    own, listing, first, repeat = (
        duties.of(stage, times=True, first_calls=True) for stage in (None, "list", "first", "repeat")
    )
    assert own == duties.Duties(True, True, True, True, True)
    assert listing == replace(first, refuses_named=True)
    assert first == replace(listing, refuses_named=False)
    assert own == replace(
        first, refuses_named=True, skips_at_collection=True, measures_first_calls=True, is_recorded=True
    )
    assert repeat == replace(first, checks_fully=False)
    assert not duties.of(None, times=True, first_calls=False).measures_first_calls
    assert duties.of(None, times=False, first_calls=True) == replace(
        own, measures_first_calls=False, is_recorded=False
    )


@pytest.mark.parametrize("process", [None, "1", ""])
def test_stage_that_was_left_in_the_environment(monkeypatch, process):
    """The variable alone makes no process one of the gate: its checks would be left out."""
    monkeypatch.setenv(VARIABLE, "repeat")
    monkeypatch.delenv(PROCESS, raising=False)
    if process is not None:
        monkeypatch.setenv(PROCESS, process)
    assert stage() is None
    monkeypatch.setenv(PROCESS, str(os.getpid()))
    assert stage() == "repeat"
