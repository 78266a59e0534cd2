"""What was compared is what changed: a side that runs other code in place of a changed file is no success."""

import random
import sys
from dataclasses import replace
from importlib import util
from types import SimpleNamespace

import pytest

from gradperf.gate.janitor import Janitor
from gradperf.gate.measuring import provenance
from gradperf.gate.measuring.provenance import Origins
from gradperf.gate.measuring.replicate import replicate
from gradperf.gate.measuring.worker import modules
from gradperf.gate.sides import prepare
from gradperf.pairs.process import SideError
from tests.gate.repositories import CONFIGURATION, commit, git, make, write
from tests.gate.suites import DEAF, QUICK, QUIET, faked, gate, setting, side

QUICKLY = "def work(n={count}):\n    for _ in range(n):\n        pass\n"
FAST, SLOW = QUICKLY.format(count=1_000), QUICKLY.format(count=20_000)
BENCHMARK = "from thing import work\n\ndef test_work(benchmark):\n    benchmark(work)\n"


@pytest.fixture
def judged(tmp_path):
    """Return ``judged(files, changed, loaded, found)``, which returns what one side ran instead of ``changed``.

    Paths are those below a common folder: the side is ``side``, a folder of installed packages is ``site``.
    """

    def judge(files, changed, loaded=None, found=None, *, separate=False):
        write(tmp_path, files)
        origins = Origins(
            1,
            {name: str(tmp_path / path) for name, path in (loaded or {}).items()},
            {name: [str(tmp_path / path) for path in paths] for name, paths in (found or {}).items()},
        )
        apart = provenance.elsewhere(side(tmp_path / "side"), origins, [changed], separate=separate)
        return {one.module: one.place.removeprefix(f"{tmp_path}/") for one in apart}

    return judge


PACKAGE = {"side/python/thing/__init__.py": "1", "side/python/thing/text.py": "1"}
COPY = {"site/thing/__init__.py": "1", "site/thing/text.py": "2"}
TEXT = "python/thing/text.py"


def test_a_module_from_its_side(judged):
    """A changed file that was imported has been compared, whatever else has its name."""
    loaded = {"python.thing.text": f"side/{TEXT}", "thing.text": "site/thing/text.py"}
    assert not judged(PACKAGE | COPY, TEXT, loaded, {"thing": ["site/thing"]})


def test_another_module_of_the_side(judged):
    """Two files of a side may have the same name."""
    files = {"side/one/tools.py": "1", "side/two/tools.py": "2"}
    assert not judged(files, "one/tools.py", {}, {"tools": ["side/two/tools.py"]})
    assert not judged(files, "one/tools.py", {"tools": "side/two/tools.py"})


def test_a_module_from_elsewhere(judged):
    """It was imported from an installed copy, whose file differs."""
    loaded = {"thing": "site/thing/__init__.py", "thing.text": "site/thing/text.py"}
    assert judged(PACKAGE | COPY, TEXT, loaded) == {"thing.text": "site/thing/text.py"}
    assert not judged(PACKAGE | COPY, "python/thing/__init__.py", loaded)  # the same bytes


def test_a_module_that_was_not_imported(judged):
    """It counts where it would be imported from; if it can be imported from nowhere, nothing depends on it."""
    files = PACKAGE | COPY
    assert judged(files, TEXT, {}, {"thing": ["site/thing"]}) == {"thing.text": "site/thing/text.py"}
    assert not judged(files, TEXT, {}, {"thing": ["side/python/thing"]})
    assert not judged(files, TEXT, {}, {})


def test_a_new_module(judged):
    """A module that the installed copy lacks was not compared; in a namespace, it may be anybody's."""
    files = PACKAGE | COPY | {"side/python/thing/new.py": "1", "side/space/new.py": "1", "site/space/old.py": "1"}
    assert judged(files, "python/thing/new.py", {}, {"thing": ["site/thing"]}) == {"thing.new": "site/thing/new.py"}
    assert not judged(files, "space/new.py", {}, {"space": ["site/space"]})


def test_a_package_in_a_namespace(judged):
    """The first folder of a namespace that has the package is the one that is imported."""
    files = {f"{place}/space/thing/__init__.py": place for place in ("side/lib", "site")}
    changed = "lib/space/thing/__init__.py"
    site = {"space.thing": "site/space/thing/__init__.py"}
    assert judged(files, changed, {}, {"space": ["site/space", "side/lib/space"]}) == site
    assert not judged(files, changed, {}, {"space": ["side/lib/space", "site/space"]})


def test_data_follow_their_package(judged):
    """What lies in a package is read by whatever copy of the package was imported."""
    files = PACKAGE | COPY | {"side/python/thing/data/table.json": "1", "site/thing/data/table.json": "2"}
    table = "python/thing/data/table.json"
    expected = {"thing": "site/thing/data/table.json"}
    assert judged(files, table, {"thing": "site/thing/__init__.py"}) == expected
    assert judged(files, table, {}, {"thing": ["site/thing"]}) == expected
    assert not judged(files, table, {"thing": "side/python/thing/__init__.py"})
    assert not judged(files | {"side/table.json": "1"}, "table.json", {"thing": "site/thing/__init__.py"})


def test_a_module_that_only_another_process_imported(judged):
    """A process that the benchmark started has compiled it; that does not count if the benchmark has a copy."""
    files = PACKAGE | COPY | {"side/python/thing/__pycache__/text.cpython-311.pyc": ""}
    assert not judged(files, TEXT, {}, {"thing": ["site/thing"]})
    assert judged(files, TEXT, {"thing.text": "site/thing/text.py"})


@pytest.mark.parametrize(
    ("mine", "theirs", "found"),
    [
        pytest.param("perf/numpy.py", "site/numpy/__init__.py", {"numpy": ["site/numpy"]}, id="script"),
        pytest.param("thing/vendored/six.py", "site/six.py", {"six": ["site/six.py"]}, id="vendored"),
        pytest.param("tests/helper.py", "site/tests/helper.py", {"tests": ["site/tests"]}, id="tests of others"),
        pytest.param("some-thing/thing.py", "site/else.py", {"some-thing": ["site"]}, id="no name"),
        pytest.param("thing/text.pyi", "site/thing/__init__.py", {"thing": ["site/thing"]}, id="stub"),
        pytest.param("thing/test_text.py", "site/thing/__init__.py", {"thing": ["site/thing"]}, id="test"),
        pytest.param("thing/README.md", "site/thing/__init__.py", {"thing": ["site/thing"]}, id="documentation"),
        pytest.param("thing/gone/", "site/thing/__init__.py", {"thing": ["site/thing"]}, id="repository"),
    ],
)
def test_no_alarm(judged, mine, theirs, found):
    """Another module that happens to have a name of the file is not a copy of it."""
    files = {"side/thing/__init__.py": "1", "site/tests/__init__.py": "", theirs: "2"} | (
        {} if mine.endswith("/") else {f"side/{mine}": "1"}
    )
    assert not judged(files, mine, {}, found)


def test_environments_of_their_own(judged):
    """There a module may be compiled, and what is not installed is not needed; a stale one is no success."""
    files = PACKAGE | COPY | {"site/thing/text.cpython-311.so": "2", "side/python/thing/new.py": "1"}
    loaded = {"thing.text": "site/thing/text.cpython-311.so"}
    assert not judged(files, TEXT, loaded, separate=True)
    assert judged(files, TEXT, loaded)
    assert not judged(files, "python/thing/new.py", {}, {"thing": ["site/thing"]}, separate=True)
    assert judged(files, TEXT, {"thing.text": "site/thing/text.py"}, separate=True)


def test_names(tmp_path):
    """The side is asked about each name of the first package above a file, and of the folders above that."""
    files = {"lib/python/thing/__init__.py": "", "lib/python/thing/a/b.py": "", "x.py": "", "thing/test_x.py": ""}
    write(tmp_path, files)
    assert provenance.names_of(tmp_path, ["lib/python/thing/a/b.py"]) == ["lib", "python", "thing"]
    assert provenance.names_of(tmp_path, ["x.py", "thing/test_x.py", "gone.py"]) == ["x"]


@pytest.mark.parametrize("repeats", [False, True])
def test_what_a_side_is_asked(tmp_path, monkeypatch, repeats):
    """Its own is all below its top folder, wherever pytest starts; only the first pair is asked for all modules."""
    fake = faked(monkeypatch)
    write(tmp_path, {"base/thing.py": "", "head/thing.py": "", "head/more.py": ""})
    common = setting(tmp_path, tmp_path, tmp_path / "out", None, foreign=tmp_path / "checkout")
    sides = {n: replace(side(tmp_path / n, n), folder=tmp_path / n / "tests") for n in ("base", "head")}
    common = replace(common, **sides, control="x", changed=("thing.py", "more.py"))
    replicate(["x"], common, random.Random(1), repeats=repeats)  # noqa: S311 - an order, not a secret
    asked = {process.role: process.orders[0] for process in fake.launched}
    assert {role: order["own"] for role, order in asked.items()} == {
        "base": str(tmp_path / "base"),
        "head": str(tmp_path / "head"),
        "control": str(tmp_path / "base"),
        "twin": str(tmp_path / "base"),
    }
    names = {role: order["names"] for role, order in asked.items() if "names" in order}
    assert names == ({} if repeats else {"base": ["thing"], "head": ["more", "thing"]})


@pytest.mark.parametrize(
    "path",
    [
        *("src/lib.rs", "thing/fast.pyx", "thing/fast.c", "Cargo.toml", "cuda/kernel.cu", "a/CMakeLists.txt"),
        *("src/solve.F90", "thing/fast.pyx.in", "thing/fast.c.src", "src/start.S", "a/tools.cmake"),
    ],
)
def test_compiled_sources(path, tmp_path):
    """They count unless each side imported a module that was compiled in it, or has its own environment."""
    sides = [side(tmp_path / name, name) for name in ("base", "head")]
    built = {name: Origins(1, {"fast": str(tmp_path / name / "fast.so")}) for name in ("base", "head")}
    installed = Origins(1, {"fast": str(tmp_path / "head" / ".venv/lib/site-packages/fast.so")})

    def checked(origins, **more):
        facts = {"separate": False, "accepted": {}} | more
        return provenance.check(sides, origins, [path], **facts)

    assert checked(built) == []
    for half in (built | {"head": installed}, built | {"head": Origins(1)}):
        with pytest.raises(SideError, match="changed, but neither side was built"):
            checked(half)
        assert checked(half, separate=True) == []
        for key in (path, "*"):
            told = checked(half, accepted={key: "not used"})
            assert told == [f"{path} changed and was not compared, but accepted: not used"]
    assert not provenance.is_compiled_source(f"tests/{path}")


def test_what_is_accepted_is_told(tmp_path):
    """An accepted file is told with its reason, but only if it was not compared; other files still count."""
    write(tmp_path, {"side/thing.py": "1", "side/more.py": "1", "site/thing.py": "2", "site/more.py": "2"})
    sides = [side(tmp_path / "side", "head")]
    origins = {"head": Origins(1, {name: str(tmp_path / f"site/{name}.py") for name in ("thing", "more")})}
    with pytest.raises(
        SideError, match=r"more.py changed, but the head imports other code .* comes from .*site/more.py"
    ):
        provenance.check(sides, origins, ["thing.py", "more.py"], separate=False, accepted={"thing.py": "why"})
    accepted = {"*.py": "why", "test.py::test[x]": "slower"}
    told = provenance.check(sides, origins, ["thing.py"], separate=False, accepted=accepted)
    assert told == ["thing.py changed and was not compared, but accepted: why"]
    own = {"head": Origins(1, {"thing": str(tmp_path / "side/thing.py")})}
    assert provenance.check(sides, own, ["thing.py"], separate=False, accepted=accepted) == []


def test_changes_of_code():
    """Python code counts, unless it is a test or accepted; other files are looked for one by one."""
    changed = ["tools/release.py", "tests/test_x.py", "conftest.py", "README.md", "src/lib.rs"]
    assert provenance.changes_code(changed, {})
    assert not provenance.changes_code(changed, {"tools/*": "not used"})
    assert not provenance.changes_code(changed[1:], {})


def test_the_files_of_tests_are_not_the_project(tmp_path, monkeypatch):
    """Neither tests nor the ``__init__.py`` beside them show that a side imported its own code."""
    write(tmp_path, {f"tests/{name}.py": "" for name in ("__init__", "test_x", "helper")})
    for name in ("__init__", "test_x"):
        monkeypatch.setitem(
            sys.modules, f"of_side_{name}", SimpleNamespace(__file__=str(tmp_path / f"tests/{name}.py"))
        )
    assert modules.count_own(str(tmp_path)) == 0
    monkeypatch.setitem(sys.modules, "of_side_helper", SimpleNamespace(__file__=str(tmp_path / "tests/helper.py")))
    assert modules.count_own(str(tmp_path)) == 1


def test_own_code_of_other_processes(tmp_path):
    """What other processes compiled shows that they ran the side's own code, if it is no test."""
    one = side(tmp_path)
    write(tmp_path, {"tests/__init__.py": "", "tests/test_x.py": "", "thing.py": ""})
    write(tmp_path / "tests/__pycache__", {"test_x.cpython-311-pytest-8.pyc": "", "__init__.cpython-311.pyc": ""})
    assert not provenance.ran_own(one)
    write(tmp_path, {"__pycache__/thing.cpython-311.pyc": ""})
    assert provenance.ran_own(one)


def test_installed_packages_are_no_strays(tmp_path, monkeypatch):
    """Packages of any environment in the checkout are not files of the project."""
    paths = {"of_env": "env/lib/site-packages/x.py", "of_project": "src/x.py", "of_side": "side/x.py"}
    for name, path in paths.items():
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(__file__=str(tmp_path / path)))
    assert modules.strays(str(tmp_path / "side"), str(tmp_path)) == [f"of_project ({tmp_path}/src/x.py)"]


def test_where_modules_are_found(tmp_path, monkeypatch):
    """A module is found as a file, a package as folders; the standard library and failing hooks are left out."""
    write(tmp_path, {"single_x.py": "", "package_x/__init__.py": "raise SystemExit", "space_x/a.py": ""})
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(sys.modules, "odd_x", SimpleNamespace(__spec__=None))
    found = modules.found(["single_x", "package_x", "space_x", "odd_x", "json", "sys", "nowhere_x"])
    assert found == {
        "single_x": [str(tmp_path / "single_x.py")],
        "package_x": [str(tmp_path / "package_x")],
        "space_x": [str(tmp_path / "space_x")],
    }
    assert "pytest" in modules.loaded()
    assert not {"json", "os", "sys"} & modules.loaded().keys()
    assert util.find_spec("pytest").origin == modules.loaded()["pytest"]


@pytest.fixture
def paths(monkeypatch):
    """Return ``paths(cwd)``, the PYTHONPATH of the base of a gate in ``cwd``, below its top folder."""
    for name, value in CONFIGURATION.items():
        monkeypatch.setenv(name, value)

    def of(cwd, path=""):
        monkeypatch.setenv("PYTHONPATH", str(path))
        with Janitor() as janitor:
            base = prepare.prepare("HEAD", None, None, cwd, janitor).base
            found = [
                entry for entry in base.environment["PYTHONPATH"].split(":") if entry.startswith(str(base.root))
            ]
            return [entry.removeprefix(str(base.root)) for entry in found]

    return of


def test_the_project_of_the_folder_is_searched(tmp_path, paths):
    """In a repository with many projects, the sources of the one that contains the folder come first."""
    files = {"one/pyproject.toml": "", "one/src/x.py": "", "one/bench/x.py": "", "two/src/x.py": "", "x.py": ""}
    repo = make(tmp_path / "repo", files)
    assert paths(repo / "one" / "bench") == ["/one/src", "/one", ""]
    assert paths(repo / "two") == paths(repo) == [""]


@pytest.mark.parametrize("place", ["../work", ".trees/work"])
def test_folders_of_other_worktrees_are_the_sides_own(tmp_path, paths, place):
    """An environment of another worktree leads to the side, whichever lies within the other."""
    repo = make(tmp_path / "repo", {"python/thing.py": "", ".gitignore": ".trees\n"})
    git(repo, "worktree", "add", "--quiet", place)
    work = (repo / place).resolve()
    assert paths(work, repo / "python") == ["/python", ""]
    assert paths(repo, work / "python") == ["/python", ""]


def run(folder, temporary, *arguments, plan=DEAF, **more):
    done = gate(folder, temporary, *plan, *arguments, "--", *QUIET, **more)
    return done.returncode, " ".join(done.stdout.split())


def test_an_installed_copy(tmp_path):
    """Both sides run an installed copy, also if something else beside the tests is imported from the sides."""
    files = {
        "python/thing/__init__.py": FAST,
        "tests/__init__.py": "",
        "tests/helper.py": "VALUE = 1\n",
        "tests/test_work.py": f"from tests import helper\n{BENCHMARK}",
    }
    repo = make(tmp_path / "repo", files)
    site = tmp_path / "site"
    write(site, {"thing/__init__.py": FAST})
    write(repo, {"python/thing/__init__.py": SLOW})
    code, said = run(repo, tmp_path / "temporary", PYTHONPATH=str(site))
    assert code == 13, said
    assert "python/thing/__init__.py changed, but the head imports other code" in said
    assert "thing comes from" in said
    assert f"{site}/thing/__init__.py" in said.replace(" ", "")  # a long path is broken to fit 80 columns
    git(repo, "checkout", "--quiet", ".")
    write(repo, {"tests/helper.py": "VALUE = 2\n"})
    code, said = run(repo, tmp_path / "temporary", PYTHONPATH=str(site))
    assert code == 0, said


@pytest.mark.slow
def test_only_a_compiled_source(tmp_path):
    """A change in another language needs to be built; whoever knows better can say so."""
    repo = make(tmp_path / "repo", {"thing.py": FAST, "src/lib.rs": "fn f() {}", "tests/test_work.py": BENCHMARK})
    write(repo, {"src/lib.rs": "fn f() { slow() }"})
    code, said = run(repo, tmp_path / "temporary")
    assert code == 13
    assert "src/lib.rs changed, but neither side was built" in said
    code, said = run(repo, tmp_path / "temporary", "--accept", "src/*.rs", "--reason", "not in the wheel")
    assert code == 0, said
    assert "src/lib.rs changed and was not compared, but accepted: not in the wheel" in said
    assert "no such case" not in said


@pytest.mark.slow
def test_a_nested_worktree(tmp_path):
    """The environment has the main checkout, in which the worktree lies; the worktree is compared."""
    files = {"python/thing/__init__.py": FAST, "tests/test_work.py": BENCHMARK, ".gitignore": ".trees\n"}
    repo = make(tmp_path / "repo", files)
    git(repo, "worktree", "add", "--quiet", ".trees/work")
    work = repo / ".trees" / "work"
    write(work, {"python/thing/__init__.py": SLOW})
    code, said = run(work, tmp_path / "temporary", plan=QUICK, PYTHONPATH=str(repo / "python"))
    assert code == 10, said


def test_from_a_folder_of_a_large_repository(tmp_path):
    """A package beside the project of the folder is the side's own too."""
    files = {
        "one/pyproject.toml": "",
        "one/tests/test_work.py": BENCHMARK,
        "two/thing/__init__.py": FAST,
        "scripts/numpy.py": "1\n",
    }
    repo = make(tmp_path / "repo", files)
    write(repo, {"two/thing/__init__.py": SLOW, "scripts/numpy.py": "2\n"})
    commit(repo)
    arguments = ["--base", "HEAD~1"]
    tests = repo / "one" / "tests"
    code, said = run(tests, tmp_path / "temporary", *arguments, plan=QUICK, PYTHONPATH=str(repo / "two"))
    assert code == 10, said


def test_a_package_in_a_process_of_its_own(tmp_path):
    """A benchmark that imports nothing of the package but starts it is compared."""
    files = {
        "thing/__init__.py": "",
        "thing/__main__.py": "import thing.work\n",
        "thing/work.py": "",
        "tests/test_work.py": """
import subprocess
import sys

def test_work(benchmark):
    benchmark.pedantic(subprocess.run, ([sys.executable, "-m", "thing"],), {"check": True}, rounds=1)
""",
    }
    repo = make(tmp_path / "repo", files)
    write(repo, {"thing/work.py": "import time\ntime.sleep(0.3)\n"})
    code, said = run(repo, tmp_path / "temporary", plan=QUICK)
    assert code == 10, said
