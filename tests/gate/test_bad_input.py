"""A mistake is one message and exit code 2, nothing to compare is exit code 13; both leave nothing behind."""

import subprocess
import sys
import tempfile

import pytest

from gradperf.commands import main
from tests.conftest import soon
from tests.gate.repositories import CONFIGURATION, commit, git, make, write
from tests.gate.suites import NOT_INHERITED, QUIET

MISTAKES = [
    (("--alpha", "2"), "argument --alpha: expected a share between 0 and 0.5, such as 1% or 0.01, not '2'"),
    (("--alpha", "0"), "argument --alpha: expected a share between 0 and 0.5"),
    (("--alpha", "nan"), "argument --alpha: expected a share between 0 and 0.5"),
    (("--alpha", "0.9"), "argument --alpha: expected a share between 0 and 0.5, such as 1% or 0.01, not '0.9'"),
    (("--min-effect=-1%",), "argument --min-effect: expected a share between 0 and 1"),
    (("--min-effect", "%"), "argument --min-effect: expected a share between 0 and 1"),
    (("--screen", "0"), "argument --screen: expected a whole number of at least 3, not '0'"),
    (("--screen", "x"), "argument --screen: expected a whole number of at least 3, not 'x'"),
    (("--confirm", "4", "--alpha", "0.5"), "argument --confirm: expected a whole number of at least 5, not '4'"),
    (("--confirm", "6"), "--confirm 6: too few pairs to reach p ≤ 0.01; at least 7 are needed"),
    (("--budget", "0"), "argument --budget: expected a number above 0, not '0'"),
    (("--budget", "nan"), "argument --budget: expected a number above 0, not 'nan'"),
    (("--patience", "inf"), "argument --patience: expected a number above 0, not 'inf'"),
    (("--seed", "-1"), "argument --seed: expected a whole number of at least 0, not '-1'"),
    (("--accept", "x"), "every --accept CASE needs its own --reason TEXT"),
    (("--reason", "x"), "every --accept CASE needs its own --reason TEXT"),
    (("--accept", "x", "--reason", " "), "every --accept CASE needs its own --reason TEXT"),
    (("--plant", "x"), "argument --plant: expected CASE=SHARE"),
    (("--plant", "=5%"), "argument --plant: expected CASE=SHARE"),
    (("--plant", "x=5"), "argument --plant: expected a share between 0 and 1"),
    (("--json", "no/such/out.json"), "--json"),
    (("--markdown", "."), "--markdown"),
    (("--base", "no_such"), "there is no commit 'no_such' here"),
    (("--base", ""), "there is no commit '' here"),
    (("--base=--help",), "there is no commit '--help' here"),
    (("--base-python", "no/such/python"), "/no/such/python does not exist"),
    (("--base-python", "."), "is a folder"),
    (("--base-python", "README.md"), "README.md is not executable, so it is not a Python interpreter"),
    (("--base-python", "/bin/true"), "/bin/true is not a Python interpreter"),
    (("--head-python", "no_such_python"), "there is no interpreter 'no_such_python' on PATH"),
]

TABLES = [
    ("x = [", "cannot be read: "),
    ("tool = 3", "arguments has to be a list of strings"),
    ("[tool]\ngradperf = []", "arguments has to be a list of strings"),
    ("[tool.gradperf]\ngate = 'x'", "arguments has to be a list of strings"),
    ("[tool.gradperf.gate]\narguments = 'bench'", "arguments has to be a list of strings"),
    ("[tool.gradperf.gate]\narguments = [1]", "arguments has to be a list of strings"),
    (b"x = '\xff'", "cannot be read: "),
]

FILES = {"README.md": "x\n", "test_x.py": "def test_x(benchmark): benchmark(int)\n"}


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Ignore the user's configuration and keep temporary files in a folder, which must be empty at the end."""
    for name, value in CONFIGURATION.items():
        monkeypatch.setenv(name, value)
    for name in NOT_INHERITED:
        monkeypatch.delenv(name, raising=False)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    yield tmp_path
    assert soon(lambda: not list(temporary.iterdir())), list(temporary.iterdir())


@pytest.fixture
def repo(elsewhere, monkeypatch):
    """Return a repository and work in it; no worktree of it may be left."""
    repo = make(elsewhere / "repo", FILES)
    monkeypatch.chdir(repo)
    yield repo
    assert len(git(repo, "worktree", "list").splitlines()) == 1
    assert {path.name for path in repo.iterdir()} <= {".git", "pyproject.toml", *FILES}


@pytest.fixture
def gate(capsys):
    """Return ``gate(…)``, which runs the command in this process and returns exit code, output and messages."""

    def run(*arguments):
        try:
            code = main.main(["gate", *arguments])
        except SystemExit as ended:
            code = ended.code
        return code, *capsys.readouterr()

    return run


USAGE = "usage: gradperf gate [OPTION ...] [-- PYTEST_ARGUMENT ...]\ngradperf gate: error: "


def is_one_message(printed, message):
    """Whether ``printed`` is ``message`` alone: after the usage for a wrong value, else after the progress."""
    if printed.startswith(USAGE):
        return printed.count("\n") == USAGE.count("\n") + 1 and message in printed
    lines = [line for line in printed.splitlines() if not line.startswith("gradperf gate: ")]
    return len(lines) == 1 and lines[0].startswith("gradperf: ") and message in lines[0]


@pytest.mark.parametrize(
    ("arguments", "message"), MISTAKES, ids=lambda value: " ".join(value)[:30] if isinstance(value, tuple) else ""
)
def test_mistake(repo, gate, arguments, message):
    """One message says what is wrong with an option, and nothing is measured."""
    code, printed, errors = gate(*arguments)
    assert (code, printed) == (2, "")
    assert is_one_message(errors, message), errors


@pytest.mark.parametrize("option", ["--base", "--alpha", "--json", "--accept", "--plant", "--no-such", "bench"])
def test_no_value(repo, capsys, option):
    """An option without its value, or one that does not exist, is an error that shows the usage."""
    with pytest.raises(SystemExit) as ended:
        main.main(["gate", option])
    assert ended.value.code == 2
    assert "usage: gradperf" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["bench"], ["-k", "work"], ["--strict", "bench/test_work.py"]], ids=" ".join)
def test_forgotten_dashes(repo, capsys, arguments):
    """Arguments for pytest without the dashes before them are an error that says where they belong."""
    with pytest.raises(SystemExit) as ended:
        main.main(["gate", *arguments])
    assert ended.value.code == 2
    assert "put arguments for pytest after --" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main.main(["gate", *arguments, "--", "bench"])
    assert "after --" not in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main.main(["list", *arguments])
    assert "after --" not in capsys.readouterr().err


@pytest.mark.parametrize(("table", "message"), TABLES)
def test_unreadable_table(repo, gate, table, message):
    """The message names a pyproject.toml that cannot be read or holds something else."""
    (repo / "pyproject.toml").write_bytes(table if isinstance(table, bytes) else table.encode())
    code, printed, errors = gate()
    assert (code, printed) == (2, "")
    assert is_one_message(errors.splitlines()[0], f"{repo}/pyproject.toml"), errors
    assert message in errors


def test_no_repository(elsewhere, monkeypatch, gate):
    """Outside a repository the message names the way out: two interpreters need none."""
    monkeypatch.chdir(elsewhere)
    code, _, errors = gate()
    assert code == 2
    assert is_one_message(errors, "not a git repository") or is_one_message(errors, "--base-python"), errors


def test_no_folder(elsewhere, monkeypatch, gate):
    """The current folder may have been removed meanwhile."""
    (elsewhere / "gone").mkdir()
    monkeypatch.chdir(elsewhere / "gone")
    (elsewhere / "gone").rmdir()
    assert gate()[::2] == (2, "gradperf: the current folder does not exist any more; change into one that does\n")


def test_shallow_clone(repo, elsewhere, monkeypatch, gate):
    """In a clone without the commit to compare with, the message says how to get it."""
    for number in range(3):
        write(repo, {"README.md": f"{number}\n"})
        commit(repo)
    git(repo, "switch", "--quiet", "-c", "change")
    write(repo, {"README.md": "changed\n"})
    commit(repo)
    git(repo, "switch", "--quiet", "main")
    origin = ["--no-single-branch", "--branch=change", f"file://{repo}"]
    git(elsewhere, "clone", "--quiet", "--depth=1", *origin, "clone")
    monkeypatch.chdir(elsewhere / "clone")
    code, printed, errors = gate()
    assert (code, printed) == (2, "")
    assert is_one_message(errors, "this clone is shallow: get the rest with `git fetch --unshallow`"), errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no/such/path"], "file or directory not found: no/such/path"),
        (["--version"], "pytest did not get as far as collecting on the head (exit code 0)"),
        (["--no-such-option"], "unrecognized arguments: --no-such-option"),
        (["-k", "nothing"], "there is no benchmark: the arguments of pytest leave none"),
        (["--co", "-k", "nothing"], "there is no benchmark: the arguments of pytest leave none"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_nothing_to_compare(repo, gate, arguments, message):
    """Arguments for pytest that leave nothing to compare are in the report, and no success."""
    code, printed, errors = gate("--", *arguments, *QUIET)
    assert code == 13
    assert message in " ".join(printed.split())
    assert "Traceback" not in printed + errors


@pytest.mark.parametrize("side", ["base", "head"])
def test_side_that_cannot_be_collected(repo, gate, side):
    """If tests cannot be imported on one side, the report names the side and the error; nothing is compared."""
    broken, whole = {"test_x.py": "import nothing_of_this_name\n"}, {"test_x.py": FILES["test_x.py"]}
    write(repo, broken if side == "base" else whole)
    commit(repo)
    write(repo, whole if side == "base" else broken)
    code, printed, errors = gate("--base", "HEAD", "--", *QUIET)
    assert code == 13
    report = " ".join(printed.split())
    assert f"the tests of the {side} cannot be collected" in report
    assert "No module named 'nothing_of_this_name'" in report
    assert "Traceback" not in printed + errors


def test_only_collecting(repo, gate):
    """``--collect-only`` has no effect: the gate measures all the same."""
    code, printed, _ = gate("--", "--collect-only", *QUIET)
    assert code == 0
    assert "test_x.py::test_x" in printed


def test_interpreter_without_pytest(repo, elsewhere, gate):
    """If an interpreter lacks what the workers need, the message says how to install it."""
    environment = elsewhere / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    code, _, errors = gate("--base-python", str(environment / "bin" / "python"))
    assert code == 2
    assert is_one_message(errors, "has no pytest; install with: "), errors
