"""``gradperf upgrade`` in a user's repository, with wheels made here: no test needs a network."""

import dataclasses
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gradperf.environments import cache, differences, installer
from gradperf.environments import copy as copying
from gradperf.errors import UserError
from gradperf.gate.sides.interpreters import check_interpreter
from tests.environments.packages import environment, packages, unpack, wheel
from tests.gate.repositories import make, write
from tests.gate.suites import DEAF, QUICK, QUIET, SHORT
from tests.gate.suites import environment as variables

WORK = """
def work():
    for _ in range({count}):
        pass

def main():
    print("widget", {count})
"""

SUITE = """
import json
import os
import subprocess
import sys

import widget

def test_widget(benchmark):
    program = subprocess.run(["widget"], capture_output=True, text=True).stdout.split()
    with open(os.environ["FACTS"], "a") as file:
        file.write(json.dumps([sys.prefix, widget.__file__, program]) + "\\n")
    benchmark(widget.work)
"""


@pytest.fixture
def repo(tmp_path):
    """Return a repository whose ``.venv`` has ``widget`` 1.0, and links to ``widget`` 2.0, which is slower."""
    repo = make(tmp_path / "repo", {"bench/test_widget.py": SUITE, ".gitignore": ".venv\n"})
    environment(repo / ".venv")
    links = tmp_path / "links"
    unpack(wheel(links, "widget", "1.0", WORK.format(count=5_000)), repo / ".venv")
    wheel(links, "widget", "1.1", WORK.format(count=5_000))
    wheel(links, "widget", "2.0", WORK.format(count=30_000), requires=["gear>=2"])
    unpack(wheel(links, "gear", "1.0", "x = 1\n"), repo / ".venv")
    wheel(links, "gear", "2.0", "x = 2\n")
    return repo


@pytest.fixture
def upgrade(repo, tmp_path):
    """Return ``upgrade(*arguments)``: the command in the repository, with the wheels alone to install from."""

    def run(*arguments, **more):
        own = {
            "PATH": "/usr/bin:/bin",  # without uv
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(tmp_path / "links"),
            "PIP_CONFIG_FILE": os.devnull,
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
            "FACTS": str(tmp_path / "facts"),
        }
        given = {name: value for name, value in variables(**own).items() if name != "UV"}
        done = subprocess.run(
            [sys.executable, "-c", SHORT, "upgrade", *map(str, arguments)],
            cwd=repo,
            env={**given, **more},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run


def environments(tmp_path):
    """List the environments that are kept."""
    folder = tmp_path / "cache" / "gradperf" / "environments"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_slower(repo, upgrade, tmp_path):
    """The new version is slower: exit code 10. What changed with it is said, and both environments are kept."""
    before = sorted(str(path) for path in (repo / ".venv").rglob("*"))
    out = tmp_path / "out.json"
    done = upgrade("widget==2.0", *QUICK, "--json", out, "--", "bench", *QUIET)
    assert done.returncode == 10, done.stdout + done.stderr
    assert done.stdout.startswith("REGRESSED: 1 of 1 case slower.")
    assert f"Python: {repo}/.venv/bin/python, the environment in the project's folder" in done.stderr
    assert "upgraded: widget from 1.0 to 2.0" in done.stderr
    assert "changed with it: gear from 1.0 to 2.0" in done.stderr
    assert f"kept in {tmp_path}/cache/gradperf/environments" in done.stderr
    assert json.loads(out.read_text())["environment"]["upgraded"] == "gear from 1.0 to 2.0, widget from 1.0 to 2.0"
    # Each side ran its own module, and its own program.
    ran = [json.loads(line) for line in (tmp_path / "facts").read_text().splitlines()]
    counts = {prefix: int(program[1]) for prefix, file, program in ran if file.startswith(prefix)}
    assert len(ran) > 2
    assert all(file.startswith(f"{prefix}/lib") for prefix, file, _ in ran)
    assert sorted(counts.values()) == [5_000, 30_000]
    assert len({len(prefix) for prefix in counts}) == 1
    assert sorted(str(path) for path in (repo / ".venv").rglob("*")) == before

    kept = environments(tmp_path)
    assert len(kept) == 2
    again = upgrade(
        "widget==2.0", "--budget", "0.0001", "--", "bench", *QUIET, PIP_FIND_LINKS=str(tmp_path / "missing")
    )
    assert "using the environments of the last time" in again.stderr
    assert "upgraded: widget from 1.0 to 2.0" in again.stderr
    assert environments(tmp_path) == kept


PLACES = {"the folder of the start": "widget.py", "the folder above the tests": "bench/widget.py"}


@pytest.mark.parametrize(
    "place",
    [
        pytest.param(place, id=id_, marks=[pytest.mark.slow] * (place != "widget.py"))
        for id_, place in PLACES.items()
    ],
)
def test_sources_in_the_way(repo, upgrade, place):
    """Where both sides import the user's copy of what is upgraded, that was not timed, and the run is no pass."""
    write(repo, {place: WORK.format(count=5_000)})
    arguments = ["widget==2.0", *DEAF, "--", "bench", *QUIET]
    done = upgrade(*arguments)
    assert done.returncode == 13, done.stdout + done.stderr
    said = "".join(done.stdout.split())
    assert f"bothsidesimportwidgetfrom{repo / place},sothedifferencewasnottimed" in said
    assert "--acceptwidget" in said
    done = upgrade(*arguments[:1], "--accept", "widget", "--reason", "it is not used", *arguments[1:])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "widget differs and was not compared, but accepted: it is not used" in " ".join(done.stdout.split())
    assert "no such case" not in done.stdout


@pytest.mark.slow
def test_nothing_of_it_is_imported(repo, upgrade):
    """An upgrade of what no benchmark imports shows nothing, which is said."""
    write(repo, {"bench/test_widget.py": "def test_sum(benchmark):\n    benchmark(sum, range(9))\n"})
    done = upgrade("gear==2.0", *DEAF, "--", "bench", *QUIET)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no benchmark imported in its own process anything of what differs: gear" in " ".join(
        done.stdout.split()
    )


def message(done):
    """Return the last line of the errors, which must be the only one that is no progress."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout == ""
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("gradperf upgrade: ")]
    return line


MISTAKES = {
    "unknown": (["nosuchthing==1"], "there is no package for nosuchthing==1 here; is its name spelt right"),
    "version": (["widget==9"], "there is no widget==9; the newest versions are 1.0, 1.1, 2.0"),
    "contradiction": (["widget==2.0", "gear==1.0"], "the requirements contradict each other: "),
    "nothing": (["widget==1.0"], "nothing to compare: widget==1.0 is what "),
    "nothing new": (["widget>=1.0"], "nothing to compare: widget>=1.0 changes nothing that is installed"),
    "no requirement": (["==1.0"], "'==1.0' is no requirement; write NAME==VERSION"),
    "bad requirement": (["widget=2.0"], "'widget=2.0' is no requirement; write NAME==VERSION"),
    "a folder": (["bench"], "bench is a folder; make a wheel of it"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake(upgrade, tmp_path, mistake):
    """A mistake is one line, and of what could not be made nothing is kept."""
    requirements, expected = MISTAKES[mistake]
    assert expected in message(upgrade(*requirements))
    assert len(environments(tmp_path)) <= 1


def test_conflict(repo, upgrade, tmp_path):
    """A published package that does not fit the upgrade ends it.

    Neither a requirement of the project's own does, nor one that was not met before.
    """
    unpack(wheel(tmp_path / "links", "tool", "1.0", "", requires=["absent"]), repo / ".venv")
    unpack(wheel(tmp_path / "links", "clock", "3.0", "", requires=["widget<1.1"]), repo / ".venv")
    line = message(upgrade("widget==1.1"))
    assert "clock 3.0 requires widget<1.1, but 1.1 is installed; upgrade clock too" in line
    origin = {"url": repo.as_uri(), "dir_info": {"editable": True}}
    write(packages(repo / ".venv"), {"clock-3.0.dist-info/direct_url.json": json.dumps(origin)})
    done = upgrade("widget==1.1", "--budget", "0.0001", "--", "bench", *QUIET)
    assert "clock 3.0 requires widget<1.1, but 1.1 is installed; it is your own" in done.stderr
    assert "absent" not in done.stderr
    assert "upgraded: widget from 1.0 to 1.1" in done.stderr


def test_options_are_checked_first(upgrade, tmp_path):
    """Nothing is made if an option of the gate is wrong."""
    assert "--json: cannot write" in message(upgrade("widget==2.0", "--json", tmp_path / "missing" / "out.json"))
    assert environments(tmp_path) == []


def test_no_place(upgrade, tmp_path):
    """If the environments cannot be kept, the message says where another place is named."""
    (tmp_path / "cache").write_text("a file")
    assert "XDG_CACHE_HOME names another place" in message(upgrade("widget==2.0"))


def test_uv_that_fails(upgrade, tmp_path):
    """If uv cannot install it, pip is tried, and that is said."""
    write(
        tmp_path, {"bin/uv": "#!/bin/sh\necho '  x No solution found when resolving: there is none' >&2\nexit 1\n"}
    )
    (tmp_path / "bin" / "uv").chmod(0o755)
    path = f"{tmp_path}/bin:/usr/bin:/bin"
    quick = ["--budget", "0.0001", "--", "bench", *QUIET]
    done = upgrade("widget==1.1", *quick, PATH=path, UV_FIND_LINKS=str(tmp_path / "links"))
    assert "installing widget==1.1 with uv" in done.stderr
    assert "uv cannot: there is none; trying pip" in done.stderr
    assert "upgraded: widget from 1.0 to 1.1" in done.stderr
    # Where only pip was told where packages are, uv would find others.
    # Nor does pip install into another place that a variable names.
    done = upgrade("widget==2.0", *quick, PATH=path, PIP_TARGET=str(tmp_path / "elsewhere"))
    assert not (tmp_path / "elsewhere").exists()
    assert "with uv" not in done.stderr
    assert "upgraded: widget from 1.0 to 2.0" in done.stderr


def test_environment_without_pip(repo, upgrade, tmp_path):
    """Where the environment has no pip, as those that uv makes, another pip installs into it."""
    python, folder = repo / ".venv" / "bin" / "python", tmp_path / "empty"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(installer.sys, "executable", "/bin/false")
        program, *more = installer._pip(python, folder, has_pip=False)
        assert (program, more) == (f"{folder}/bin/python", ["-m", "pip", "--python", str(python)])
        assert subprocess.run([program, *more, "--version"], check=True)
        patch.setattr(installer, "_runs", lambda *_: False)
        patch.setenv("PATH", str(tmp_path / "missing"))
        patch.delenv("UV", raising=False)
        with pytest.raises(UserError, match="neither uv nor pip was found"):
            installer.install(python, ["widget==2.0"], has_pip=False, say=print)
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("UV", "uv9")
        assert [tool.name for tool in installer._tools(python, folder, has_pip=False)] == ["uv"]
        assert [tool.name for tool in installer._tools(python, folder, has_pip=True)] == ["pip"]


def test_interrupted(repo, tmp_path):
    """An environment that is not complete is made again; another of the project's packages has another name."""
    facts = check_interpreter(repo / ".venv" / "bin" / "python")
    folder = tmp_path / "one"
    copying.copy(facts, folder)
    assert not cache.kept(folder)
    assert not folder.exists()
    copying.copy(facts, folder)
    cache.complete(folder)
    assert cache.kept(folder)
    key = cache.key(facts)
    assert cache.key(facts) == key != cache.key(facts, ["widget==2.0"])
    (packages(repo / ".venv") / "widget.py").write_text("# built anew, of the same version\n")
    assert cache.key(check_interpreter(facts.python)) != key
    changed = cache.key(facts)
    unpack(wheel(tmp_path / "links", "clock", "3.0", ""), repo / ".venv")
    assert cache.key(check_interpreter(facts.python)) != changed


def test_two_at_once(tmp_path):
    """The second waits until the first has made its environments, and says so."""
    said, order = [], []

    def second():
        with cache.opened(tmp_path, said.append):
            order.append("second")

    with cache.opened(tmp_path, said.append):
        other = threading.Thread(target=second)
        other.start()
        while not said and other.is_alive():
            time.sleep(0.01)
        order.append("first")
    other.join()
    assert order == ["first", "second"]
    assert said == ["waiting for another gradperf upgrade that makes environments"]


def test_copy(repo, tmp_path):
    """A copy has packages, links and programs, whose first line names its own Python; large files are linked."""
    write(packages(repo / ".venv"), {"large.so": "x" * copying.LARGE, "dist/inner.txt": "text"})
    (packages(repo / ".venv") / "link").symlink_to("dist")
    folder = tmp_path / "copy"
    python = copying.copy(check_interpreter(repo / ".venv" / "bin" / "python"), folder)
    assert (packages(folder) / "link").is_symlink()
    assert os.path.samefile(packages(folder) / "large.so", packages(repo / ".venv") / "large.so")
    assert not os.path.samefile(packages(folder) / "widget.py", packages(repo / ".venv") / "widget.py")
    assert (folder / "bin" / "widget").read_text().splitlines()[0] == f"#!{python}"
    facts = check_interpreter(python)
    assert facts.distributions == check_interpreter(repo / ".venv" / "bin" / "python").distributions
    assert facts.prefix == str(folder)


def test_editable(repo, tmp_path):
    """What is installed editable is imported from the user's folder by the copy too."""
    write(repo, {"src/project.py": "x = 1\n"})
    write(packages(repo / ".venv"), {"__editable__.project-1.pth": f"{repo}/src\n"})
    python = copying.copy(check_interpreter(repo / ".venv" / "bin" / "python"), tmp_path / "copy")
    done = subprocess.run(
        [python, "-c", "import project; print(project.__file__)"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{repo}/src/project.py\n"


def test_no_environment(repo, tmp_path):
    """Packages of an interpreter without an environment of its own are not copied, but seen."""
    facts = check_interpreter(repo / ".venv" / "bin" / "python")
    base = dataclasses.replace(facts, python=Path(os.path.realpath(sys.executable)), prefix=sys.base_prefix)
    copying.copy(base, tmp_path / "copy")
    assert "include-system-site-packages = true" in (tmp_path / "copy" / "pyvenv.cfg").read_text()
    assert list(packages(tmp_path / "copy").iterdir()) == []


def test_full_disk(repo, tmp_path, monkeypatch):
    """A disk that is full is one line."""

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(copying.shutil, "copy2", full)
    with pytest.raises(UserError, match=r"cannot be copied to .*: no space is left on the disk; XDG_CACHE_HOME"):
        copying.copy(check_interpreter(repo / ".venv" / "bin" / "python"), tmp_path / "copy")


def test_no_network(monkeypatch):
    """If uv says that there is no network, that is the reason, whatever pip says then."""
    outputs = iter(
        ["error: Request failed\n cause: tcp connect error: Connection refused\n", "ERROR: no such version\n"]
    )

    def run(*_):
        raise UserError(installer.reason(next(outputs)))

    monkeypatch.setattr(installer, "_run", run)
    monkeypatch.setenv("UV", "uv")
    monkeypatch.setenv("UV_INDEX", "somewhere")
    said = []
    with pytest.raises(UserError, match=installer.NO_NETWORK.replace("?", ".")):
        installer.install(Path("/p/bin/python"), ["a==1"], has_pip=True, say=said.append)
    assert len(said) == 3


NETWORK = """
WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(…)': /simple/torch/
ERROR: Could not find a version that satisfies the requirement torch==2.13.0 (from versions: none)
ERROR: No matching distribution found for torch==2.13.0
"""


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (NETWORK, "the package index cannot be reached"),
        ("error: Request failed after 3 retries\n  Caused by: dns error\n", "the package index cannot be reached"),
        (
            "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n",
            "no space is",
        ),
        ("  × No solution found when resolving dependencies:\n  ╰─▶ Because a\n      is b\n", "Because a is b"),
        ("ERROR: Failed building wheel for x\nerror: it broke\n", "it broke"),
        ("", "no reason given"),
    ],
)
def test_reasons(output, expected):
    """What an installer prints becomes one line."""
    found = installer.reason(output)
    assert expected in found
    assert "\n" not in found


def test_changes(repo):
    """What is new, gone or another version is listed; spelling of a name is no change."""
    facts = check_interpreter(repo / ".venv" / "bin" / "python")
    one, other = (("A.b", "1"), ("c", "1"), ("d", "1")), (("a-b", "1"), ("c", "2"), ("e", "1"))
    before, after = (type(facts)(**{**vars(facts), "distributions": given}) for given in (one, other))
    assert list(map(str, differences.changes(before, after))) == ["c from 1 to 2", "d 1, gone", "e 1, new"]
