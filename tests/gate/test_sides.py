"""Each side runs its own files with the Python that was asked for; what is not known to be equal is different."""

import ast
import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gradperf.errors import UserError
from gradperf.gate.janitor import Janitor
from gradperf.gate.sides import interpreters, prepare
from gradperf.gate.sides.documentation import is_documentation
from tests.gate.repositories import CONFIGURATION, commit, contents, files, git, make, write

HERE = f"python{sys.version_info[0]}.{sys.version_info[1]}"


@pytest.fixture(autouse=True)
def no_configuration(monkeypatch):
    """The tests depend neither on the user's git configuration, nor on how they are run."""
    for name, value in CONFIGURATION.items():
        monkeypatch.setenv(name, value)
    for name in ("GITHUB_BASE_REF", "PYTHONPATH", "PYTHONPYCACHEPREFIX"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def prepared():
    """Return ``prepared(cwd, …)``, which makes the sides; they exist until the test ends."""
    with Janitor() as janitor:

        def sides(cwd, base=None, base_python=None, head_python=None):
            return prepare.prepare(base, base_python, head_python, cwd, janitor)

        yield sides


@pytest.fixture
def environment(tmp_path):
    """Return ``environment(folder)``, which makes a small virtual environment with empty pytest packages."""

    def build(folder=tmp_path / "environment"):
        packages = folder / "lib" / HERE / "site-packages"
        (folder / "bin").mkdir(parents=True)
        (folder / "bin" / "python").symlink_to(os.path.realpath(sys.executable))
        (folder / "pyvenv.cfg").write_text(f"home = {os.path.dirname(os.path.realpath(sys.executable))}\n")
        for name in ("pytest", "pytest_benchmark"):
            write(packages, {f"{name}/__init__.py": ""})
            install(folder, name.replace("_", "-"), "1.0")
        return folder / "bin" / "python"

    return build


def packages(environment):
    return environment / "lib" / HERE / "site-packages"


def install(environment, name, version, origin=None):
    """Write the metadata of an installed distribution."""
    noted = {"METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"}
    if origin is not None:
        noted["direct_url.json"] = json.dumps(origin)
    write(packages(environment) / f"{name.replace('-', '_')}-{version}.dist-info", noted)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """A folder for compiled files, so that not every test compiles Python's own library."""
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture
def imported(compiled):
    """Return ``imported(side)``, which imports a module as the side would; it returns its file and its value."""

    def run(side, module="project"):
        return import_by(side, {**side.environment, "PYTHONPYCACHEPREFIX": str(compiled)}, module)

    return run


def import_by(side, environment, module):
    found = subprocess.run(
        [side.python, "-c", f"import {module}; print({module}.__file__, {module}.VALUE)"],
        cwd=side.folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    return found.stdout.split()


LAYOUTS = {
    "flat": "project/__init__.py",
    "src": "src/project/__init__.py",
    "odd": "code/python/project/__init__.py",
}


def by_path(environment, repo, layout):
    """Like pip's editable install with a .pth file."""
    folder = (repo / LAYOUTS[layout]).parent.parent
    write(packages(environment), {"__editable__.project-1.pth": f"{folder}\n"})


def by_origin(environment, repo, layout):
    """Like the metadata of any editable install."""
    origin = {"url": repo.as_uri(), "dir_info": {"editable": True}}
    install(environment, "project", "1", origin)


def by_table(environment, repo, layout):
    """Like setuptools' editable install with an import hook."""
    table = {"project": str((repo / LAYOUTS[layout]).parent)}
    finder = f"""
import sys
from importlib.util import spec_from_file_location
MAPPING = {table!r}
class Finder:
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name in MAPPING:
            return spec_from_file_location(name, MAPPING[name] + "/__init__.py")
def install():
    sys.meta_path.append(Finder)
"""
    write(
        packages(environment),
        {
            "__editable___project_1_finder.py": finder,
            "__editable__.project-1.pth": "import __editable___project_1_finder as f; f.install()\n",
        },
    )


@pytest.mark.parametrize(
    ("layout", "how"),
    [
        ("flat", by_path),
        ("src", by_path),
        ("odd", by_path),
        ("flat", by_origin),
        ("src", by_origin),
        ("flat", by_table),
        ("src", by_table),
        ("odd", by_table),
    ],
)
def test_each_side_imports_its_own_files(tmp_path, prepared, environment, layout, how, imported):
    """Both sides import their own files although the project is installed editable from the checkout."""
    repo = make(tmp_path / "repository", {LAYOUTS[layout]: "VALUE = 1\n", "bench/x.py": ""})
    write(repo, {LAYOUTS[layout]: "VALUE = 2\n"})
    python = environment()
    how(tmp_path / "environment", repo, layout)
    before = files(repo)
    found = prepared(repo / "bench", "HEAD", str(python), str(python))
    for side, value in ((found.base, "1"), (found.head, "2")):
        root = found.folder / side.name
        assert imported(side) == [str(root / LAYOUTS[layout]), value]
        assert side.folder == root / "bench"
    assert files(repo) == before  # nor was anything compiled into it


def test_an_installed_copy_does_not_win(tmp_path, prepared, environment, imported):
    """A project is imported from the sides even if a copy of it is installed."""
    repo = make(tmp_path / "repository", {"src/project/__init__.py": "VALUE = 1\n"})
    write(repo, {"src/project/__init__.py": "VALUE = 2\n"})
    python = str(environment())
    write(packages(tmp_path / "environment"), {"project/__init__.py": "VALUE = 3\n"})
    found = prepared(repo, None, python, python)
    assert found.changed == ()  # without --base, --base-python means the user's own files
    found = prepared(repo, "HEAD", python, python)
    assert [imported(side)[1] for side in (found.base, found.head)] == ["1", "2"]


def test_an_environment_in_the_repository_is_no_code(tmp_path, prepared, environment, monkeypatch, imported):
    """Packages of a .venv in the checkout are imported from there, by both sides."""
    repo = make(tmp_path / "repository", {"project.py": "VALUE = 1\n", ".gitignore": ".venv\n"})
    python = environment(repo / ".venv")
    write(packages(repo / ".venv"), {"other.py": "VALUE = 7\n"})
    found = prepared(repo, "HEAD", str(python), str(python))
    assert ".venv" not in found.base.environment["PYTHONPATH"]
    for side in (found.base, found.head):
        assert imported(side, "other") == [str(packages(repo / ".venv") / "other.py"), "7"]
        assert side.python == python  # the link, not what it leads to


def test_a_repository_that_is_the_environment(tmp_path, prepared, environment, imported):
    """The packages of an environment are not code of the project, even if it was made at the repository's top."""
    repo = make(tmp_path / "repository", {"project.py": "VALUE = 1\n", ".gitignore": "bin\nlib\npyvenv.cfg\n"})
    python = str(environment(repo))
    write(packages(repo), {"other.py": "VALUE = 7\n", "x.pth": str(repo)})
    found = prepared(repo, "HEAD", python, python)
    assert imported(found.base)[0] == str(found.folder / "base" / "project.py")
    assert imported(found.base, "other")[0] == str(packages(repo) / "other.py")


def test_the_users_path_is_kept(tmp_path, prepared, environment, monkeypatch, imported):
    """Entries of PYTHONPATH in the repository are replaced by the side's, relative ones too; the others stay."""
    repo = make(tmp_path / "repository", {"lib/project.py": "VALUE = 1\n", "bench/x.py": ""})
    write(tmp_path / "elsewhere", {"other.py": "VALUE = 7\n"})
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["../lib", str(tmp_path / "elsewhere")]))
    python = str(environment())
    found = prepared(repo / "bench", "HEAD", python, python)
    root = found.folder / "head"
    expected = [root / "lib", root, tmp_path / "elsewhere"]
    assert found.head.environment["PYTHONPATH"].split(os.pathsep) == list(map(str, expected))
    assert imported(found.base)[0] == str(found.folder / "base" / "lib" / "project.py")
    assert imported(found.base, "other")[1] == "7"


def test_a_package_called_src_is_not_searched(tmp_path, prepared, imported):
    """A package called src is not searched: its modules may have the names of Python's own."""
    repo = make(tmp_path / "repository", {"src/__init__.py": "VALUE = 1\n", "src/json.py": "raise SystemExit\n"})
    found = prepared(repo)
    assert imported(found.base, "src")[0] == str(found.folder / "base" / "src" / "__init__.py")


def test_a_folder_that_only_one_side_has(tmp_path, prepared):
    """If the base lacks the folder, pytest is started in an empty one; if it has a file there, that is an error."""
    repo = make(tmp_path / "repository", {"x.py": "", "other": "a file\n"})
    write(repo, {"bench/x.py": ""})
    found = prepared(repo / "bench")
    assert list(found.base.folder.iterdir()) == []
    assert [path.name for path in found.head.folder.iterdir()] == ["x.py"]
    (repo / "other").unlink()
    write(repo, {"other/x.py": ""})
    with pytest.raises(UserError, match="has a file where you have the folder"):
        prepared(repo / "other")


def test_two_revisions(tmp_path, prepared):
    """Both sides are described in a line and run in paths of equal length; differing files are listed."""
    repo = make(tmp_path / "repository", {"a.py": "1\n"})
    commit(repo, "the second")
    found = prepared(repo, "HEAD~1")
    first, second = git(repo, "log", "--reverse", "--format=%h").split()
    assert found.base.description == f"commit {first} 'the first'"
    assert found.head.description == f"your working tree: commit {second} 'the second', nothing uncommitted"
    assert len(str(found.base.folder)) == len(str(found.head.folder))
    assert found.identical
    write(repo, {"README.md": "words\n", "new.py": "1\n"})
    found = prepared(repo, "HEAD~1")
    assert found.changed == ("README.md", "new.py")
    assert not found.identical
    assert found.head.description.endswith("with 2 uncommitted files")
    assert found.checkout == repo
    assert found.environment["base_commit"].startswith(first)
    assert found.environment["uncommitted"] == ["README.md", "new.py"]
    json.dumps(found.environment)


def test_the_checkout_stays_as_it_was(tmp_path, imported):
    """Nothing in the user's checkout changes, and nothing is left elsewhere."""
    repo = make(tmp_path / "repository", {"project.py": "VALUE = 1\n"})
    write(repo, {"project.py": "VALUE = 2\n", "new.py": "1\n"})
    before = contents(repo)
    with Janitor() as janitor:
        found = prepare.prepare(None, None, None, repo, janitor)
        assert [imported(side)[1] for side in (found.base, found.head)] == ["1", "2"]
    assert not found.folder.exists()
    assert contents(repo) == before


def test_nothing_is_compiled_into_the_users_folder(tmp_path, prepared, environment):
    """If both sides run in the user's own folder, they leave no compiled files there."""
    write(tmp_path / "here", {"project.py": "VALUE = 1\n"})
    found = prepared(tmp_path / "here", None, str(environment()))
    before = contents(tmp_path / "here")
    import_by(found.base, found.base.environment, "project")
    assert contents(tmp_path / "here") == before


def test_two_interpreters_need_no_git(tmp_path, prepared, environment, monkeypatch):
    """With --base-python alone, both sides run the user's own files in place."""
    python = str(environment())
    install(tmp_path / "environment", "numpy", "1.0")
    monkeypatch.setenv("PATH", "")
    found = prepared(tmp_path, None, python)
    assert found.base.folder == found.head.folder == tmp_path
    assert (found.base.python, found.head.python) == (Path(python), Path(sys.executable))
    assert found.changed == ()
    assert found.checkout is None
    assert not found.identical
    assert python in found.base.description
    assert "PYTHONPATH" not in found.base.environment
    assert found.environment["base_python"]["distributions"]["numpy"] == "1.0"


def test_a_revision_by_another_interpreter(tmp_path, prepared, environment, imported):
    """With --base and --base-python, the base is a copy run with that interpreter; the descriptions name both."""
    repo = make(tmp_path / "repository", {"project.py": "VALUE = 1\n"})
    write(repo, {"project.py": "VALUE = 2\n"})
    python = str(environment())
    found = prepared(repo, "HEAD", python)
    assert imported(found.base) == [str(found.folder / "base" / "project.py"), "1"]
    assert found.base.description.endswith(f", by Python {sys.version.split()[0]} ({python})")
    assert sys.executable in found.head.description


def test_within_a_hook_the_sides_do_not_inherit_the_repository(tmp_path, prepared, monkeypatch):
    """Git's variables would lead the sides' own git to the user's repository."""
    repo = make(tmp_path / "repository", {"a.py": ""})
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    found = prepared(repo, "HEAD")
    assert "GIT_DIR" not in found.base.environment
    assert found.base.environment["PWD"] == str(found.base.folder)


def test_a_temporary_folder_in_the_repository_is_refused(tmp_path, prepared, monkeypatch):
    """It would change the user's checkout, and pytest would find the user's configuration above it."""
    repo = make(tmp_path / "repository", {"a.py": ""})
    before = contents(repo)
    monkeypatch.setattr(prepare.tempfile, "gettempdir", lambda: str(repo))
    with Janitor() as janitor, pytest.raises(UserError, match="TMPDIR"):
        prepare.prepare("HEAD", None, None, repo, janitor)
    assert contents(repo) == before


def test_an_interpreter_reports_facts(tmp_path, environment):
    """The facts are version, prefix and installed distributions, with the origin of unpublished ones."""
    python = environment()
    origin = {"url": "https://example.org/x.git", "vcs_info": {"vcs": "git", "commit_id": "1234"}}
    install(tmp_path / "environment", "odd", "2.0", origin)
    facts = interpreters.check_interpreter(python)
    assert facts.python == python
    assert facts.version == sys.version.split()[0]
    assert facts.prefix == str(tmp_path / "environment")
    versions = dict(facts.distributions)
    assert versions["pytest-benchmark"] == "1.0"
    assert "1234" in versions["odd"]


def test_conda_packages_count(tmp_path, environment):
    """Two environments of conda with the same Python packages may have another BLAS."""
    python = environment()
    write(tmp_path / "environment" / "conda-meta", {"libblas-3.9.0-1_mkl.json": "{}"})
    assert "conda libblas-3.9.0-1_mkl" in dict(interpreters.check_interpreter(python).distributions)


def test_an_interpreter_that_prints_at_every_start(tmp_path, environment):
    """Output that an environment prints by itself is ignored."""
    python = environment()
    write(packages(tmp_path / "environment"), {"noise.pth": "import sys; print('noise', end='')\n"})
    assert interpreters.check_interpreter(python).version == sys.version.split()[0]


def test_an_interpreter_by_name(tmp_path, environment, monkeypatch):
    """A name is searched on PATH, a relative path from the user's folder."""
    python = environment()
    monkeypatch.setenv("PATH", str(python.parent))
    assert interpreters.check_interpreter("python").python == python
    assert interpreters.check_interpreter("environment/bin/python", tmp_path).python == python
    with pytest.raises(UserError, match="no interpreter 'python9' on PATH"):
        interpreters.check_interpreter("python9")


@pytest.mark.parametrize(
    ("text", "executable", "message"),
    [
        pytest.param(None, False, "does not exist", id="missing"),
        pytest.param("words\n", False, "is not executable", id="text"),
        pytest.param("words\n", True, "is not a Python interpreter", id="executable text"),
        pytest.param("#!/bin/sh\n", True, "is not a Python interpreter", id="silent"),
        pytest.param("#!/bin/sh\necho oh dear >&2\nexit 1\n", True, "interpreter; it says: oh dear", id="failing"),
        pytest.param("#!/bin/sh\necho 7\n", True, "is not a Python interpreter", id="number"),
        pytest.param("#!/nowhere\n", True, "cannot be started", id="lost"),
        pytest.param('#!/bin/sh\necho \'{"version": "3.8.1"}\'\n', True, "Python 3.8.1; .*3.9 or later", id="old"),
    ],
)
def test_no_interpreter(tmp_path, text, executable, message):
    """A file that cannot run benchmarks is an error of one line."""
    path = tmp_path / "python"
    if text is not None:
        path.write_text(text)
        path.chmod(0o755 if executable else 0o644)
    with pytest.raises(UserError, match=message):
        interpreters.check_interpreter(path)


def test_an_old_python_can_read_the_question():
    """An interpreter that is too old for the gate must still report its version: plain ASCII, old syntax."""
    ast.parse(interpreters._QUESTION.encode("ascii"), feature_version=(3, 5))


def test_a_program_that_is_no_python():
    """A program that exits with 0 need not be Python."""
    with pytest.raises(UserError, match="true is not a Python interpreter"):
        interpreters.check_interpreter("/bin/true")
    with pytest.raises(UserError, match="ls is not a Python interpreter; it says: ") as error:
        interpreters.check_interpreter("/bin/ls")  # it quotes the whole question
    assert len(str(error.value)) < 300


def test_an_interpreter_that_hangs(tmp_path, monkeypatch):
    """An interpreter that does not answer in time is an error."""
    path = tmp_path / "python"
    path.write_text("#!/bin/sh\nexec sleep 600\n")
    path.chmod(0o755)
    monkeypatch.setattr(interpreters, "TIMEOUT_S", 0.2)
    with pytest.raises(UserError, match=r"did not answer within 0.2 s"):
        interpreters.check_interpreter(path)


def test_an_environment_instead_of_its_interpreter(tmp_path, environment):
    """If the user names a folder, the message names the interpreter in it."""
    python = environment()
    with pytest.raises(UserError, match=f"is a folder; did you mean {python}"):
        interpreters.check_interpreter(tmp_path / "environment")


def test_an_interpreter_without_pytest(tmp_path):
    """The message contains the command that installs it: with uv, if the environment has no pip."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    python = tmp_path / "bare" / "bin" / "python"
    missing = f"{python} has no pytest;.*"
    with pytest.raises(UserError, match=f"{missing}uv pip install --python {python} pytest pytest-benchmark"):
        interpreters.check_interpreter(python)
    write(packages(tmp_path / "bare"), {"pip/__init__.py": ""})
    with pytest.raises(UserError, match=f"{missing}{python} -m pip install pytest pytest-benchmark"):
        interpreters.check_interpreter(python)


@pytest.mark.parametrize(
    "path",
    [
        "README.md",
        "docs/guide.rst",
        "docs/pictures/a.png",
        "docs/requirements.txt",
        "package/README.md",
        "LICENSE",
        "LICENSE.txt",
        "CHANGELOG",
        ".github/workflows/ci.yml",
        ".gitignore",
        "tests/.gitignore",
        ".pre-commit-config.yaml",
        "CITATION.cff",
        "AUTHORS",
    ],
)
def test_documentation(path):
    """These files cannot be imported or read as configuration by a benchmark."""
    assert is_documentation(path)


@pytest.mark.parametrize(
    "path",
    [
        "a.py",
        "docs/conf.py",
        "docs/pytest.ini",
        "docs/pyproject.toml",
        "docs/fast.cpython-311-x86_64-linux-gnu.so",
        "package/docs/table.json",
        "LICENSE.py",
        "README.md.py",
        "README.PY",
        "pyproject.toml",
        "requirements.txt",
        "data.json",
        "setup.cfg",
        "pytest.ini",
        "Makefile",
        "nested.md/",
        "docs/nested/",
        "library",
        "README.md/code",
        "",
    ],
)
def test_no_documentation(path):
    """Unknown kinds of files count as code."""
    assert not is_documentation(path)


def test_identical():
    """Sides are identical if Python and packages are equal and only documentation changed."""
    one = interpreters.InterpreterFacts(Path("/a/python"), "3.12.1", "cpython x", "/a", (("numpy", "2.0"),))
    twin = dataclasses.replace(one, python=Path("/b/python"), prefix="/b")
    assert prepare.identical((), one, one)
    assert prepare.identical(("README.md", "docs/a.rst"), one, twin)
    assert not prepare.identical(("README.md", "a.py"), one, one)
    assert not prepare.identical((), one, dataclasses.replace(twin, distributions=(("numpy", "2.1"),)))
    for other in ({"version": "3.12.2"}, {"implementation": "cpython t"}):
        assert not prepare.identical((), one, dataclasses.replace(one, **other))
