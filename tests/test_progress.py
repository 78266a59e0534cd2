"""What a run of the suite shows of its progress: how far it is, what is left, and what it writes where."""

import re
import sys

import pytest

from gradperf.suite import progress
from gradperf.suite.progress import Progress, expected
from tests.conftest import ROOT
from tests.terminals import on_a_terminal

CASES = ("tiny_3x2x1-numpy.by_hand-cpu-float32", "tiny_3x2x1-numpy.by_hand_inplace-cpu-float32")


def begun(weights, after_s=0.0):
    """Return the progress of a run that began ``after_s`` seconds ago, by a clock that stands still."""
    found = Progress(weights, lambda: 100.0)
    found.clock = lambda: 100.0 + after_s
    return found


def test_time_left_is_weighted():
    """One case of four has ended; it was expected to take a tenth of all, so nine times as long is left."""
    found = begun({"a": 1.0, "b": 3.0, "c": 3.0, "d": 3.0}, after_s=2.0)
    assert found.left_s is None
    found.done.append("a")
    assert found.left_s == pytest.approx(18.0)
    found.case, found.phase = "b", "checking"
    assert str(found) == "1 of 4 cases, 2 s, about 18 s left; checking b"


def test_words():
    """Minutes, failures, and the moments after the last test."""
    found = begun({"a": 1.0}, after_s=75.4)
    found.failed = 2
    assert str(found) == "0 of 1 case, 1:15 min, 2 failed"
    found.moments = (3, 49)
    assert str(found) == "timing all cases once more: 3 of 49, 1:15 min"


def test_a_case_of_unknown_time_takes_the_mean():
    """Of those that are known; without any, all take the same."""
    assert expected(["a", "b", "c"], {"a": 1.0, "b": 3.0, "other": 50.0}) == {"a": 1.0, "b": 3.0, "c": 2.0}
    assert set(expected(["a", "b"], {}).values()) == {progress.UNKNOWN_S}


COMMAND = [sys.executable, "-m", "pytest", "perf", "--no-first-calls", "-p", "no:cacheprovider", "-k", "tiny_3x2x1"]


def run_on_a_terminal(folder, *options):
    """Return what a run writes to a terminal."""
    storage = f"--benchmark-storage=file://{folder}"
    command = [*COMMAND, "--framework", "numpy", storage, *options]
    return on_a_terminal(command, cwd=ROOT, GRADPERF_LOCK=str(folder / "lock"))


def test_a_run_on_a_terminal(tmp_path):
    """One line that changes, one that stays for the problem, and no dots; with -v pytest's own output."""
    done = run_on_a_terminal(tmp_path)
    written = done.written
    assert not any(" of 3 cases, " in line or "once more" in line for line in done.screen)
    for phase in ("checking", "timing"):
        assert re.search(rf"of 3 cases, [^;]*; {phase} tiny_3x2x1-numpy\.", written)
    assert "tiny_3x2x1, cpu, float32: 3 styles checked and timed\r\n" in written
    assert "timing all cases once more: " in written
    assert "test_training.py" not in written
    assert "Name (time in" not in written
    written = run_on_a_terminal(tmp_path, "-v").written
    assert "PASSED" in written
    assert "Name (time in" in written
    assert "checking tiny_3x2x1" not in written
