"""The rooms of the package: who may import whom. Read from the imports, lazy ones and those for types alike.

The name of a module in a string counts too: ``import_module``, ``python -m`` and pytest import by such names.
"""

import shutil
from pathlib import Path

import pytest

import gradperf
from gradperf.first_call.sources import Sources

PACKAGE = Path(gradperf.__file__).parent

GROUND = {"errors", "files", "stage", "stats", "text", "progress", "machine", "pairs"}
CASES = GROUND | {"options", "problems", "frameworks", "cases"}
RUNS = {"records", "comparison"}
SUITE = CASES | RUNS | {"checks", "first_call", "timing", "case_pairs"}

MAY_IMPORT = {
    "errors": set(),
    "files": {"errors"},
    "stage": set(),
    "stats": set(),
    "text": set(),
    "progress": {"text"},
    "machine": {"errors"},
    "pairs": {"errors", "stats", "text", "machine"},
    "options": GROUND,
    "problems": GROUND,
    "frameworks": GROUND | {"problems"},
    "cases": CASES,
    "checks": CASES,
    "timing": {"pairs"},
    "records": GROUND,
    "comparison": GROUND | {"records"},
    "first_call": CASES | {"checks"},
    "profile": CASES | {"checks"},
    "suite": SUITE,
    "report": CASES | RUNS,
    "stability": GROUND | RUNS | {"problems", "timing"},
    "case_pairs": CASES | {"checks", "timing"},
    "doctor": CASES | {"timing", "comparison", "case_pairs", "gate", "suite"},
    "gate": GROUND,
    "environments": GROUND | {"gate"},
    "certificate": GROUND | {"gate", ""},
    "commands": SUITE
    | {
        "suite",
        "case_pairs",
        "profile",
        "doctor",
        "gate",
        "environments",
        "certificate",
        "stability",
        "report",
        "",
    },
    "fresh": CASES | {"checks", "timing"},
    "api": CASES | RUNS | {"checks", "commands", "fresh", "pairs", "stats", "timing"},
    "__main__": {"commands"},
    "": set(),
}
"""For each room, the other rooms that it may import. The package itself is the room without a name."""

GATE_MAY_IMPORT = {
    "janitor": set(),
    "decision": set(),
    "sides": {"janitor"},
    "measuring": {"janitor", "decision", "sides"},
    "report": {"decision"},
    "session": {"janitor", "decision", "sides", "measuring", "report"},
}
"""The same for the rooms of the gate."""


def imports(package):
    """Return, for each module below ``package``, the modules of the package that it imports."""
    sources = Sources(package)
    return {module: sources.imports(module) for module in sources.files}


def violations(package):
    """Return each import that points up, as ``module -> module``."""
    found = []
    for name, targets in imports(package).items():
        room, _, rest = name.partition(".")
        for target in targets:
            its_room, _, its_rest = target.partition(".")
            if room != its_room and its_room not in MAY_IMPORT.get(room, set()):
                found.append(f"{name} -> {target}")
            if room == its_room == "gate" and rest:
                ours, theirs = rest.partition(".")[0], its_rest.partition(".")[0]
                if ours != theirs and theirs not in GATE_MAY_IMPORT.get(ours, set()):
                    found.append(f"{name} -> {target}")
    return found


def test_every_room_has_its_rule():
    """A new room at the top, or in the gate, needs a line above."""
    assert {name.partition(".")[0] for name in Sources(PACKAGE).files} == set(MAY_IMPORT)
    inside = {name.split(".")[1] for name in Sources(PACKAGE).files if name.startswith("gate.")}
    assert inside == set(GATE_MAY_IMPORT)


def test_imports_point_down():
    """No module imports one above it."""
    assert violations(PACKAGE) == []


def test_rules_have_no_cycle():
    """If one room may import another, the other may not import it."""
    for rules in (MAY_IMPORT, GATE_MAY_IMPORT):
        assert [(a, b) for a in rules for b in rules[a] if a != b and a in rules.get(b, set())] == []


def test_no_module_imports_itself_through_others():
    """There is no cycle of imports between modules, inside a room either."""
    graph = imports(PACKAGE)
    done = set()

    def visit(name, path):
        assert name not in path, " -> ".join([*path, name])
        if name not in done:
            for target in graph[name] - {name}:
                visit(target, [*path, name])
            done.add(name)

    for name in graph:
        visit(name, [])


@pytest.mark.parametrize(
    ("file", "line", "arrow"),
    [
        ("gate/report/words.py", "from gradperf.doctor import report", "gate.report.words -> doctor.report"),
        ("gate/decision/judge.py", "from gradperf.suite import plugin", "gate.decision.judge -> suite.plugin"),
        ("suite/plugin.py", "def f():\n    from gradperf.gate import session", "suite.plugin -> gate.session"),
        ("machine/threads.py", "import gradperf.frameworks", "machine.threads -> frameworks"),
        ("errors.py", "from gradperf.text.quantities import number", "errors -> text.quantities"),
        ("pairs/child/turns.py", "from ...cases import Case", "pairs.child.turns -> cases"),
        ("gate/decision/trial.py", "from gradperf.gate import session", "gate.decision.trial -> gate.session"),
        ("doctor/__init__.py", "from gradperf import commands", "doctor -> commands"),
        ("stats.py", 'NAME = "gradperf.comparison.table"', "stats -> comparison.table"),
    ],
)
def test_an_import_upwards_is_found(tmp_path, file, line, arrow):
    """At the top of a module, inside a function, absolute or relative."""
    copy = tmp_path / "gradperf"
    shutil.copytree(PACKAGE, copy)
    with (copy / file).open("a") as changed:
        changed.write(f"\n\n{line}\n")
    assert set(violations(copy)) - set(violations(PACKAGE)) == {arrow}


def test_the_top_of_the_package_is_small():
    """Beside the folders there are fewer than 12 files."""
    assert len([entry for entry in PACKAGE.iterdir() if entry.is_file()]) < 12
