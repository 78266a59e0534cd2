"""Code and data that a side takes from another place than its own folder, by a way that imports do not show."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gradperf.gate.measuring import provenance
from gradperf.gate.measuring.provenance import Origins
from gradperf.gate.sides import documentation, pytest_arguments
from gradperf.gate.sides.variables import redirected
from gradperf.pairs.process import SideError
from tests.gate.repositories import write
from tests.gate.suites import side


@pytest.fixture
def checked(tmp_path):
    """Return ``checked(files, changed, …)``: the message about one changed file, or an empty text.

    Paths are those below a common folder; the sides are ``base`` and ``head``. What a side loaded or found may
    lie in ``site`` alone.
    """

    def check(files, changed, loaded=None, found=None, **more):
        write(tmp_path, files)
        sides = [side(tmp_path / name, name) for name in ("base", "head")]
        origins = Origins(
            1,
            {name: str(tmp_path / path) for name, path in (loaded or {}).items()},
            {name: [str(tmp_path / path) for path in paths] for name, paths in (found or {}).items()},
            **more,
        )
        try:
            provenance.check(
                sides, {"base": origins, "head": origins}, [changed], separate=False, accepted={"not/this": "x"}
            )
        except SideError as error:
            return str(error)
        return ""

    return check


def sides(path, base="1", head="2"):
    """Return the files of two sides that differ in one."""
    return {f"base/{path}": base, f"head/{path}": head}


def test_a_copy_under_another_name(checked):
    """A package is installed under another name than its folder has: the content tells."""
    files = sides("lib/core.py") | {"base/lib/__init__.py": "0", "head/lib/__init__.py": "0"}
    copy = {"site/thing/core.py": "1", "site/other/core.py": "unrelated", "base/own/core.py": "1"}
    loaded = {"thing.core": "site/thing/core.py"}
    assert "thing.core comes from" in checked(files | copy, "lib/core.py", loaded)
    assert not checked(files | copy, "lib/core.py", {"other.core": "site/other/core.py"})
    # Code that the package has taken over from another, and that no benchmark imports.
    assert not checked(
        files | copy, "lib/core.py", loaded | {"lib": "head/lib/__init__.py", "l": "base/lib/__init__.py"}
    )
    data = sides("lib/n.json") | {"site/thing/__init__.py": "0", "site/thing/n.json": "1"}
    assert "thing comes from" in checked(files | data, "lib/n.json", {"thing": "site/thing/__init__.py"})


@pytest.mark.parametrize("name", ["test_tools", "t_test", "conftest_tools"])
def test_a_module_with_the_name_of_a_test(checked, name):
    """A module of the product may be called like a test; one that was not imported has no part in the run."""
    files = sides(f"python/thing/{name}.py") | {f"site/thing/{name}.py": "1"}
    loaded = {f"thing.{name}": f"site/thing/{name}.py"}
    assert f"thing.{name} comes from" in checked(files, f"python/thing/{name}.py", loaded)
    assert not checked(files, f"python/thing/{name}.py", {}, {"thing": ["site/thing"]})


def test_data_in_a_namespace(checked):
    """Data of a package without ``__init__.py`` are those of the folder in which it is found."""
    files = sides("python/thing/n.json") | {"site/thing/n.json": "1", "site/thing/core.py": ""}
    assert "n.json" in checked(files, "python/thing/n.json", {}, {"thing": ["site/thing"]})
    assert not checked(files, "python/thing/n.json", {"thing": "site/thing/core.py"}, {"thing": ["site/empty"]})
    assert not checked(sides("n.json"), "n.json")


def test_a_command_that_does_not_look_for_its_side(checked):
    """It names the module, which nothing of the side has run; another command does not matter."""
    files = sides("thing/core.py") | {"base/thing/__init__.py": "", "head/thing/__init__.py": ""}
    assert "`python -I -m thing`" in checked(files, "thing/core.py", apart=["python -I -m thing"])
    assert not checked(files, "thing/core.py", apart=["git status", "python -I -c pass", "things"])
    own = {"thing": "head/thing/__init__.py", "t": "base/thing/__init__.py"}
    assert not checked(files, "thing/core.py", own, apart=["python -I -m thing"])


def test_a_file_of_the_checkout_that_is_opened(checked):
    """What differs between the sides must be read from each; what is equal, or documentation, may be read."""
    assert "data/n.txt changed, but the base opened it" in checked(
        sides("data/n.txt"), "data/n.txt", opened=["a.txt", "data/n.txt"]
    )
    assert not checked(sides("data/n.txt"), "data/n.txt", opened=["a.txt"])
    assert not checked(sides("README.md"), "README.md", opened=["README.md"])


WATCHED = """
import json, os, subprocess, sys
from gradperf.gate.measuring.worker.watch import Watch
own, foreign = sys.argv[1:]
watch = Watch(own, foreign)
open(foreign + "/data.txt").close()
os.close(os.open(own + "/data.txt", 0))
path = {"PYTHONPATH": own + "/src"}
for command, environment in (
    (["/nowhere/python3", "-I", "a"], None), (["/nowhere/python", "-BE", "-m", "b"], path),
    (["/nowhere/c"], {}), ("/nowhere/d", {"PYTHONPATH": foreign}),
    (["/nowhere/python", "-m", "e", "-I"], None), (["/nowhere/python", "--I", "f"], path),
    (["/nowhere/g", "-I"], None),
):
    try:
        subprocess.run(command, env=environment)
    except OSError:
        pass
print(json.dumps([sorted(watch.opened), sorted(watch.apart)]))
"""


def test_what_is_watched(tmp_path):
    """Files of the checkout that are opened, and commands that lack the side's path or ignore it."""
    write(tmp_path, {"own/data.txt": "", "checkout/data.txt": ""})
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, tmp_path / "own", tmp_path / "checkout"],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    commands = ["/nowhere/c", "/nowhere/d", "/nowhere/python -BE -m b", "/nowhere/python3 -I a"]
    assert json.loads(done.stdout) == [["data.txt"], commands]


def test_a_submodule_that_changed(checked, tmp_path):
    """No side has its files, whatever else is imported. A folder in the place of a file is no submodule."""
    for name in ("base", "head"):
        (tmp_path / name / "part").mkdir(parents=True)
    assert "the submodule part changed, but neither side has" in checked({"head/thing.py": ""}, "part")
    assert not checked({"base/file": "", "head/folder/a.py": ""}, "file")
    assert not checked({}, "folder")


def test_scripts_that_build(tmp_path):
    """They count where there is a source to build in their folder or below, a makefile on top never."""
    found = [side(tmp_path / name, name) for name in ("base", "head")]
    write(tmp_path, {"head/src/a.c": "", "head/docs/a.c": "", "base/x.py": ""})
    origins = dict.fromkeys(("base", "head"), Origins(1))
    paths = ["setup.py", "src/Makefile", "src/build.py"]
    assert provenance.not_built(found, origins, [*paths, "Makefile", "docs/Makefile", "tools/setup.py"]) == paths


def test_changed_data_are_changes_of_code(tmp_path):
    """Data of a package or beside modules count; data of tests, and files that belong to no code, do not."""
    write(tmp_path, {"thing/__init__.py": "", "thing/d/n.json": "", "space/a.py": "", "space/n.sql": ""})
    write(
        tmp_path,
        {"tests/helper.py": "", "tests/n.json": "", "suite/test_a.py": "", "suite/n.json": "", "x.toml": ""},
    )
    of = ["thing/d/n.json", "space/n.sql", "tests/n.json", "suite/n.json", "x.toml"]
    assert [path for path in of if provenance.changes_code([path], {}, [tmp_path])] == of[:2]


def test_prose_that_may_be_read(tmp_path):
    """Prose in a package or beside tests may be data; what a test names is probably read, as a README."""
    write(
        tmp_path, {"thing/__init__.py": "", "bench/test_a.py": "open('../README.md')", "other/b.py": "CHANGES.md"}
    )
    for path in ("tests/data/spec.md", "Benchmarks/a.rst"):
        assert not documentation.is_documentation(path)
    for path in ("thing/help.rst", "thing/a/b.adoc"):
        assert documentation.is_documentation(path)
        assert not documentation.is_documentation(path, [tmp_path])
    for path in ("guide.md", "other/guide.md", "thing/README.md", "tests/README.md"):
        assert documentation.is_documentation(path, [tmp_path])
    bench = pytest_arguments.places(tmp_path, ["-k", "x", "bench/test_a.py::test_x"])
    assert bench == [tmp_path / "bench/test_a.py"]
    assert documentation.is_read(bench, ["docs/README.md"])
    assert not documentation.is_read(bench, ["CHANGES.md"])
    assert pytest_arguments.places(tmp_path, ["-k", "nothing"]) == [tmp_path]
    assert documentation.is_read([tmp_path], ["CHANGES.md"])


def test_variables_lead_to_the_side(tmp_path):
    """A path into the checkout leads to the side's own copy where a file changed; all else stays."""
    top, root = tmp_path / "checkout", tmp_path / "base"
    write(top, {"bin/tool": "", "data/n.txt": "", "same/n.txt": ""})
    environ = {
        "PATH": f"{top}/bin:/usr/bin:relative",
        "DATA": f"{top}/data/n.txt",
        "SAME": f"{top}/same",
        "TOP": str(top),
        "HOME": str(top),
        "PYTHONPATH": f"{top}/bin",
        "PYTEST_ADDOPTS": f"--rootdir={top} -c {top}/a.ini -k 'a b'",
    }
    found = redirected(environ, top, root, top / "bin", ["bin/tool", "data/n.txt"])
    assert found == {
        "PATH": f"{root}/bin:/usr/bin:relative",
        "DATA": f"{root}/data/n.txt",
        "SAME": f"{top}/same",
        "TOP": str(root),
        "HOME": str(top),
        "PYTHONPATH": f"{top}/bin",
        "PYTEST_ADDOPTS": "--rootdir=.. -c ../a.ini -k 'a b'",
    }
    assert redirected({"PYTEST_ADDOPTS": "'"}, top, root, top, []) == {"PYTEST_ADDOPTS": "'"}
