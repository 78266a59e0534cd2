"""Two environments are compared where they differ, or the run is no success."""

import pytest

from gradperf.gate.measuring import shadowed
from gradperf.gate.measuring.provenance import Origins
from gradperf.gate.measuring.worker import distributions
from gradperf.gate.sides.interpreters import InterpreterFacts, differing
from gradperf.pairs.process import SideError
from tests.gate.repositories import write


def origins(brought, base, head=None, found=None):
    """Return the origins of both sides; ``head`` imported the same as ``base`` unless it is given."""
    sides = {"base": base, "head": base if head is None else head}
    return {name: Origins(None, loaded, found or {}, brought) for name, loaded in sides.items()}


def test_each_from_its_environment():
    """That is what an upgrade is about."""
    sides = origins({"thing": ["thing"]}, {"thing": "/a/thing/__init__.py"}, {"thing": "/b/thing/__init__.py"})
    assert shadowed.check(["thing"], sides, {}) == []


def test_both_from_one_place():
    """A message names the distribution, the module and the folder."""
    sides = origins({"my-thing": ["thing"]}, {"thing": "/home/thing/__init__.py"})
    with pytest.raises(SideError, match=r"my-thing differs .* both sides import thing from /home/thing, so"):
        shadowed.check(["my-thing"], sides, {})
    told = shadowed.check(["my-thing"], sides, {"my-*": "why"})
    assert told == ["my-thing differs and was not compared, but accepted: why"]
    with pytest.raises(SideError):
        shadowed.check(["my-thing"], sides, {"thing.py": "why"})


def test_one_of_two_modules():
    """A compiled module of its own does not excuse the Python part, which is the same on both sides."""
    brought = {"thing": ["_thing", "thing"]}
    base = {"_thing": "/a/_thing.so", "thing": "/home/thing.py"}
    sides = origins(brought, base, base | {"_thing": "/b/_thing.so"})
    assert [one.module for one in shadowed.find(["thing"], sides)] == ["thing"]


def test_what_a_process_of_the_benchmark_would_import(tmp_path):
    """Where no side imported it, the place where it is found counts; a folder that is no package is none."""
    write(tmp_path, {"thing/__init__.py": "", "data/thing/x.csv": ""})
    for folder, names in ((tmp_path / "thing", ["thing"]), (tmp_path / "data" / "thing", [])):
        sides = origins({"thing": ["thing"]}, {}, found={"thing": [str(folder)]})
        assert [one.module for one in shadowed.find(["thing"], sides)] == names


def test_tests_of_the_same_name():
    """A distribution may bring ``tests``: that name is the user's own, unless the distribution is called so."""
    loaded = {"tests": "/home/tests/__init__.py", "tests.a.test_x": "/home/tests/a/test_x.py"}
    assert shadowed.find(["thing"], origins({"thing": ["tests"]}, loaded)) == []
    assert shadowed.find(["thing"], origins({"thing": ["conftest"]}, {"conftest": "/home/conftest.py"})) == []
    inside = {"thing": "/home/thing/__init__.py", "thing.tests.test_x": "/home/thing/tests/test_x.py"}
    assert [one.module for one in shadowed.find(["Thing"], origins({"Thing": ["thing"]}, inside))] == ["thing"]


def test_nothing_was_imported():
    """It is said, unless something that differs was imported."""
    sides = origins({"thing": ["thing"], "gear": ["gear"]}, {"gear": "/a/gear.py"}, {"gear": "/b/gear.py"})
    (told,) = shadowed.check(["thing"], sides, {})
    assert told.endswith("anything of what differs: thing")
    assert shadowed.check(["thing", "gear"], sides, {}) == []


BROUGHT = {
    "a package and a module": (["thing/__init__.py", "thing/a.py", "_thing.py"], ["_thing", "thing"]),
    "compiled": (["_thing.cpython-311-x86_64-linux-gnu.so", "thing-1.dist-info/RECORD"], ["_thing"]),
    "a namespace": (
        ["space/thing/__init__.py", "space/thing/sub/__init__.py", "space/b.py"],
        ["space.b", "space.thing"],
    ),
    "a program": (["../../../bin/thing", "thing.py"], ["thing"]),
    "nothing": (["__editable__.thing.pth"], ["thing"]),
}


@pytest.mark.parametrize("case", BROUGHT)
def test_modules_of_a_distribution(tmp_path, monkeypatch, case):
    """They come from its list of files; an editable installation has none, and is imported by its name."""
    files, expected = BROUGHT[case]
    record = "".join(f"{file},,\n" for file in files)
    write(tmp_path, {"thing-1.dist-info/METADATA": "Name: thing\nVersion: 1\n", "thing-1.dist-info/RECORD": record})
    monkeypatch.syspath_prepend(str(tmp_path))
    assert distributions.modules_of(["thing", "nosuchthing"]) == {"thing": expected, "nosuchthing": []}


def test_listed_modules(tmp_path, monkeypatch):
    """What an editable installation lists is believed."""
    facts = {"METADATA": "Name: my-thing\nVersion: 1\n", "top_level.txt": "_thing\nthing\n"}
    write(tmp_path, {f"my_thing-1.dist-info/{name}": text for name, text in facts.items()})
    monkeypatch.syspath_prepend(str(tmp_path))
    assert distributions.modules_of(["my-thing"]) == {"my-thing": ["_thing", "thing"]}


def test_what_differs(tmp_path):
    """The same folder, installed editable in both environments, is the same code under any version."""

    def facts(*installed):
        return InterpreterFacts(tmp_path, "3.11", "cpython", "/", installed)

    here = ' of {"dir_info": {"editable": true}, "url": "file:///work"}'
    there = here.replace("work", "other")
    assert differing(facts(("a", "1"), ("b", "1")), facts(("a", "2"), ("c", "1"))) == ("a", "b", "c")
    assert differing(facts(("a", f"1{here}")), facts(("a", f"2{here}"))) == ()
    assert differing(facts(("a", f"1{here}")), facts(("a", f"1{there}"))) == ("a",)
    assert differing(facts(("a", f"1{here}")), facts(("a", "1"))) == ("a",)
