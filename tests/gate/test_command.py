"""``gradperf gate`` in somebody's repository: what it says, what it exits with, and that it leaves nothing."""

import argparse
import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from gradperf.commands import gate as gate_command
from gradperf.gate.report import record
from tests.conftest import soon
from tests.gate.outcomes import outcome
from tests.gate.repositories import commit, git, make, write
from tests.gate.suites import QUICK, QUIET, environment, gate, processes_with
from tests.gate.suites import command as words

WORK = """
def work():
    for _ in range({count}):
        pass
"""
"""So many times around takes so long, and returns nothing that could differ."""

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
    """Give a repository with a branch on which nothing has changed yet."""
    repo = make(tmp_path / "repo", FILES)
    git(repo, "switch", "--quiet", "-c", "change")
    return repo


@pytest.fixture
def temporary(tmp_path, repo):
    """Give the folder for temporary files; in the end neither there nor in the repository may be anything new."""
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
    """What the branch committed counts, and what is not committed; although the checkout itself is on the path."""
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
    assert "regressed" in done.stdout
    told = json.loads((tmp_path / "out.json").read_text())
    jsonschema.validate(told, json.loads(record.SCHEMA_FILE.read_text()))
    assert (told["verdict"], told["exit_code"], told["seed"]) == ("regressed", 10, 5)
    (case,) = told["cases"]
    assert (case["id"], case["verdict"]) == ("bench/test_work.py::test_work", "regressed")
    assert case["ratio"] > 4.5  # 6 by both changes, 3.5 by one of them
    assert told["environment"]["base_commit"] == git(repo, "rev-parse", "main~1")
    assert told["environment"]["uncommitted"] == ["two.py"]
    assert told["plan"]["screen"] == 3
    assert "regressed" in (tmp_path / "out.md").read_text().lower()


def test_identical(repo, temporary, tmp_path):
    """A change of documentation passes at once: no benchmark is run, not even from a folder within the checkout."""
    write(repo, {"README.md": "More work.\n", "docs/new.md": "New.\n"})
    out = tmp_path / "out.json"
    done = gate(repo / "bench", temporary, "--json", out, RAN=str(tmp_path / "ran"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (tmp_path / "ran").exists()
    told = json.loads(out.read_text())
    assert told["verdict"] == "identical"
    assert [case["verdict"] for case in told["cases"]] == ["identical"]


def test_not_identical(repo, temporary, tmp_path):
    """A data file may be read by a benchmark, so it is a change; and what no time was left for is no success."""
    write(repo, {"data.json": "[]\n"})
    done = gate(repo, temporary, "--budget", "0.0001")
    assert done.returncode == 13
    assert "Incomplete" in done.stdout
    assert "the time budget ran out" in done.stdout


def test_planted_is_a_change(repo, temporary):
    """Where something is planted, the sides are not identical: a pattern that fits no case is noticed."""
    done = gate(repo, temporary, "--plant", "no_such=5%")
    assert (done.returncode, done.stdout) == (2, "")
    assert "gradperf: --plant no_such: there is no such case" in done.stderr


def test_strays(repo, temporary):
    """A side that imports from the user's checkout was not what it was taken for; that is no success."""
    write(repo, {"bench/conftest.py": "import os, sys\nsys.path.insert(0, os.environ['CHECKOUT'])\n"})
    commit(repo)
    write(repo, {"two.py": WORK.format(count=5_001)})
    done = gate(repo, temporary, *QUICK, CHECKOUT=str(repo))
    assert done.returncode == 13
    told = " ".join(done.stdout.split())
    assert "imported modules from your checkout instead of its own files" in told
    assert "one (" in told


def test_whole_paths(repo, temporary, tmp_path):
    """Arguments that name the checkout by its whole path mean the same place on each side."""
    write(repo, {"data.json": "[]\n"})
    out, given = tmp_path / "out.json", [repo / "bench", f"{repo}/bench/test_work.py::test_work", "-k", "work"]
    gate(repo / "bench", temporary, "--budget", "0.0001", "--json", out, "--", *given)
    assert json.loads(out.read_text())["environment"]["pytest"] == [".", "test_work.py::test_work", "-k", "work"]
    assert gate_command._relative(repo, repo, "/elsewhere/bench") == "/elsewhere/bench"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_ended_in_the_middle(repo, temporary, tmp_path, number):
    """However it is ended, it leaves nothing; while it runs, a second one in the same checkout is refused."""
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


def test_nobody_listens(repo, temporary):
    """The exit code is the same where nobody reads what it prints, as after ``| head``."""
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
    """Where the file cannot be written there is the report, a message, and an exit code that is no success."""
    done = gate(repo, temporary, "--json", "/dev/full")
    assert done.returncode == 2
    assert "identical, not timed" in done.stdout
    assert done.stderr.splitlines()[-1] == "gradperf: /dev/full: cannot be written: No space left on device"


@pytest.fixture
def telling(tmp_path, capsys):
    """Give ``telling(outcome)``, which tells it to ``out.json`` and ``out.md``: exit code, output and messages."""

    def tell(found):
        parsed = argparse.Namespace(json=tmp_path / "out.json", markdown=tmp_path / "out.md")
        code = gate_command._report(found, parsed)
        return code, *capsys.readouterr()

    return tell


@pytest.mark.parametrize(("verdict", "code"), [("unchanged", 2), ("regressed", 10)])
def test_file_that_cannot_be_replaced(monkeypatch, telling, tmp_path, verdict, code):
    """A file that cannot be replaced stays whole, the other is written, and the exit code tells the worse."""
    (tmp_path / "out.json").write_text("as before")
    own = os.replace

    def replace(source, target):
        if str(target).endswith(".json"):
            raise PermissionError(errno.EACCES, "Permission denied", str(target))
        own(source, target)

    monkeypatch.setattr(os, "replace", replace)
    found = outcome(verdict, exit_code=0 if code == 2 else code)
    exit_code, printed, messages = telling(found)
    assert exit_code == code
    assert printed
    assert messages == f"gradperf: {tmp_path}/out.json: cannot be written: Permission denied\n"
    assert (tmp_path / "out.json").read_text() == "as before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.json", "out.md"]


def test_report_that_cannot_be_printed(tmp_path):
    """Nor is it a success where the report cannot be printed; the file is there."""
    source = f"""
import argparse, pathlib, sys
from gradperf.commands import gate as gate_command
from tests.gate.outcomes import outcome
parsed = argparse.Namespace(json=pathlib.Path({str(tmp_path / "out.json")!r}), markdown=None)
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
    ("table", "found"),
    [
        ("", []),
        ("[tool.gradperf]\nx = 1", []),
        ("[tool.gradperf.gate]\narguments = []", []),
        ("[tool.gradperf.gate]\narguments = ['bench', '-k', 'x']", ["../bench", "-k", "x"]),
    ],
)
def test_default_arguments(tmp_path, table, found):
    """The arguments of pytest are those of the nearest pyproject.toml; its paths are seen from there."""
    write(tmp_path, {"pyproject.toml": table, "bench/x": "", "sub/x": ""})
    assert gate_command._default_arguments(tmp_path / "sub") == found


def test_ignored_hangup():
    """A signal that the caller had ignored, as nohup does, stays ignored; the others are as before in the end."""
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
