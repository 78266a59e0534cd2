"""The worker runs benchmarks as they are written, whatever they print, and obeys nothing but its orders."""

import ast
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from gradperf.gate.measuring import worker
from gradperf.pairs import child
from gradperf.pairs.child import cpu, turns
from gradperf.pairs.child.cpu import Usage, usable_cpus
from gradperf.pairs.child.originals import Original
from gradperf.pairs.child.turns import Benchmark, Turns, is_warm
from gradperf.pairs.turns import schedule
from tests.gate.repositories import write
from tests.gate.suites import driven, listed

ODD = "a b-é\n'\"[]::/%"

SUITE = {
    "pytest.ini": """
[pytest]
addopts =
    --benchmark-disable --benchmark-skip --benchmark-autosave --benchmark-save=x --benchmark-json=x.json
    --benchmark-compare --benchmark-compare-fail=min:5% --benchmark-histogram=x --benchmark-storage=file://./stored
    -x --stepwise --junitxml=x.xml -p shuffles
""",
    "shuffles.py": """
def pytest_collection_modifyitems(items):
    items.reverse()  # as a plugin does that shuffles
""",
    "conftest.py": """
import gc
import json
import pytest

class Counted:
    def __init__(self, f=lambda *args, **kwargs: None):
        self.f, self.count, self.collects = f, 0, set()
    def __call__(self, *args, **kwargs):
        self.count += 1
        self.collects.add(gc.isenabled())
        return self.f(*args, **kwargs)

@pytest.fixture
def counted():
    return Counted

@pytest.fixture
def note(request):
    def write(**facts):
        with open("notes.jsonl", "a") as file:
            print(json.dumps([request.node.nodeid, facts]), file=file)
    return write
""",
    "test_ways.py": f"""
import time
import pytest

def test_plain(benchmark, counted, note):
    f = counted(lambda a, b: a * b)
    assert benchmark(f, 6, b=7) == 42
    note(calls=f.count, mean=benchmark.stats["mean"], info=benchmark.extra_info, group=benchmark.group)

@pytest.mark.benchmark(group="mine", disable_gc=True)
def test_marked(benchmark, counted, note):
    f = counted()
    benchmark.extra_info["size"] = 3
    benchmark(f)
    note(collects=sorted(f.collects), group=benchmark.group, info=benchmark.extra_info)

def test_collecting(benchmark, counted, note):
    f = counted()
    benchmark(f)
    note(collects=sorted(f.collects))

@pytest.mark.parametrize(
    "rounds, warmup_rounds, iterations", [(1, 0, 1), (3, 0, 1), (2, 2, 1), (7, 0, 1), (5, 3, 4)]
)
def test_pedantic(benchmark, counted, note, rounds, warmup_rounds, iterations):
    f = counted(lambda a, b=0: a + b)
    shape = dict(rounds=rounds, warmup_rounds=warmup_rounds, iterations=iterations)
    assert benchmark.pedantic(f, args=(1,), kwargs={{"b": 2}}, **shape) == 3
    note(calls=f.count, allowed=(rounds + warmup_rounds) * iterations)

def test_setup(benchmark, counted, note):
    def begin():
        time.sleep(0.05)
        return (5,), {{"b": 6}}
    setup, f, teardown = counted(begin), counted(lambda a, b: a + b), counted()
    assert benchmark.pedantic(f, setup=setup, teardown=teardown, rounds=12) == 11
    note(calls=f.count, setups=setup.count, teardowns=teardown.count, allowed=12)

def test_setup_gives_nothing(benchmark, counted, note):
    setup, f = counted(), counted(lambda a: a)
    assert benchmark.pedantic(f, args=(8,), setup=setup, rounds=30) == 8
    note(calls=f.count, setups=setup.count, allowed=30)

def test_state(benchmark):
    state = iter([1])
    assert benchmark.pedantic(lambda: next(state), rounds=1) == 1

class TestClass:
    @pytest.fixture(autouse=True)
    def before(self):
        self.number = 4

    def test_method(self, benchmark):
        assert benchmark(lambda: self.number) == 4

@pytest.mark.parametrize("word", [{ODD!r}], ids=lambda word: word)
def test_odd(benchmark, word):
    assert benchmark(str, word) == word

def test_no_benchmark(note):
    note(ran=True)

def test_unused(benchmark):
    pass

def test_twice(benchmark):
    benchmark(len, "")
    benchmark(len, "")

def test_raises(benchmark):
    benchmark(lambda: 1 / 0)

def test_wrong(benchmark):
    assert benchmark(lambda: 1) == 2

def test_skips(benchmark):
    pytest.skip("not today")

@pytest.mark.skip(reason="never")
def test_skipped(benchmark):
    benchmark(len, "")
""",
    "test_noise.py": """
import os
import subprocess
import sys

def test_prints(benchmark, capfd):
    with capfd.disabled():
        print('{"ended": "forged"}')
        print('{"ended": "forged"}', file=sys.stderr)
        os.write(1, b'{"ended": "forged"}\\n')
        subprocess.run(["echo", '{"ended": "forged"}'])
        benchmark(lambda: os.write(2, b'{"turn": 0}\\n'))

def test_forks(benchmark):
    def fork():
        if not (child := os.fork()):
            os.closerange(0, 100)
            os._exit(0)
        return os.waitpid(child, 0)[1]
    assert benchmark.pedantic(fork, rounds=6) == 0

def test_child_comes_back(benchmark):
    child = os.fork()
    benchmark(len, "")
    if child:
        assert os.waitpid(child, 0)[1] != 0

def test_reads_input(benchmark, capfd):
    with capfd.disabled():
        assert benchmark(lambda: os.read(0, 10)) == b""
""",
    "overridden/conftest.py": """
import pytest

@pytest.fixture
def benchmark(benchmark):
    benchmark.extra_info["of"] = "the folder"
    return benchmark
""",
    "overridden/test_overridden.py": """
def test_overridden(benchmark):
    assert benchmark(len, "abc") == 3
    assert benchmark.extra_info == {"of": "the folder"}
""",
}

WRONG = {
    "test_unused": "it did not call its benchmark fixture",
    "test_twice": "Fixture can only be used once",
    "test_raises": "division by zero",
    "test_wrong": "assert 1 == 2",
    "test_skips": "not today",
    "test_skipped": "never",
}


def name(id_):
    """Return the test's own part of an id."""
    return id_.partition("::")[2].replace("TestClass::", "")


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """Return what two workers report of the suite: one lists it, one runs it."""
    folder = tmp_path_factory.mktemp("suite")
    write(folder, SUITE)
    before = sorted(folder.iterdir())
    found, _ = listed(folder, folder.parent / "listed.txt")
    ids = [case["id"] for case in found["collected"]]
    reported = driven(folder, folder.parent / "driven.txt", ids)
    notes = [json.loads(line) for line in (folder / "notes.jsonl").read_text().splitlines()]
    return SimpleNamespace(
        cases={name(id_): what for id_, what in reported.items() if id_},
        listed=found["collected"],
        order=[id_ for id_ in reported if id_],
        notes={name(id_): facts for id_, facts in notes},
        left=[path.name for path in sorted(folder.iterdir()) if path not in before],
        printed=(folder.parent / "driven.txt").read_text(errors="replace"),
    )


def test_every_way_of_timing(reported):
    """Every way of asking to be timed takes its turns, and the test passes; a wrong one reports why."""
    outcomes = {name: what["ended"]["outcome"] for name, what in reported.cases.items()}
    assert len(outcomes) == len(reported.listed) == 24
    assert {name for name, outcome in outcomes.items() if outcome != "passed"} == set(WRONG)
    for name, reason in WRONG.items():
        assert outcomes[name] == ("skipped" if "skip" in name else "unused" if "unused" in name else "failed")
        assert reason in reported.cases[name]["ended"]["reason"]
    for name in outcomes.keys() - WRONG.keys():
        assert all(turn["turn"] > 0 for turn in reported.cases[name]["turns"]), name


def test_fixture_as_ever(reported):
    """Statistics, extra information and group are there for the test that asks."""
    plain, marked = reported.notes["test_plain"], reported.notes["test_marked"]
    assert plain["mean"] > 0
    assert plain["calls"] >= 3 + 2 + 1
    assert (plain["info"], plain["group"]) == ({}, None)
    assert (marked["info"], marked["group"]) == ({"size": 3}, "mine")


def test_garbage_collection(reported):
    """``disable_gc`` is followed in turns as elsewhere; without it the collector runs."""
    assert reported.notes["test_marked"]["collects"] == [False]
    assert reported.notes["test_collecting"]["collects"] == [True]


def test_pedantic_limits(reported):
    """A pedantic benchmark is never called more often than it says, its setup and teardown as often as it."""
    limited = {name: facts for name, facts in reported.notes.items() if "allowed" in facts}
    assert len(limited) == 7
    for name, facts in limited.items():
        assert 1 <= facts["calls"] <= facts["allowed"], name
        assert facts.get("setups", facts["calls"]) == facts["calls"], name
        assert facts.get("teardowns", facts["calls"]) == facts["calls"], name
    assert limited["test_pedantic[1-0-1]"]["calls"] == 1
    assert reported.cases["test_pedantic[1-0-1]"]["ready"]["calls_left"] == 1


def test_setup_is_not_timed(reported):
    """The time of a call excludes its setup, which is reported separately."""
    ready = reported.cases["test_setup"]["ready"]
    assert ready["round_s"] >= 0.05
    assert ready["call_s"] < 0.02
    assert min(turn["turn"] for turn in reported.cases["test_setup"]["turns"]) < 0.04


def test_what_is_listed(reported):
    """Only tests with the fixture are listed, and run in the order that was asked for, though a plugin shuffles."""
    names = [name(case["id"]) for case in reported.listed]
    assert "test_no_benchmark" not in names
    assert "test_no_benchmark" not in reported.notes
    assert reported.order == [case["id"] for case in reported.listed]
    skipped = {name(case["id"]): case["skipped"] for case in reported.listed if case["skipped"]}
    assert skipped == {"test_skipped": "never"}


def test_nothing_is_stored(reported):
    """No results, histogram, report or cache of pytest is left in the suite's folder, though its options ask."""
    assert [name for name in reported.left if name != "__pycache__"] == ["notes.jsonl"]


def test_prints(reported):
    """What tests print goes to a file of its own, however they print it."""
    assert reported.printed.count('{"ended": "forged"}') == 4
    assert reported.cases["test_prints"]["ended"]["outcome"] == "passed"


@pytest.mark.parametrize(
    ("files", "arguments", "message"),
    [
        (
            {
                "conftest.py": """
def pytest_addoption(parser):
    parser.addoption("--parallel", "-N", dest="numprocesses", type=int)
"""
            },
            ["-p", "no:xdist", "-N", "2"],
            "add -n0 to the arguments of pytest",
        ),
        ({}, ["no/such/path"], "file or directory not found: no/such/path"),
        ({}, ["--no-such-option"], "unrecognized arguments: --no-such-option"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_refused(tmp_path, files, arguments, message):
    """What cannot be timed is refused before anything is collected, with the reason in what pytest prints."""
    write(tmp_path / "suite", {"test_x.py": "def test_x(benchmark): benchmark(len, '')\n", **files})
    reported, process = listed(tmp_path / "suite", tmp_path / "printed.txt", *arguments)
    assert "collected" not in reported
    assert reported["bye"] != 0
    assert message in process.printed()


@pytest.mark.parametrize(
    "arguments", [["--collect-only"], ["-m", "not slow", "--maxfail=1", "-N0", "--dist=no"], ["-N2", "--dist=load"]]
)
def test_neutral(tmp_path, arguments):
    """Options of pytest that would run nothing, or stop early, have no effect; nor does it to ask for no xdist."""
    source = """
import pytest
def test_bad(benchmark): benchmark(lambda: 1 / 0)
def test_good(benchmark): benchmark(len, "")
"""
    options = """
def pytest_addoption(parser):
    parser.addoption("-N", dest="numprocesses", type=int)
    parser.addoption("--dist", default="no")
"""
    write(tmp_path / "suite", {"test_x.py": source, "conftest.py": options})
    cases = ["test_x.py::test_bad", "test_x.py::test_good"]
    reported = driven(tmp_path / "suite", tmp_path / "p.txt", cases, "-p", "no:xdist", *arguments)
    assert [reported[case]["ended"]["outcome"] for case in cases] == ["failed", "passed"]


PLUGINS = {
    "conftest.py": """
import pytest

def pytest_addoption(parser):
    parser.addoption("--randomly-seed", default="default")
    parser.addoption("--reruns", type=int)

@pytest.fixture(autouse=True)
def _fact(request, tmp_path, record_property):
    with open("facts.txt", "a") as file:
        option = request.config.option
        print(option.randomly_seed, option.reruns, tmp_path, request.config.cache._cachedir, file=file)
        print(*[mark.args for mark in request.node.iter_markers("timeout")], file=file)
""",
    "own/limits.py": """
def pytest_configure(config):
    config.addinivalue_line("markers", "timeout(seconds): of a plugin of that name")
""",
    "test_x.py": """
import pytest
@pytest.mark.timeout(0.001)
def test_x(benchmark): benchmark(len, "")
""",
}


def test_plugins_of_a_suite(tmp_path, monkeypatch):
    """Random numbers have the seed of the pair, no test is run again, and no limit of time holds in the turns."""
    monkeypatch.setenv("GRADPERF_GATE_SEED", "77")
    write(tmp_path / "suite", PLUGINS)
    shared = tmp_path / "shared"
    for more in ([], ["--randomly-seed=5"]):
        genuine = ["-p", "no:randomly", "-p", "no:rerunfailures", "-p", "no:timeout"]
        arguments = [
            *genuine,
            "-o",
            "pythonpath=own",
            "-p",
            "limits",
            f"--basetemp={shared}/deep",
            "--reruns=3",
            *more,
        ]
        reported = driven(tmp_path / "suite", tmp_path / "p.txt", ["test_x.py::test_x"], *arguments)
        assert reported["test_x.py::test_x"]["ended"]["outcome"] == "passed"
    first, limits, second, _ = (tmp_path / "suite" / "facts.txt").read_text().splitlines()
    assert first.split()[:2] == ["77", "0"]
    assert second.split()[:2] == ["5", "0"]
    assert limits == "(0,) (0.001,)"
    folders = [Path(line.split()[2]).relative_to(shared / "deep").parts[0] for line in (first, second)]
    assert folders[0] != folders[1]
    assert all(folder.startswith("gradperf-") for folder in folders)
    assert list((shared / "deep").iterdir()) == []  # nothing is left of them


def test_planted_work(tmp_path):
    """Planted work adds to a turn's seconds: this many units, or this many for each second that it took."""
    write(tmp_path / "suite", {"test_x.py": "def test_x(benchmark): benchmark(len, '')\n"})
    orders = ((1, {"units": 500_000}), (10_000, {"units_per_s": 1e9}))
    reported = driven(tmp_path / "suite", tmp_path / "p.txt", ["test_x.py::test_x"], orders=orders)
    # No Python is that fast.
    assert all(turn["turn"] > 0.002 for turn in reported["test_x.py::test_x"]["turns"])


def test_weave(tmp_path):
    """A function that is woven takes turns as well."""
    pytest.importorskip("aspectlib")
    source = """
import os
def test_weave(benchmark):
    benchmark.weave(os.path.exists)
    os.path.exists("x")
"""
    write(tmp_path / "suite", {"test_x.py": source})
    reported = driven(tmp_path / "suite", tmp_path / "p.txt", ["test_x.py::test_weave"])
    assert reported["test_x.py::test_weave"]["ended"]["outcome"] == "passed"


WORKER_FILES = sorted(file for package in (child, worker) for file in Path(package.__file__).parent.glob("*.py"))


@pytest.mark.parametrize("file", WORKER_FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_worker_runs_on_old_pythons_without_gradperf(file):
    """Each file of the worker is Python 3.9, and imports the standard library, pytest and its own folders alone."""
    tree = ast.parse(file.read_text(), feature_version=(3, 9))
    imported = set()
    for node in ast.walk(tree):
        assert not isinstance(node, ast.Match)
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            imported.add(node.module.partition(".")[0])
    assert imported <= sys.stdlib_module_names | {"pytest"}
    if file.parent.name == "child":
        assert "pytest" not in imported


def warmed(most_calls, call_s):
    """Count the calls of a warm-up."""
    calls = 0
    while not is_warm(calls, calls * call_s, most_calls):
        calls += 1
    return calls


@pytest.mark.parametrize("allowed", [4, 5, 6, 10, 12, 20, 40, 100, 1000, 10**6])
@pytest.mark.parametrize("call_s", [1e-7, 1e-5, 1e-3, 0.1, 20])
@pytest.mark.parametrize("comparisons", [1, 3])
def test_no_call_too_many(allowed, call_s, comparisons):
    """Warm-up, all turns, and pytest-benchmark's own call are together no more than are allowed."""
    warm = warmed(allowed - 1, call_s)
    reported = {"call_s": call_s, "round_s": call_s, "calls_left": allowed - 1 - warm}
    if comparisons * 4 > reported["calls_left"]:
        comparisons = 1  # too few for a control
    plan = schedule(reported, reported, comparisons=comparisons)
    in_turns = comparisons * (plan.turns + 3 * plan.warms) * plan.base_calls
    assert plan.base_calls == plan.head_calls >= 1
    assert plan.turns >= 1
    assert warm + in_turns + 1 <= allowed
    if call_s <= 1e-5 and allowed <= 100:  # and most of them count
        assert in_turns >= allowed / 4


def test_environment(tmp_path):
    """The working folder is on the path, as with ``python -m pytest``, and the worker's own folder is not."""
    source = """
import sys
import near
def test_x(benchmark):
    benchmark(len, "")
    assert not any(path.endswith("gradperf/gate") for path in sys.path)
    import judge  # the suite's, not the gate's
    assert judge.OURS
"""
    files = {"tests/test_x.py": source, "near.py": "", "judge.py": "OURS = True"}
    write(tmp_path / "suite", files)
    id_ = "tests/test_x.py::test_x"
    assert driven(tmp_path / "suite", tmp_path / "p.txt", [id_])[id_]["ended"]["outcome"] == "passed"


class FakeChannel:
    """A gate that lets every case go at once, after such orders."""

    def __init__(self, *orders):
        """Take the orders."""
        self.orders = [*orders, {"leave": True}]
        self.answers = []

    def order(self):
        """Return the next order."""
        return self.orders.pop(0)

    def answer(self, **reported):
        """Keep the answer."""
        self.answers.append(reported)


def ready(benchmark):
    """Return what a worker reports of a benchmark before its turns."""
    channel = FakeChannel()
    Turns(channel).take(Benchmark(benchmark))
    return channel.answers[0]


@pytest.mark.parametrize(
    ("thread_share", "all_share", "may_stay"),
    [
        (1.0, 1.0, True),
        (0.3, 0.3, True),  # on a busy machine, or waiting
        (0.5, 0.51, True),
        (0.4, 0.95, True),  # handing over
        (0.97, 1.01, True),
        (0.97, 1.2, False),
        (1.0, 8.0, False),
        (0.5, 0.75, True),  # with gaps
        (0.1, 0.4, False),  # in parallel, and waiting
    ],
)
@pytest.mark.parametrize("compiles_s", [0, 100])
def test_parallel(monkeypatch, thread_share, all_share, may_stay, compiles_s):
    """A benchmark that may compute on two CPUs at once is not kept on one, whatever its first call did."""
    monkeypatch.setattr(cpu, "usable_cpus", lambda: [0, 1])
    compiled_s = 0.0

    def benchmark():
        nonlocal compiled_s
        compiled_s = compiles_s

    def used_s():
        passed_s = time.perf_counter()
        return Usage(passed_s, thread_share * passed_s, all_share * passed_s + compiled_s)

    monkeypatch.setattr(cpu, "usage", used_s)
    assert ready(benchmark)["cpus"] == ([0, 1] if may_stay else [])


@pytest.mark.parametrize(
    ("others", "all_shares", "may_stay"),
    [
        (0.2, (0.3, 0.4, 1.0, 0.5), True),  # handing over, while another process takes the CPU
        (0.5, (0.9, 1.6, 1.0, 0.7), False),  # in parallel, while another process takes the CPU
        (0.2, (0.3, 0.4, 0.4, 0.3), False),  # nobody can say
        (0.0, (0.3, 0.4, 0.4, 0.3), True),  # in one thread
    ],
)
def test_parallel_on_a_busy_machine(monkeypatch, others, all_shares, may_stay):
    """What a benchmark used where nothing came between says whether it computes on two CPUs at once."""
    monkeypatch.setattr(cpu, "usable_cpus", lambda: [0, 1])
    now_s = 0.0

    def benchmark():
        nonlocal now_s
        now_s += turns.SLICE_S

    def used_s():
        whole = round(now_s / turns.SLICE_S)
        all_s = sum(all_shares[number % 4] for number in range(whole)) * turns.SLICE_S
        return Usage(now_s + 1e-9 * whole, (1 - others) * all_s, all_s)

    monkeypatch.setattr(cpu, "usage", used_s)
    monkeypatch.setattr(Original, "perf_counter", lambda: now_s)
    assert ready(benchmark)["cpus"] == ([0, 1] if may_stay else [])


def test_several_threads_that_were_asked_for_keep_their_cpus():
    """Beside other work two threads in parallel look as if they took turns. One thread alone takes one CPU."""
    looks_alike = [Usage(1.0, 0.5, 1.0)]
    assert cpu.takes_one_cpu(looks_alike)
    assert not cpu.takes_one_cpu(looks_alike, several_threads=True)
    assert cpu.takes_one_cpu([Usage(1.0, 0.98, 1.0)], several_threads=True)


def burn(seconds):
    """Use so much of the CPU."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_used_s():
    """The thread itself counts alone; all threads count together, and children that have ended."""
    passed, own, everything = cpu.usage()
    burn(0.05)
    thread = threading.Thread(target=burn, args=(0.1,))
    thread.start()
    thread.join()
    more_passed, more_own, more = cpu.usage()
    assert more_passed - passed >= 0.1
    assert 0.05 <= more_own - own < 0.1
    assert more - everything >= 0.15
    code = "import time\nwhile time.process_time() < 0.5: pass"
    subprocess.run([sys.executable, "-S", "-c", code], check=True)
    assert cpu.usage()[2] - more >= 0.5


def test_foreign_proc(monkeypatch, tmp_path):
    """If /proc belongs to another namespace, or is missing, no process is kept on a CPU."""
    monkeypatch.setattr(cpu, "THREADS", str(tmp_path))
    assert usable_cpus() == []
    monkeypatch.setattr(cpu, "THREADS", str(tmp_path / "none"))
    assert usable_cpus() == []


@pytest.mark.skipif(len(usable_cpus()) < 2, reason="it takes two CPUs on which a process can be kept")
def test_affinity():
    """All threads stay on the CPU until the case ends, then where they were, new ones as the main one."""
    everywhere = os.sched_getaffinity(0)
    number = max(everywhere)
    before, stop, started = threading.Event(), threading.Event(), {}

    def idle(name):
        started[name] = threading.get_native_id()
        before.set()
        stop.wait()

    def start(name):
        before.clear()
        thread = threading.Thread(target=idle, args=(name,))
        thread.start()
        before.wait()
        return thread

    threads = [start("old")]
    affinity = cpu.Affinity()
    affinity.release()
    affinity.keep(number)
    try:
        threads.append(start("new"))
        assert [os.sched_getaffinity(thread) for thread in (0, *started.values())] == [{number}] * 3
        affinity.keep(min(everywhere))
        assert [os.sched_getaffinity(thread) for thread in (0, *started.values())] == [{min(everywhere)}] * 3
    finally:
        affinity.release()
        found = [os.sched_getaffinity(thread) for thread in (0, *started.values())]
        stop.set()
        for thread in threads:
            thread.join()
    assert found == [everywhere] * 3


@pytest.mark.skipif(len(usable_cpus()) < 2, reason="it takes two CPUs on which a process can be kept")
def test_stays_for_its_turns():
    """The turns of a case are on the CPU that was ordered; the next case is free again, even after an error."""
    seen = []
    number = max(os.sched_getaffinity(0))
    channel = FakeChannel({"cpu": number}, {"turn": 1}, {"cpu": None}, {"turn": 1}, {"cpu": number}, {"turn": 1})
    everywhere = os.sched_getaffinity(0)
    benchmark = Benchmark(lambda: seen.append(os.sched_getaffinity(0)))
    Turns(channel).take(benchmark)
    assert seen[0] == everywhere
    assert seen[-3:] == [{number}, everywhere, {number}]
    assert os.sched_getaffinity(0) == everywhere
    with pytest.raises(ZeroDivisionError):
        Turns(FakeChannel({"cpu": number}, {"turn": 1})).take(
            Benchmark(lambda: 1 / (os.sched_getaffinity(0) != {number}))
        )
    assert os.sched_getaffinity(0) == everywhere
