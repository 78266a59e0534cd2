"""The gate takes a suite with its plugins: what they would do to a timing is switched off where they are active."""

import json

import pytest

from gradperf.gate.janitor import Janitor
from gradperf.gate.measuring.replicate import collect
from tests.gate.repositories import write
from tests.gate.suites import compared, driven, setting, side

PLAIN = "def test_x(benchmark): benchmark(len, '')\n"
CASE = "test_x.py::test_x"

# The facts that a test notes of its own process.
NOTING = """
import json
import pytest

@pytest.fixture
def note():
    def write(**facts):
        with open("notes.jsonl", "a") as file:
            print(json.dumps(facts), file=file)
    return write
"""


def ran(folder, *arguments, files, case=CASE):
    """Run one case of a suite in a worker; return how it ended, and what its tests noted."""
    write(folder / "suite", {"conftest.py": NOTING, **files})
    (folder / "suite" / "notes.jsonl").unlink(missing_ok=True)
    ended = driven(folder / "suite", folder / "p.txt", [case], *arguments)[case]["ended"]
    notes = folder / "suite" / "notes.jsonl"
    return ended, [json.loads(line) for line in notes.read_text().splitlines()] if notes.exists() else []


@pytest.mark.parametrize("autoload", [True, False])
def test_coverage_is_off_where_its_plugin_is_active(tmp_path, monkeypatch, autoload):
    """A tracer would be timed too. Where the plugin is switched off, nothing is asked of it."""
    pytest.importorskip("pytest_cov")
    source = f"import coverage\n{PLAIN.rstrip()}; assert coverage.Coverage.current() is None\n"
    ways = [["--cov=test_x"], ["-p", "no:pytest_cov"]]
    if not autoload:
        monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        ways = [["-p", "pytest_benchmark.plugin"], ["-p", "pytest_benchmark.plugin", "-p", "pytest_cov.plugin"]]
        ways[1] += ["--cov=test_x"]
    for arguments in ways:
        ini = {"pytest.ini": f"[pytest]\naddopts = {' '.join(arguments)}\n"}
        ended, _ = ran(tmp_path, files={"test_x.py": source, **ini})
        assert ended["outcome"] == "passed", ended
        assert not (tmp_path / "suite" / ".coverage").exists()


COUNTED = """
import os
def test_x(benchmark, request):
    benchmark(len, "")
    option = request.config.option
    with open("seen.txt", "a") as file:
        print(os.getpid(), os.getppid(), option.numprocesses, option.dist, option.tx, file=file)
"""


@pytest.mark.parametrize("asked", ["-n 2", "-n auto", "--dist=loadfile --tx 2*popen", "-n 0", ""])
def test_xdist_runs_nothing(tmp_path, asked):
    """The worker runs the benchmarks itself, and the report has a note; none if xdist was not asked to run any."""
    pytest.importorskip("xdist")
    write(tmp_path / "suite", {"test_x.py": COUNTED, "pytest.ini": f"[pytest]\naddopts = {asked}\n"})
    assert driven(tmp_path / "suite", tmp_path / "p.txt", [CASE])[CASE]["ended"]["outcome"] == "passed"
    assert (tmp_path / "suite" / "seen.txt").read_text().split()[2:] == ["None", "no", "[]"]
    with Janitor() as janitor:
        found, notes = collect([side(tmp_path / "suite")], setting(tmp_path, tmp_path, tmp_path / "o", janitor))
    assert [case["id"] for case in found[0]] == [CASE]
    assert len(notes) == (0 if asked in ("", "-n 0") else 1)


def test_note_is_a_warning(tmp_path):
    """What the gate does otherwise than the options ask for stands once in the report."""
    options = """
def pytest_addoption(parser):
    parser.addoption("--processes", dest="numprocesses", type=int)
    parser.addoption("--dist", default="load")
"""
    for name in ("base", "head"):
        write(tmp_path / name, {"test_x.py": PLAIN, "conftest.py": options})
    arguments = ["-p", "no:xdist", "--processes=2"]
    outcome = compared(tmp_path / "base", tmp_path / "head", tmp_path / "out", *arguments)
    assert len([warning for warning in outcome.warnings if "pytest-xdist" in warning]) == 1
    assert [case.id for case in outcome.cases] == [CASE]


def test_one_seed_for_a_pair(tmp_path, monkeypatch):
    """Plugins that draw a seed take that of the pair; one that the user chose stays."""
    monkeypatch.setenv("GRADPERF_GATE_SEED", "77")
    plugin = """
def pytest_addoption(parser):
    parser.addoption("--shuffle", dest="random_order_seed", default="default:5")
    parser.addoption("--draw", dest="hypothesis_seed")
"""
    source = """
def test_x(benchmark, request, note):
    benchmark(len, "")
    note(seen=[request.config.option.random_order_seed, request.config.option.hypothesis_seed])
"""
    own = ["-p", "no:random_order", "-p", "seeds", "-o", "pythonpath=."]
    files = {"test_x.py": source, "seeds.py": plugin}
    for more, seen in (([], ["77", "77"]), (["--shuffle=3", "--draw=4"], ["3", "4"])):
        ended, notes = ran(tmp_path, *own, *more, files=files)
        assert ended["outcome"] == "passed"
        assert notes == [{"seen": seen}]


RANDOM = """
import random
def test_x(benchmark, note):
    benchmark(len, "")
    note(drawn=random.random())
"""


def test_randomly_draws_the_same(tmp_path, monkeypatch):
    """pytest-randomly, which seeds before each test, draws the same numbers in both processes of a pair."""
    pytest.importorskip("pytest_randomly")
    drawn = []
    for seed in ("77", "77", "78"):
        monkeypatch.setenv("GRADPERF_GATE_SEED", seed)
        drawn += [note["drawn"] for note in ran(tmp_path, files={"test_x.py": RANDOM})[1]]
    assert drawn[0] == drawn[1] != drawn[2]


FLAKY = """
import pytest
@pytest.mark.flaky(reruns=2)
def test_x(benchmark, note):
    note(ran=True)
    benchmark(len, "")
    assert False
"""


def test_no_reruns(tmp_path):
    """A test that fails is not run again: its second run would find nobody at its benchmark."""
    pytest.importorskip("pytest_rerunfailures")
    for more in ([], ["--reruns=3"], ["--force-reruns=3"]):
        ended, notes = ran(tmp_path, *more, files={"test_x.py": FLAKY})
        assert ended["outcome"] == "failed"
        assert len(notes) == 1


def test_no_reruns_by_a_marker(tmp_path):
    """Versions of pytest-rerunfailures without ``--force-reruns`` look at the closest marker first."""
    options = """
def pytest_addoption(parser):
    parser.addoption("--reruns", type=int)
"""
    source = """
import pytest
@pytest.mark.flaky(reruns=2)
def test_x(benchmark, request, note):
    benchmark(len, "")
    note(reruns=request.node.get_closest_marker("flaky").kwargs["reruns"])
"""
    files = {"test_x.py": source, "conftest.py": NOTING + options}
    assert ran(tmp_path, "-p", "no:rerunfailures", files=files)[1] == [{"reruns": 0}]


WAITS = """
import pytest, time
{marker}
def test_x(benchmark):
    benchmark.pedantic(time.sleep, args=(0.1,), rounds=9)
"""


@pytest.mark.parametrize(
    ("limit", "marker", "plugin"),
    [
        ("timeout = 0.2", "", "pytest_timeout"),
        ("", "@pytest.mark.timeout(0.2, method='thread')", "pytest_timeout"),
        ("faulthandler_timeout = 0.2\nfaulthandler_exit_on_timeout = true", "", "_pytest.faulthandler"),
    ],
    ids=["setting", "marker", "faulthandler"],
)
def test_no_limit_while_it_waits(tmp_path, limit, marker, plugin):
    """No limit of time ends a test, which also waits for the other side."""
    pytest.importorskip(plugin)
    ini = {"pytest.ini": f"[pytest]\n{limit}\n"}
    ended, _ = ran(tmp_path, files={"test_x.py": WAITS.format(marker=marker), **ini})
    assert ended["outcome"] == "passed", ended
    assert "Timeout" not in (tmp_path / "p.txt").read_text()


def test_session_limit(tmp_path):
    """Nor does pytest-timeout's limit of a whole session."""
    pytest.importorskip("pytest_timeout")
    write(tmp_path / "suite", {"test_x.py": PLAIN + PLAIN.replace("test_x", "test_y")})
    arguments = ["-o", "session_timeout=0.0001"]
    reported = driven(tmp_path / "suite", tmp_path / "p.txt", [CASE, "test_x.py::test_y"], *arguments)
    assert [reported[case]["ended"]["outcome"] for case in (CASE, "test_x.py::test_y")] == ["passed", "passed"]


def test_without_autoload(tmp_path, monkeypatch):
    """Plugins that a suite loads by their modules are active too."""
    pytest.importorskip("pytest_timeout")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    arguments = ["-p", "pytest_benchmark.plugin", "-p", "pytest_timeout", "--timeout=0.2"]
    ended, _ = ran(tmp_path, *arguments, files={"test_x.py": WAITS.format(marker="")})
    assert ended["outcome"] == "passed"
