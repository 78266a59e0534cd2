"""``gradperf gate`` in a user's repository: its report and exit code, and that it leaves nothing behind."""

import argparse
import errno
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from gradperf.commands import gate as gate_command
from gradperf.gate.report import record
from gradperf.gate.sides import pytest_arguments
from tests.conftest import soon
from tests.gate.outcomes import outcome
from tests.gate.repositories import commit, git, make, write
from tests.gate.suites import QUICK, QUIET, environment, gate, processes_with
from tests.gate.suites import command as words
from tests.terminals import on_a_terminal

WORK = """
def work():
    for _ in range({count}):
        pass
"""
"""The count decides how long it takes; it returns nothing that could differ."""

FILES = {
    "one.py": WORK.format(count=5_000),
    "two.py": WORK.format(count=5_000),
    "README.md": "Work.\n",
    "data.json": "{}\n",
    "pyproject.toml": f"[tool.gradperf.gate]\narguments = {json.dumps(['bench', *QUIET])}\n",
    "bench/test_work.py": """
import os
import one
import two

def work():
    one.work()
    two.work()

def test_work(benchmark):
    if "RAN" in os.environ:
        open(os.environ["RAN"], "w").close()
    benchmark(work)
""",
}


@pytest.fixture
def repo(tmp_path):
    """Return a repository with a branch on which nothing has changed yet."""
    repo = make(tmp_path / "repo", FILES)
    git(repo, "switch", "--quiet", "-c", "change")
    return repo


@pytest.fixture
def temporary(tmp_path, repo):
    """Return the folder for temporary files; at the end neither it nor the repository may have new files."""
    status = git(repo, "status", "--porcelain", "--ignored")
    (tmp_path / "temporary").mkdir()
    yield tmp_path / "temporary"
    assert_nothing_left(repo, tmp_path / "temporary")
    assert git(repo, "status", "--porcelain", "--ignored") in (status, git(repo, "status", "--porcelain"))


def nothing_left(repo, temporary):
    """Whether no worktree, file or process of a gate is left."""
    worktrees = git(repo, "worktree", "list").splitlines()
    left = [] if not temporary.exists() else list(temporary.iterdir())
    return len(worktrees) == 1 and not left and not processes_with(str(temporary))


def assert_nothing_left(repo, temporary):
    assert soon(lambda: nothing_left(repo, temporary)), list(temporary.iterdir())


def test_regressed(repo, temporary, tmp_path):
    """Committed and uncommitted changes count, even with the checkout itself on the path."""
    write(repo, {"one.py": WORK.format(count=30_000)})
    commit(repo)
    git(repo, "switch", "--quiet", "main")
    write(repo, {"one.py": WORK.format(count=10)})  # not on the branch: it must not be what is compared with
    commit(repo)
    git(repo, "switch", "--quiet", "change")
    write(repo, {"two.py": WORK.format(count=30_000)})
    files = ["--json", tmp_path / "out.json", "--markdown", tmp_path / "out.md"]
    done = gate(repo, temporary, *QUICK, *files, "--seed", "5", PYTHONPATH=str(repo))
    assert done.returncode == 10, done.stdout + done.stderr
    assert done.stdout.startswith("REGRESSED: ")
    stored = json.loads((tmp_path / "out.json").read_text())
    jsonschema.validate(stored, json.loads(record.SCHEMA_FILE.read_text()))
    assert (stored["verdict"], stored["exit_code"], stored["seed"]) == ("regressed", 10, 5)
    (case,) = stored["cases"]
    assert (case["id"], case["verdict"]) == ("bench/test_work.py::test_work", "regressed")
    assert case["ratio"] > 4.5  # 6 by both changes, 3.5 by one of them
    assert stored["environment"]["base_commit"] == git(repo, "rev-parse", "main~1")
    assert stored["environment"]["uncommitted"] == ["two.py"]
    assert stored["plan"]["screen"] == 3
    assert "regressed" in (tmp_path / "out.md").read_text().lower()


def test_identical(repo, temporary, tmp_path):
    """A change of documentation passes at once, also from a folder within the checkout: no benchmark is run."""
    write(repo, {"README.md": "More work.\n", "docs/new.md": "New.\n"})
    out = tmp_path / "out.json"
    done = gate(repo / "bench", temporary, "--json", out, RAN=str(tmp_path / "ran"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (tmp_path / "ran").exists()
    stored = json.loads(out.read_text())
    assert stored["verdict"] == "identical"
    assert [case["verdict"] for case in stored["cases"]] == ["identical"]


def test_not_identical(repo, temporary, tmp_path):
    """A data file is a change, as a benchmark may read it; a run without time for one pair is no success."""
    write(repo, {"data.json": "[]\n"})
    done = gate(repo, temporary, "--budget", "0.0001")
    assert done.returncode == 13
    assert done.stdout.startswith("INCOMPLETE: ")
    assert "the time budget ran out" in done.stdout


def test_planted_is_a_change(repo, temporary):
    """With a planted slowdown the sides are not identical, so a pattern that matches no case is an error."""
    done = gate(repo, temporary, "--plant", "no_such=5%")
    assert (done.returncode, done.stdout) == (2, "")
    assert "gradperf: --plant no_such: there is no such case" in done.stderr


def test_strays(repo, temporary):
    """A side that imports from the user's checkout instead of its own files is no success."""
    write(repo, {"bench/conftest.py": f"import sys\nsys.path.insert(0, {str(repo)!r})\n"})
    commit(repo)
    write(repo, {"two.py": WORK.format(count=5_001)})
    done = gate(repo, temporary, *QUICK)
    assert done.returncode == 13
    report = " ".join(done.stdout.split())
    assert "imported modules from your checkout instead of its own files" in report
    assert "one (" in report


def test_whole_paths(repo, temporary, tmp_path):
    """An absolute path into the checkout means the same place on each side."""
    write(repo, {"data.json": "[]\n"})
    out, given = tmp_path / "out.json", [repo / "bench", f"{repo}/bench/test_work.py::test_work", "-k", "work"]
    gate(repo / "bench", temporary, "--budget", "0.0001", "--json", out, "--", *given)
    assert json.loads(out.read_text())["environment"]["pytest"] == [".", "test_work.py::test_work", "-k", "work"]
    assert pytest_arguments.relative(repo, repo, "/elsewhere/bench") == "/elsewhere/bench"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_ended_in_the_middle(repo, temporary, tmp_path, number):
    """A gate that is stopped by a signal leaves nothing; while it runs, a second one in its checkout is refused."""
    ran = tmp_path / "ran"
    write(repo, {"one.py": "import time\ndef work():\n    time.sleep(0.5)\n"})
    with subprocess.Popen(
        words(*QUICK),
        cwd=repo,
        env=environment(TMPDIR=str(temporary), RAN=str(ran)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        assert soon(ran.exists, patience_s=60), running.poll()
        if number == signal.SIGTERM:
            second = gate(repo / "bench", tmp_path / "temporary 2")
            assert (second.returncode, second.stdout) == (2, "")
            assert "another gate is running in this checkout; wait for it" in second.stderr
        assert processes_with(str(temporary))
        running.send_signal(number)
        output, _ = running.communicate(timeout=60)
    assert_nothing_left(repo, temporary)
    assert "Traceback" not in output
    expected = {signal.SIGKILL: -9, signal.SIGTERM: 128 + 15, signal.SIGINT: 130}
    assert running.returncode == expected[number]


def test_closed_pipe(repo, temporary):
    """A closed pipe, as after ``| head``, does not change the exit code."""
    write(repo, {"data.json": "[]\n"})
    read, written = os.pipe()
    os.close(read)
    done = subprocess.run(
        words("--", "no/such/path", *QUIET),
        cwd=repo,
        env=environment(TMPDIR=str(temporary)),
        stdout=written,
        stderr=written,
        timeout=120,
        check=False,
    )
    os.close(written)
    assert done.returncode == 13


def test_full_disk(repo, temporary):
    """A file that cannot be written is a message after the report, and no success."""
    done = gate(repo, temporary, "--json", "/dev/full")
    assert done.returncode == 2
    assert done.stdout.startswith("IDENTICAL: ")
    assert done.stderr.splitlines()[-1] == "gradperf: /dev/full: cannot be written: No space left on device"


@pytest.fixture
def reported(tmp_path, capsys):
    """Return ``reported(outcome)``, which writes ``out.json`` and ``out.md``: exit code, output and messages."""

    def report(result):
        parsed = argparse.Namespace(json=tmp_path / "out.json", markdown=tmp_path / "out.md", html=None)
        code = gate_command._report(result, parsed)
        return code, *capsys.readouterr()

    return report


@pytest.mark.parametrize(("verdict", "code"), [("unchanged", 2), ("regressed", 10)])
def test_file_that_cannot_be_replaced(monkeypatch, reported, tmp_path, verdict, code):
    """A file that cannot be replaced stays as it was, the other is written, and the run is no success."""
    (tmp_path / "out.json").write_text("as before")
    own = os.replace

    def replace(source, target):
        if str(target).endswith(".json"):
            raise PermissionError(errno.EACCES, "Permission denied", str(target))
        own(source, target)

    monkeypatch.setattr(os, "replace", replace)
    exit_code, printed, messages = reported(outcome(verdict, exit_code=0 if code == 2 else code))
    assert exit_code == code
    assert printed
    assert messages == f"gradperf: {tmp_path}/out.json: cannot be written: Permission denied\n"
    assert (tmp_path / "out.json").read_text() == "as before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.json", "out.md"]


def test_report_that_cannot_be_printed(tmp_path):
    """A report that cannot be printed is no success; the file is still written."""
    source = f"""
import argparse, pathlib, sys
from gradperf.commands import gate as gate_command
from gradperf.gate.sides import pytest_arguments
from tests.gate.outcomes import outcome
parsed = argparse.Namespace(json=pathlib.Path({str(tmp_path / "out.json")!r}), markdown=None, html=None)
sys.exit(gate_command._report(outcome(), parsed))
"""
    root = str(Path(__file__).parents[2])
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", source],
            env=environment(PYTHONPATH=root),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr == "gradperf: the report cannot be printed: No space left on device\n"
    assert json.loads((tmp_path / "out.json").read_text())["verdict"] == "unchanged"


@pytest.mark.parametrize(
    ("table", "arguments"),
    [
        ("", []),
        ("[tool.gradperf]\nx = 1", []),
        ("[tool.gradperf.gate]\narguments = []", []),
        ("[tool.gradperf.gate]\narguments = ['bench', '-k', 'x']", ["../bench", "-k", "x"]),
    ],
)
def test_default_arguments(tmp_path, table, arguments):
    """The default arguments for pytest come from the nearest pyproject.toml; their paths start at its folder."""
    write(tmp_path, {"pyproject.toml": table, "bench/x": "", "sub/x": ""})
    assert pytest_arguments.configured(tmp_path / "sub") == arguments


def test_on_a_terminal(repo, temporary, tmp_path):
    """The line that changes tells the pair and the case, and is gone in the end. The output has the report."""
    write(repo, {"one.py": WORK.format(count=30_000)})
    with (tmp_path / "report.txt").open("w") as report:
        done = on_a_terminal(words(*QUICK), cwd=repo, stdout=report, env=environment(TMPDIR=str(temporary)))
    assert done.code == 10, done.screen
    assert "screen 1 of 3; starting 4 processes" in done.written
    assert "screen 1 of 3; case 1 of 1: bench/test_work.py::test_work" in done.written
    assert re.search(r"screen 2 of 3, (\S+ s or more left|soon done); the control: bench/", done.written)
    assert re.search(r"confirm 2 of at most 5, (at most \S+ s left|soon done); starting", done.written)
    assert all(line.startswith("gradperf gate: ") for line in done.screen[:-1])
    assert done.screen[-2:] == ["gradperf gate: 1 case on both sides", ""]
    assert (tmp_path / "report.txt").read_text().startswith("REGRESSED: ")


def test_ctrl_c_on_a_terminal(repo, temporary):
    """The line that changes goes away, and one that tells it stays."""
    write(repo, {"one.py": WORK.format(count=30_000)})
    done = on_a_terminal(
        words(*QUICK), cwd=repo, interrupt_at="screen 2 of 3", env=environment(TMPDIR=str(temporary))
    )
    assert done.code == 130
    assert done.screen[-2:] == ["gradperf: interrupted", ""]
    assert all(line.startswith("gradperf gate: ") for line in done.screen[:-2])


def test_in_a_pipe(repo, temporary):
    """A line from time to time: here all that would be shown, as it takes no time."""
    write(repo, {"one.py": WORK.format(count=30_000)})
    own = "import gradperf.progress.display\ngradperf.progress.display.EVERY_S = 0.0\n"
    done = subprocess.run(
        [words()[0], "-c", own + words()[2], "gate", *QUICK],
        cwd=repo,
        env=environment(TMPDIR=str(temporary)),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 10, done.stderr
    assert done.stdout.startswith("REGRESSED: ")
    assert "\x1b" not in done.stderr
    assert "\r" not in done.stderr
    assert "gradperf gate: screen 1 of 3; case 1 of 1: bench/test_work.py::test_work\n" in done.stderr
    assert all(line.startswith("gradperf gate: ") for line in done.stderr.splitlines())


def test_ignored_hangup():
    """A signal that the caller ignores, as nohup does, stays ignored; the others are restored."""
    before = signal.getsignal(signal.SIGTERM)
    own = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with gate_command._signals_end_the_gate():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) != before
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) == before
    finally:
        signal.signal(signal.SIGHUP, own)
