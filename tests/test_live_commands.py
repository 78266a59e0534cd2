"""The long commands show how far they are: on a terminal, in a pipe, and after Ctrl-C."""

import re
import sys

import pytest

from gradperf.case_pairs import measure
from gradperf.case_pairs.measure import Role
from gradperf.cases import Settings
from gradperf.progress.steps import Steps
from tests.conftest import run_process
from tests.terminals import Shown, on_a_terminal

NUMPY = "tiny_3x2x1-numpy.by_hand-cpu-float32"
OTHER = "tiny_3x2x1-numpy.by_hand_inplace-cpu-float32"
GRADPERF = [sys.executable, "-m", "gradperf"]


def in_a_pipe(folder, *words, before=""):
    """Run a command whose lines would come without a wait between them, after the source code ``before``."""
    program = (
        f"{before}import sys\n"
        "from gradperf.commands import main\n"
        "from gradperf.progress import display\n"
        "display.EVERY_S = 0.0\n"
        "sys.exit(main.main())\n"
    )
    done = run_process([sys.executable, "-c", program, *words], folder, "", {})
    assert done.returncode == 0, done.stderr
    assert not {"\x1b", "\r"} & {*done.stderr, *done.stdout}
    return done


def test_doctor_on_a_terminal(tmp_path):
    """What is done and the time left; in the end nothing of it. The report alone goes to the output."""
    with (tmp_path / "report.txt").open("w") as report:
        done = on_a_terminal([*GRADPERF, "doctor", "--seconds", "5"], cwd=tmp_path, stdout=report)
    assert done.code == 0
    assert done.screen == [""]
    assert re.search(r"\[J\d s, about \d s left; measuring what \d+ busy process(es)? get of", done.written)
    assert "as stored runs do, process 1: timing 2 cases" in done.written
    assert re.search(r"as the gate does, pair 2: \S+", done.written)
    report = (tmp_path / "report.txt").read_text()
    assert report.startswith("gradperf doctor: measuring for about 5 s; ")
    assert " left; " not in report


def test_ctrl_c(tmp_path):
    """The line goes away, and no traceback is shown."""
    done = on_a_terminal([*GRADPERF, "doctor", "--seconds", "60"], cwd=tmp_path, interrupt_at="process 1")
    assert done.code == 130
    assert done.screen[1:] == ["gradperf: interrupted", ""]
    assert done.screen[0].startswith("gradperf doctor: measuring ")


def test_pair_on_a_terminal(tmp_path):
    """The pairs are counted, and the line is gone before the result."""
    done = on_a_terminal([*GRADPERF, "pair", NUMPY, OTHER, "--pairs", "6"], cwd=tmp_path)
    assert done.code == 0, done.screen
    assert f"checking {OTHER}" in done.written
    assert re.search(r"pair 1 of 6, \S+ s; starting two processes", done.written)
    assert re.search(r"pair 6 of 6, .*(about \S+ s left|soon done); timing both", done.written)
    assert [line.split()[1:4] for line in done.screen[:2]] == [["µs", "per", "step"]] * 2
    assert len(done.screen) == 4


def test_neighbours_in_a_pipe(tmp_path):
    """Lines on standard error; the ratio and its interval alone on standard output."""
    pytest.importorskip("jax")
    # Another framework as a neighbour would only make each process start later.
    only_jax = (
        "from gradperf.machine import threads\n"
        "threads.bind(1)\n"
        "from gradperf.frameworks import versions\n"
        "versions.installed = lambda: dict.fromkeys(('numpy', 'jax'), '1')\n"
    )
    done = in_a_pipe(tmp_path, "neighbours", NUMPY, "--pairs", "6", before=only_jax)
    assert all(line.startswith("gradperf neighbours: pair ") for line in done.stderr.splitlines())
    assert re.search(rf"pair 6 of 6, .*( left|soon done); timing {re.escape(NUMPY)}\n", done.stderr)
    ratio, note = done.stdout.splitlines()
    assert re.fullmatch(rf" *[\d.]+ times as long beside jax \([\d.]+–[\d.]+\)  {re.escape(NUMPY)}", ratio)
    assert note == "95 % intervals of 6 pairs of processes"


def test_nothing_is_shown_while_turns_are_taken(monkeypatch):
    """Drawing takes the CPU."""
    own, shown = measure.take_turns, Shown()

    def watched(*arguments, **more):
        before = len(shown.texts)
        try:
            return own(*arguments, **more)
        finally:
            assert len(shown.texts) == before

    monkeypatch.setattr(measure, "take_turns", watched)
    role = Role((NUMPY, OTHER))
    measure.ratios(role, role, Settings(), 1, Steps(shown, "pair", 1), equal_calls=True)
    assert [text.partition("; ")[2] for text in shown.texts] == [
        "starting two processes",
        f"timing {NUMPY}",
        f"timing {OTHER}",
    ]
