"""Suites that pytest runs as they are: the gate runs them too, and one oddity does not cost the other cases."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from gradperf.gate.janitor import Janitor
from gradperf.gate.measuring.replicate import replicate
from gradperf.gate.sides import prepare, pytest_arguments
from gradperf.gate.sides.search import hides_standard_library
from tests.gate.repositories import CONFIGURATION, make, write
from tests.gate.suites import DEAF, QUIET, faked, gate, setting

ODD = {
    # On top, where the command `pytest` does not search.
    "profile.py": "raise ImportError('not the profile of Python')\n",
    "thing/__init__.py": "def work():\n    return sum(range(50))\n",
    "conftest.py": """
import os
import pytest

def pytest_collection_modifyitems(items):
    items[:] = items * 2

@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session):
    for item in 2 * session.items:
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
    return True

def pytest_sessionfinish(session, exitstatus):
    os._exit(int(exitstatus))
""",
    "tests/test_odd.py": """
import cProfile
from thing import work

def test_once(benchmark):
    benchmark.pedantic(work)

def test_other(benchmark):
    benchmark.pedantic(work)
""",
}


def test_oddities(tmp_path):
    """Tests that are there twice and run twice, an end by force, and a module with the name of one of Python's.

    Some arguments name what only one side has, and there is no cache. No line of the report is too long.
    """
    repo = make(tmp_path / "repo", ODD)
    write(repo, {"thing/__init__.py": ODD["thing/__init__.py"] + "\n"})
    write(repo, {"more/test_more.py": "def test_new(benchmark):\n    benchmark(len, '')\n"})
    arguments = ["tests", "more", "-p", "no:cacheprovider", "--strict-config", *QUIET]
    done = gate(repo, tmp_path / "temporary", *DEAF, "--json", tmp_path / "out.json", "--", *arguments)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    verdicts = {case["id"]: case["verdict"] for case in json.loads((tmp_path / "out.json").read_text())["cases"]}
    assert verdicts.keys() == {
        "tests/test_odd.py::test_once",
        "tests/test_odd.py::test_other",
        "more/test_more.py::test_new",
    }
    assert verdicts["more/test_more.py::test_new"] == "new"
    assert {"failed", "removed"}.isdisjoint(verdicts.values())
    assert [line for line in done.stdout.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        (["both", "new"], ["both"]),
        (["both/a.py::test_a", "both/a.py::test_b[1::2]", "-x"], ["both/a.py::test_a", "-x"]),
        (["both/a.py::TestB::test_a", "both"], ["both"]),
        (["new"], ["new"]),
        (["-k", "new", "both"], ["-k", "new", "both"]),
        (["both", "nowhere"], ["both", "nowhere"]),
        (["both", "gone"], ["both", "gone"]),
    ],
)
def test_arguments_of_a_side(tmp_path, arguments, kept):
    """What only the other side has is left out, unless it is all, or may be the value of an option."""
    write(tmp_path, {"base/both/a.py": "def test_a(): ...", "base/gone/a.py": "", "head/new/a.py": ""})
    write(tmp_path, {"head/both/a.py": "def test_a(): ...\ndef test_b(): ...\nclass TestB: ..."})
    assert pytest_arguments.of_side(arguments, tmp_path / "base", tmp_path / "head") == kept


@pytest.mark.parametrize(
    ("path", "hides"),
    [
        ("profile.py", True),
        ("platform/__init__.py", True),
        ("platform/a.py", False),
        ("test/__init__.py", False),
        ("profiles.py", False),
        ("profile.txt", False),
        ("src/profile.py", False),
    ],
)
def test_what_hides_the_standard_library(tmp_path, path, hides):
    """A module or a package of the same name does, a folder without ``__init__.py`` does not."""
    write(tmp_path, {path: ""})
    assert hides_standard_library(tmp_path) == hides
    assert not hides_standard_library(tmp_path / "nowhere")


def test_absolute_paths_in_options(tmp_path):
    """Each side has its own file, also where an option names it."""
    top = tmp_path / "checkout"
    write(top, {"sub/x": ""})

    def relative(word):
        return pytest_arguments.relative(top / "sub", top, word)

    assert relative(f"--rootdir={top}") == "--rootdir=.."
    assert relative(f"{top}/t.py::test_x[a=b]") == "../t.py::test_x[a=b]"
    assert [relative(word) for word in ("--x=/usr", "-k=/a", "--rootdir", "/usr")] == [
        "--x=/usr",
        "-k=/a",
        "--rootdir",
        "/usr",
    ]
    assert Path(relative(str(top))) == Path("..")


def test_the_control_has_folders_of_its_own(tmp_path, monkeypatch):
    """A suite may write files of a fixed name into its folder, so no two processes may share one."""
    for name, value in CONFIGURATION.items():
        monkeypatch.setenv(name, value)
    repo = make(tmp_path / "repo", {"thing.py": "1\n"})
    write(repo, {"thing.py": "2\n"})
    fake = faked(monkeypatch)
    with Janitor() as janitor:
        found = prepare.prepare("HEAD", None, None, repo, janitor)
        common = setting(tmp_path, tmp_path, tmp_path / "out", janitor)
        common = replace(common, base=found.base, head=found.head, controls=found.controls, control="x")
        replicate(["x"], common, random.Random(1), repeats=True)  # noqa: S311 - an order, not a secret
        roots = {process.role: process.orders[0]["own"] for process in fake.launched}
        assert len({*roots.values()}) == 4
        assert len({*map(len, roots.values())}) == 1  # the length of a path changes addresses in memory
        texts = {role: (Path(root) / "thing.py").read_text() for role, root in roots.items()}
        assert texts == {"base": "1\n", "control": "1\n", "twin": "1\n", "head": "2\n"}
        assert all(one.environment["PYTHONPATH"].split(":")[0] == str(one.root) for one in found.controls)
