"""Which Python the gate takes for the project, and that nothing of another environment reaches its processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gradperf.errors import UserError
from gradperf.gate.sides.activation import activated
from gradperf.gate.sides.project_python import choose
from tests.gate.repositories import make, write
from tests.gate.suites import QUICK, QUIET, gate


def environment(folder, conda=False):
    """Make what looks like an environment; return its interpreter."""
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(os.path.realpath(sys.executable))
    if conda:
        (folder / "conda-meta").mkdir()
    else:
        home = os.path.dirname(os.path.realpath(sys.executable))
        (folder / "pyvenv.cfg").write_text(f"home = {home}\n")
    return folder / "bin" / "python"


@pytest.fixture
def repo(tmp_path):
    """Return a folder that looks like a repository, with a folder in it."""
    (tmp_path / "repo" / "sub").mkdir(parents=True)
    (tmp_path / "repo" / ".git").write_text("gitdir: elsewhere\n")  # as in a worktree
    return tmp_path / "repo"


def test_named(repo):
    """What --python names counts, whatever else there is."""
    environment(repo / ".venv")
    assert choose("python9", repo, {"VIRTUAL_ENV": str(repo / ".venv")}).python == "python9"


def test_active(repo, tmp_path):
    """The active environment counts before that in the folder, and says so."""
    environment(repo / ".venv")
    python = environment(tmp_path / "active")
    chosen = choose(None, repo, {"VIRTUAL_ENV": str(tmp_path / "active"), "CONDA_PREFIX": "/conda"})
    assert chosen.python == str(python)
    assert chosen.reason == "the active environment"


def test_conda(repo, tmp_path):
    """An environment of conda that was activated counts; its first one, which is always active, comes last."""
    chosen, base = environment(tmp_path / "conda", conda=True), {"CONDA_DEFAULT_ENV": "base"}
    conda = {"CONDA_PREFIX": str(tmp_path / "conda")}
    assert choose(None, repo, conda | base).python == str(chosen)
    own = environment(repo / ".venv")
    assert choose(None, repo, conda | base).python == str(own)
    assert choose(None, repo, conda | {"CONDA_DEFAULT_ENV": "work"}).python == str(chosen)


def test_on_github(repo):
    """Without an environment, it is the Python that a workflow has set up."""
    python = environment(repo.parent / "hosted")
    assert choose(None, repo, {"pythonLocation": str(repo.parent / "hosted")}).python == str(python)
    own = environment(repo / ".venv")
    assert choose(None, repo, {"pythonLocation": str(repo.parent / "hosted")}).python == str(own)


@pytest.mark.parametrize("name", [".venv", "venv"])
def test_in_the_folder(repo, name):
    """The environment of the folder or of one above counts, up to the repository's top."""
    python = environment(repo / name)
    assert choose(None, repo / "sub", {}).python == str(python)
    nearer = environment(repo / "sub" / "venv")
    assert choose(None, repo / "sub", {}).python == str(nearer)


def test_above_the_repository(repo):
    """An environment above the repository, or above a folder without one, is another project's."""
    environment(repo.parent / ".venv")
    (repo.parent / "plain").mkdir()
    for folder in (repo, repo / "sub", repo.parent / "plain"):
        chosen = choose(None, folder, {})
        assert chosen.python == sys.executable
        assert "--python" in chosen.reason
    assert choose(None, repo.parent, {}).python == str(repo.parent / ".venv" / "bin" / "python")


def test_own(repo, monkeypatch):
    """The environment that gradperf runs in is its own, if active or reached by a link."""
    environment(repo / ".venv")
    monkeypatch.setattr(sys, "prefix", str(repo / ".venv"))
    assert choose(None, repo, {}).python == sys.executable
    (repo.parent / "link").symlink_to(repo / ".venv")
    chosen = choose(None, repo, {"VIRTUAL_ENV": str(repo.parent / "link")})
    assert chosen.python == sys.executable
    assert "gradperf runs too" in chosen.reason


def test_extended(repo, tmp_path):
    """What `uv run --with` puts on top of the project is left out, unless the project has no pytest without it."""
    python = environment(repo / ".venv")
    over = environment(tmp_path / "over")
    with (tmp_path / "over" / "pyvenv.cfg").open("a") as file:
        file.write(f"extends-environment = {repo}/.venv\n")
    active = {"VIRTUAL_ENV": str(tmp_path / "over")}
    assert choose(None, repo, active).python == str(over)
    write(repo / ".venv", {"lib/python3.11/site-packages/pytest_benchmark/plugin.py": ""})
    assert choose(None, repo, active).python == str(python)


def test_gone(repo):
    """An active environment that was deleted is passed over; one whose Python was deleted is an error."""
    assert choose(None, repo, {"VIRTUAL_ENV": str(repo / "missing")}).python == sys.executable
    (repo / ".venv" / "bin").mkdir(parents=True)
    (repo / ".venv" / "bin" / "python").symlink_to(repo / "missing")
    with pytest.raises(UserError, match=r"leads to .*/missing, .*make that environment again"):
        choose(None, repo, {})


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """Return an environment in which gradperf seems to run, as one of uvx or pipx."""
    environment(tmp_path / "tool")
    environment(tmp_path / "below")
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "tool"))
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "below" / "lib" / "python3.11" / "site-packages")])
    return tmp_path / "tool"


def test_nothing_leaks(tmp_path, tool):
    """Programs and packages of the tool's environment, and of another active one, are out of reach."""
    python, active = environment(tmp_path / "project" / ".venv"), tmp_path / "active"
    environment(active)
    found = activated(
        python,
        {
            "PATH": f"{tool}/bin:{tmp_path}/below/bin:/usr/bin:{active}/bin:{python.parent}",
            "PYTHONPATH": f"{tool}/lib/python3.11/site-packages:{active}/lib:{active}/src/project:/elsewhere",
            "PYTHONHOME": "/somewhere",
            "__PYVENV_LAUNCHER__": "/somewhere/python",
            "VIRTUAL_ENV": str(active),
            "OTHER": "kept",
        },
    )
    assert found == {
        "PATH": f"{python.parent}:/usr/bin",
        "PYTHONPATH": f"{active}/src/project:/elsewhere",
        "VIRTUAL_ENV": str(tmp_path / "project" / ".venv"),
        "OTHER": "kept",
    }


def test_own_environment_is_no_other(tool):
    """What belongs to the side's own environment stays, PYTHONHOME too if it is that of gradperf."""
    given = {"PATH": f"/usr/bin:{tool}/bin", "PYTHONPATH": f"{tool}/lib/extra", "PYTHONHOME": "/somewhere"}
    expected = {"PATH": f"{tool}/bin:/usr/bin", "VIRTUAL_ENV": str(tool)}
    assert activated(tool / "bin" / "python", given) == {**given, **expected}


def test_no_environment(tool):
    """For the system's Python none is active, and its folder, full of other programs, keeps its place."""
    given = {"PATH": f"{tool}/bin:/usr/local/bin:/usr/bin", "VIRTUAL_ENV": str(tool)}
    assert activated(Path("/usr/bin/python3"), given) == {"PATH": "/usr/local/bin:/usr/bin"}


def test_side_of_conda(tmp_path, tool):
    """An environment of conda is named by conda's variable."""
    python = environment(tmp_path / "conda", conda=True)
    found = activated(python, {"PATH": "/usr/bin", "CONDA_PREFIX": "/conda", "VIRTUAL_ENV": str(tool)})
    assert found == {"PATH": f"{python.parent}:/usr/bin", "CONDA_PREFIX": str(tmp_path / "conda")}


SUITE = """
import json
import os
import subprocess
import sys

def test_children(benchmark):
    child = subprocess.run(["python", "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True)
    facts = {"prefix": sys.prefix, "child": child.stdout.strip(), "active": os.environ.get("VIRTUAL_ENV")}
    with open(os.environ["FACTS"], "w") as file:
        json.dump(facts, file)
    benchmark(sum, range(1000))
"""


def test_whole(tmp_path):
    """The gate runs the suite by the project's .venv, from a folder below; so do programs that it starts."""
    repo = make(tmp_path / "repo", {"bench/test_it.py": SUITE, ".gitignore": ".venv\n"})
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", repo / ".venv"], check=True)
    (packages,) = (repo / ".venv" / "lib").glob("*/site-packages")
    write(packages, {"here.pth": "\n".join(path for path in sys.path if path.endswith("site-packages"))})
    write(repo, {"bench/test_it.py": SUITE + "\n"})
    facts = tmp_path / "facts.json"
    done = gate(repo / "bench", tmp_path / "temporary", *QUICK, "--", *QUIET, FACTS=str(facts), timeout=240)
    assert f"Python: {repo}/.venv/bin/python, the environment in the project's folder" in done.stderr
    prefix = str(repo / ".venv")
    assert json.loads(facts.read_text()) == {"prefix": prefix, "child": prefix, "active": prefix}


def test_without_pytest(tmp_path):
    """An environment that lacks pytest is an error that tells how to install it, with uv where there is no pip."""
    repo = make(tmp_path / "repo", {"bench/test_it.py": SUITE, ".gitignore": ".venv\n"})
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", repo / ".venv"], check=True)
    done = gate(repo, tmp_path / "temporary")
    assert done.returncode == 2
    python = repo / ".venv" / "bin" / "python"
    assert f"install with: uv pip install --python {python} pytest pytest-benchmark" in done.stderr
    assert "--python" in done.stderr
