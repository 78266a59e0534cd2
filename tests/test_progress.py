"""What a run shows of its progress: how far it is, what is left, and what it writes where."""

import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gradperf.suite import progress
from gradperf.suite.progress import EVERY_S, Lines, Live, Progress, expected
from tests.conftest import ROOT

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


def test_lines_come_from_time_to_time():
    """Not after each test, and never while a test's output is captured."""
    written = []
    found, lines = begun({"a": 1.0}), Lines(written.append)
    for test in range(21):
        found.clock = lambda test=test: 100.0 + test * EVERY_S / 8
        lines.show(found)
        lines.between_tests(found)
    assert len(written) == 2
    lines.say("stays")
    assert written[-1] == "stays"


def test_line_that_changes():
    """It fits the terminal, holds no markup of its own, and is gone at the end."""
    output = io.StringIO()
    live = Live(output, width=40)
    found = begun({"a": 1.0})
    found.case, found.phase = f"[red]{'x' * 60}", "checking"
    live.show(found)
    live.say("[b]stays[/b]")
    live.end()
    assert "[b]stays[/b]" in output.getvalue()
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output.getvalue())
    assert max(map(len, re.split(r"[\r\n]+", shown))) <= 40
    assert "checking [red]" in shown


COMMAND = [sys.executable, "-m", "pytest", "perf", "--no-first-calls", "-p", "no:cacheprovider", "-k", "tiny_3x2x1"]


def environment(folder: Path) -> dict[str, str]:
    unset = {"CI", "NO_COLOR", "FORCE_COLOR", "COLUMNS"}
    kept = {name: value for name, value in os.environ.items() if name not in unset}
    return {**kept, "GRADPERF_LOCK": str(folder / "lock"), "TERM": "xterm"}


def on_a_terminal(folder, *options):
    """Return what a run writes to a terminal."""
    ours, theirs = pty.openpty()
    storage = f"--benchmark-storage=file://{folder}"
    command = [*COMMAND, "--framework", "numpy", storage, *options]
    with subprocess.Popen(command, cwd=ROOT, env=environment(folder), stdout=theirs, stderr=theirs, stdin=theirs):
        os.close(theirs)
        written = b""
        while True:
            try:
                written += os.read(ours, 65536)
            except OSError:  # the other end was closed
                break
    os.close(ours)
    return written.decode()


def test_a_run_on_a_terminal(tmp_path):
    """One line that changes, one that stays for the problem, and no dots; with -v pytest's own output."""
    written = on_a_terminal(tmp_path)
    for phase in ("checking", "timing"):
        assert re.search(rf"of 3 cases, [^;]*; {phase} tiny_3x2x1-numpy\.", written)
    assert "tiny_3x2x1, cpu, float32: 3 styles checked and timed\r\n" in written
    assert "timing all cases once more: " in written
    assert "test_training.py" not in written
    assert "Name (time in" not in written
    written = on_a_terminal(tmp_path, "-v")
    assert "PASSED" in written
    assert "Name (time in" in written
    assert "checking tiny_3x2x1" not in written
