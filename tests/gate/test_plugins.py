"""The gate takes a suite with its plugins: what they would do to a timing is switched off where they are active."""

import json
import random
from dataclasses import replace

import pytest

from gradperf.gate.janitor import Janitor
from gradperf.gate.measuring.replicate import collect, replicate
from tests.gate.repositories import write
from tests.gate.suites import compared, driven, faked, listed, setting, side

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


WAYS_TO_ASK = """
import unittest
import pytest

@pytest.fixture
def timed(benchmark):
    return benchmark

def test_through_a_fixture(timed):
    timed(len, "")

def test_asked_while_it_runs(request):
    request.getfixturevalue('benchmark')(len, "")

def test_does_not_ask(request):
    pass

def test_no_benchmark():
    pass

@pytest.mark.benchmark(group="marked")
def test_marked():
    pass

@pytest.mark.usefixtures("benchmark")
def test_uses():
    pass

class TestMethods:
    @pytest.fixture(autouse=True)
    def take(self, benchmark):
        self.benchmark = benchmark

    def test_times(self):
        self.benchmark(len, "")

    def test_only_asserts(self):
        assert True

class TestUnit(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def take(self, benchmark):
        self.benchmark = benchmark

    def test_times(self):
        self.benchmark(len, "")

    def test_only_asserts(self):
        self.assertEqual(1, 1)
"""


def test_which_tests_are_benchmarks(tmp_path):
    """Whoever can reach the fixture may time something; who does not is left out, and fails nothing."""
    suite = tmp_path / "suite"
    write(suite, {"test_x.py": WAYS_TO_ASK})
    found, _ = listed(suite, tmp_path / "p.txt", "-p", "no:codspeed")
    ids = [case["id"] for case in found["collected"]]
    reported = driven(suite, tmp_path / "p.txt", ids, "-p", "no:codspeed")
    outcomes = {id_.removeprefix("test_x.py::"): reported[id_]["ended"]["outcome"] for id_ in ids}
    assert outcomes == {
        "test_through_a_fixture": "passed",
        "test_asked_while_it_runs": "passed",
        "test_does_not_ask": "unused",
        "test_uses": "unused",
        "TestMethods::test_times": "passed",
        "TestMethods::test_only_asserts": "unused",
        "TestUnit::test_times": "passed",
        "TestUnit::test_only_asserts": "unused",
    }


ASKING_CONFTEST = """
import pytest

@pytest.fixture
def timed(request):
    return request.getfixturevalue("benchmark")
"""


def test_gate_within_a_test_of_xdist(tmp_path, monkeypatch):
    """The worker is no worker of pytest-xdist, so the statistics are there."""
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")
    source = "def test_x(benchmark):\n    benchmark(len, '')\n    assert benchmark.stats['rounds'] > 0\n"
    ended, _ = ran(tmp_path, "-p", "no:codspeed", files={"test_x.py": source})
    assert ended["outcome"] == "passed"


def test_a_fixture_of_a_conftest_asks_while_it_runs(tmp_path):
    """A test that uses it is timed, also in a folder below; the others are as they were."""
    suite = tmp_path / "suite"
    source = "def test_timed(timed): timed(len, '')\ndef test_plain(): pass\n"
    write(suite, {"conftest.py": ASKING_CONFTEST, "deep/deeper/test_x.py": source})
    found, _ = listed(suite, tmp_path / "p.txt", "-p", "no:codspeed")
    (id_,) = [case["id"] for case in found["collected"]]
    assert id_ == "deep/deeper/test_x.py::test_timed"
    reported = driven(suite, tmp_path / "p.txt", [id_], "-p", "no:codspeed")
    assert reported[id_]["ended"]["outcome"] == "passed"


def test_a_test_that_asks_for_nothing_is_no_case(tmp_path):
    """What times nothing on either side is no finding, and makes no run incomplete."""
    for name in ("base", "head"):
        write(tmp_path / name, {"test_x.py": WAYS_TO_ASK})
    outcome = compared(tmp_path / "base", tmp_path / "head", tmp_path / "out", "-p", "no:codspeed", "-k", "ask")
    assert outcome.verdict != "incomplete"
    assert [case.id for case in outcome.cases] == ["test_x.py::test_asked_while_it_runs"]


# What the worker sees of pytest-codspeed: its option, its markers, its fixtures.
CODSPEED = """
import os
import pytest

def pytest_addoption(parser):
    parser.addoption("--codspeed", action="store_true")

@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    assert not config.option.codspeed and "CODSPEED_ENV" not in os.environ
    config.addinivalue_line("markers", "codspeed_benchmark: of pytest-codspeed")

@pytest.fixture
def codspeed_benchmark():
    return lambda function: function()
"""

CODSPEED_SUITE = """
import gc
import pytest

calls = []

def f(*given, **named):
    calls.append((given, named, gc.isenabled()))
    return 42

@pytest.fixture(autouse=True)
def noting(note, request):
    calls.clear()
    yield
    note(calls=len(calls), collects=any(call[2] for call in calls), last=calls[-1][:2])

def test_fixture(codspeed_benchmark):
    assert codspeed_benchmark(f, 1, b=2) == 42
    assert codspeed_benchmark.extra_info == {}

def test_benchmark(benchmark):
    assert benchmark(f) == 42

@pytest.mark.codspeed_benchmark
def test_marked():
    f()

@pytest.mark.parametrize("n", [5])
@pytest.mark.benchmark(group="x")
def test_marked_too(n, note):
    f(n)

def test_pedantic(codspeed_benchmark):
    def setup():
        return (7,), {"b": 8}
    done = []
    assert codspeed_benchmark.pedantic(f, setup=setup, teardown=lambda *_, **__: done.append(1), rounds=30) == 42
    assert len(done) == len(calls) <= 30

def test_pedantic_once(codspeed_benchmark):
    assert codspeed_benchmark.pedantic(f, args=(3,)) == 42
    assert len(calls) == 1

def test_setup_with_arguments(codspeed_benchmark):
    codspeed_benchmark.pedantic(f, args=(3,), setup=lambda a: calls.append(((a,), {}, False)), rounds=8)

@pytest.mark.xfail(raises=RuntimeError, strict=True)
def test_twice(codspeed_benchmark):
    codspeed_benchmark(f)
    codspeed_benchmark(f)
"""


@pytest.mark.parametrize("beside", [True, False], ids=["beside pytest-benchmark", "alone"])
@pytest.mark.parametrize("genuine", [True, False])
def test_codspeed(tmp_path, monkeypatch, beside, genuine):
    """Its fixture, and tests that its markers name, take turns; its own instruments stay off."""
    arguments = ["--strict-markers", "--codspeed", *([] if beside else ["-p", "no:benchmark"])]
    if genuine:
        pytest.importorskip("pytest_codspeed")
    else:
        arguments += ["-p", "no:codspeed", "-p", "own_codspeed", "-o", "pythonpath=."]
    monkeypatch.setenv("CODSPEED_ENV", "1")
    suite = tmp_path / "suite"
    write(suite, {"conftest.py": NOTING, "own_codspeed.py": CODSPEED, "test_x.py": CODSPEED_SUITE})
    found, _ = listed(suite, tmp_path / "p.txt", *arguments)
    ids = [case["id"] for case in found["collected"]]
    assert len(ids) == 8
    reported = driven(suite, tmp_path / "p.txt", ids, *arguments)
    for id_ in ids:
        assert "turns" in reported[id_], reported[id_]
        if "twice" not in id_:
            assert reported[id_]["ended"]["outcome"] == "passed", reported[id_]
    notes = dict(zip(ids, map(json.loads, (suite / "notes.jsonl").read_text().splitlines()), strict=True))
    for id_, facts in notes.items():
        assert facts["calls"] > 3 or id_.endswith("once"), id_
        measured_by_pytest_benchmark = beside and id_.endswith("test_benchmark")
        if not id_.endswith(("once", "twice", "arguments")) and not measured_by_pytest_benchmark:
            assert reported[id_]["ready"]["call_s"] > 0
    assert notes["test_x.py::test_marked_too[5]"]["last"] == [[5], {}]
    assert notes["test_x.py::test_fixture"]["last"] == [[1], {"b": 2}]
    assert not (suite / ".codspeed").exists()


def test_with_neither_plugin(tmp_path):
    """The worker has a fixture of its own, and its marker; the report says so."""
    source = "import pytest\n@pytest.mark.benchmark(disable_gc=True)\n" + PLAIN
    write(tmp_path / "suite", {"test_x.py": source})
    arguments = ["--strict-markers", "-p", "no:benchmark", "-p", "no:codspeed"]
    reported = driven(tmp_path / "suite", tmp_path / "p.txt", [CASE], *arguments)
    assert reported[CASE]["ended"]["outcome"] == "passed"
    with Janitor() as janitor:
        sides = [side(tmp_path / "suite")]
        _, notes = collect(sides, setting(tmp_path, tmp_path, tmp_path / "o", janitor, *arguments))
    assert len(notes) == 1
    assert "neither pytest-benchmark nor pytest-codspeed" in notes[0]


def test_async_tests_with_a_marker(tmp_path):
    """What an event loop runs is timed with the loop's own call; a bare coroutine would time nothing."""
    pytest.importorskip("pytest_codspeed")
    pytest.importorskip("pytest_asyncio")
    source = """
import asyncio, pytest
@pytest.mark.asyncio
@pytest.mark.benchmark
async def test_x():
    await asyncio.sleep(0.004)
"""
    write(tmp_path / "suite", {"test_x.py": source})
    reported = driven(tmp_path / "suite", tmp_path / "p.txt", [CASE])[CASE]
    assert reported["ended"]["outcome"] == "passed", reported
    assert reported["ready"]["call_s"] >= 0.004


def test_a_coroutine_that_a_plugin_runs_is_not_timed(tmp_path):
    """A call of it would only make another coroutine, so it is left out rather than timed as next to nothing."""
    plugin = """
import asyncio
@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    if asyncio.iscoroutinefunction(pyfuncitem.obj):
        asyncio.run(pyfuncitem.obj())
        return True
"""
    source = "import pytest\n@pytest.mark.benchmark\nasync def test_x():\n    pass\n"
    files = {"test_x.py": source, "conftest.py": NOTING + plugin, "own_codspeed.py": CODSPEED}
    no_loop = ["-p", "no:asyncio", "-p", "no:anyio"]
    arguments = [*no_loop, "-p", "no:codspeed", "-p", "own_codspeed", "-o", "pythonpath=."]
    ended, _ = ran(tmp_path, *arguments, files=files)
    assert ended["outcome"] == "unused", ended


STATS = """
import time
import pytest

cold = [0.3]

def f():
    time.sleep(cold.pop() if cold else 0.002)
    return 42

@pytest.mark.parametrize("way", ["plain", "pedantic", "once"])
def test_x(benchmark, way, note):
    cold[:] = [] if way == "once" else [0.3]
    assert (benchmark(f) if way == "plain" else benchmark.pedantic(f, rounds=1 if way == "once" else 20)) == 42
    stats = benchmark.stats
    note(rounds=stats["rounds"], mean=stats["mean"], max=stats.stats.max, min=stats.stats.min)
    assert 0.002 <= stats.stats.min <= stats["mean"] < 0.1
"""


@pytest.mark.parametrize("way", ["plain", "pedantic", "once"])
def test_statistics_are_of_the_turns(tmp_path, way):
    """A test may assert on its statistics: they hold no cold call, and no time in which it waited for its turn."""
    case = f"test_x.py::test_x[{way}]"
    # The planted work makes a turn last, and is no time of the call.
    slow_turns = ((3, {"units": 10**7}), (2, {"units": 10**7}))
    write(tmp_path / "suite", {"conftest.py": NOTING, "test_x.py": STATS})
    reported = driven(tmp_path / "suite", tmp_path / "p.txt", [case], orders=slow_turns)[case]
    assert reported["ended"]["outcome"] == "passed", reported
    assert all(turn["turn"] > 0.1 for turn in reported["turns"])
    (facts,) = [json.loads(line) for line in (tmp_path / "suite" / "notes.jsonl").read_text().splitlines()]
    assert facts["max"] < 0.25
    assert facts["rounds"] == 1 if way == "once" else facts["rounds"] >= 2 + len(reported["turns"])


def test_few_times_are_kept(tmp_path):
    """pytest-benchmark computes all statistics at the end, which must not take longer than the benchmark."""
    source = """
def test_x(benchmark, note):
    benchmark(len, "")
    note(rounds=benchmark.stats["rounds"])
"""
    _, notes = ran(tmp_path, files={"test_x.py": source})
    assert 4 < notes[0]["rounds"] <= 102


@pytest.mark.parametrize("chosen", [{}, {"PYTHONHASHSEED": "5", "HYPOTHESIS_STORAGE_DIRECTORY": "/shared"}])
def test_what_processes_share_and_what_not(tmp_path, monkeypatch, chosen):
    """A pair shares its seeds, the user's where there is one; each process writes to folders of its own."""
    for name in ("PYTHONHASHSEED", "HYPOTHESIS_STORAGE_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    fake = faked(monkeypatch)
    given = setting(tmp_path, tmp_path, tmp_path / "out", None)
    sides = {name: side(tmp_path, name, **chosen) for name in ("base", "head")}
    given, coin = replace(given, control=CASE, **sides), random.Random(3)  # noqa: S311 - an order, not a secret
    pairs = []
    for _ in range(2):
        replicate([CASE], given, coin, repeats=False)
        environments = [process.environment for process in fake.launched[-4:]]
        assert len({environment["HYPOTHESIS_STORAGE_DIRECTORY"] for environment in environments}) == 4
        (seeds,) = {(own["GRADPERF_GATE_SEED"], own["PYTHONHASHSEED"]) for own in environments}
        pairs.append(seeds)
    assert pairs[0][0] != pairs[1][0]
    assert [hash_seed for _, hash_seed in pairs] == (["5", "5"] if chosen else [seed for seed, _ in pairs])
