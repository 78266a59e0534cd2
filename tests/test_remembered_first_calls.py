"""First calls are taken from earlier records where nothing changed, and measured where anything did."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

import gradperf
from gradperf import cases
from gradperf.first_call.key import Keys
from gradperf.first_call.measure import FirstCall, NotMeasured
from gradperf.first_call.sources import Sources
from gradperf.records.facts import read_benchmark
from gradperf.suite import first_calls
from gradperf.suite.first_calls import FirstCalls, Remembered, newest_records
from tests.conftest import ROOT
from tests.records import lines, measured, record

PACKAGE = Path(gradperf.__file__).parent
SETTINGS = cases.Settings()
CASE = cases.find("tiny_3x2x1-torch.autograd-cpu-float64", SETTINGS)
MACHINE = {
    "cpu_model": "A",
    "affinity_cpus": 2,
    "gpus": {},
    "blas": {"version": "1"},
    "versions": {"numpy": "2.4", "torch": "2.13", "jax": "0.10", "jaxlib": "0.10", "keras": "3"},
}


def key(case=CASE, settings=SETTINGS, machine=MACHINE, package=PACKAGE):
    return Keys(settings, machine, package).of(case)


def test_key_is_the_same_for_the_same():
    """In another object, and with the facts of the machine in another order."""
    assert key() == key(machine=dict(reversed(MACHINE.items())))
    assert len(key()) == 64


@pytest.mark.parametrize("id_", ["tiny_3x2x1-torch.autograd-cpu-float32", "tiny_3x2x1-torch.module-cpu-float64"])
def test_key_is_another_for_another_case(id_):
    """Another dtype, another style."""
    assert key(cases.find(id_, SETTINGS)) != key()


@pytest.mark.parametrize("settings", [{"threads": 2}, {"tier": "full"}, {"seed": 1}], ids=str)
def test_key_changes_with_the_settings(settings):
    """Threads, tier and seed."""
    changed = replace(SETTINGS, **settings)
    assert key(settings=changed) != key()


def test_key_changes_with_the_problem():
    """The same name with another number of steps."""
    assert key(replace(CASE, problem=replace(CASE.problem, steps=CASE.problem.steps + 1))) != key()


@pytest.mark.parametrize(
    ("fact", "changes"),
    [
        ({"cpu_model": "B"}, True),
        ({"affinity_cpus": 1}, True),
        ({"gpus": {"0": {"name": "H100"}}}, True),
        ({"blas": {"version": "2"}}, True),
        ({"versions": {**MACHINE["versions"], "torch": "2.12"}}, True),
        ({"versions": {**MACHINE["versions"], "numpy": "2.3"}}, True),
        ({"versions": {**MACHINE["versions"], "jax": "0.9"}}, False),
    ],
    ids=str,
)
def test_key_changes_with_the_machine_and_the_versions(fact, changes):
    """Any fact of the machine, numpy, and its own framework; not another framework."""
    assert (key(machine=MACHINE | fact) != key()) == changes


def test_key_changes_with_the_versions_of_companions():
    """A new jaxlib compiles otherwise, under the same jax."""
    case = cases.find("tiny_3x2x1-jax.jit-cpu-float64", SETTINGS)
    newer = MACHINE | {"versions": {**MACHINE["versions"], "jaxlib": "0.11"}}
    assert key(case, machine=newer) != key(case)


@pytest.mark.parametrize(
    ("name", "changes"), [("TORCHINDUCTOR_FREEZING", True), ("CXX", True), ("XLA_FLAGS", True), ("EDITOR", False)]
)
def test_key_changes_with_the_environment(monkeypatch, name, changes):
    """With variables that change libraries, and not with others."""
    before = key()
    monkeypatch.setenv(name, "1")
    assert (key() != before) == changes


def test_key_changes_with_the_compiler(monkeypatch, tmp_path):
    """An upgrade of the C++ compiler, which torch.compile starts, gives it another size or time."""
    compiler = tmp_path / "c++"
    compiler.write_text("#!/bin/sh\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    before = key()
    compiler.write_text("#!/bin/sh\n# newer\n")
    assert key() != before


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("frameworks/torch/training/autograd.py", True),
        ("frameworks/torch/by_autograd.py", True),
        ("frameworks/torch/network.py", True),
        ("frameworks/torch/runtime.py", True),
        ("frameworks/torch/__init__.py", True),
        ("frameworks/contract.py", True),
        ("problems/training.py", True),
        ("problems/problem.py", True),
        ("first_call/measure.py", True),
        ("first_call/memory.py", True),
        ("machine/threads.py", True),
        ("frameworks/torch/training/module.py", False),
        ("frameworks/jax/runtime.py", False),
        ("comparison/table.py", False),
        ("checks/conduct.py", False),
    ],
)
def test_key_changes_with_the_sources(tmp_path, file, changes):
    """All files that run in the process of the first call count, and no others: not another style."""
    copy = tmp_path / "gradperf"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    before = key(package=copy)
    assert before == key()
    with (copy / file).open("a") as changed:
        changed.write("\n# changed\n")
    assert (key(package=copy) != before) == changes


def test_all_that_is_imported_is_known():
    """What a process of the first call has imported of gradperf is what the sources say."""
    program = (
        "import sys; from gradperf.machine import threads; threads.bind(1)\n"
        "import gradperf.first_call.fresh_process as started\n"
        "import gradperf.checks.agreement, gradperf.first_call.memory\n"
        "import gradperf.frameworks.numpy.runtime, gradperf.frameworks.numpy.training.by_hand\n"
        "print(*(name for name in sys.modules if name.split('.')[0] == 'gradperf'))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    case = cases.find("tiny_3x2x1-numpy.by_hand-cpu-float64", SETTINGS)
    known = {f"gradperf.{name}".rstrip(".") for name in Keys(SETTINGS, MACHINE).modules(case)}
    folders = {"gradperf.frameworks.numpy.training"}  # without a file
    assert set(done.stdout.split()) - folders <= known


def test_every_module_has_its_imports():
    """Relative imports, a package's own file, and names in strings lead to modules that exist."""
    sources = Sources(PACKAGE)
    for module in sources.files:
        assert sources.imports(module) <= sources.files.keys(), module
    assert "checks.agreement" in sources.imports("first_call.fresh_process")


# Which first calls are remembered.

MONDAY, TUESDAY = "2026-11-23T08:00:00+00:00", "2026-11-24T08:00:00+00:00"


def save(folder, name, *benchmarks, age_s=0):
    """Write a record as pytest-benchmark does, ``age_s`` ago, and return its file."""
    folder.mkdir(exist_ok=True)
    file = folder / f"{name}.json"
    file.write_text(json.dumps({"benchmarks": list(benchmarks), "datetime": MONDAY}))
    then_s = datetime.now(UTC).timestamp() - age_s
    os.utime(file, (then_s, then_s))
    return file


def first(seconds=0.5, at=MONDAY, key="k", **info):
    return measured("torch.autograd", 1e-5, seconds, first_call_at=at, first_call_key=key, **info)


def test_newest_is_remembered(tmp_path):
    """Of the newest record that has the key."""
    save(tmp_path, "0001", first(1.0), age_s=30)
    save(tmp_path, "0002", first(2.0, TUESDAY), age_s=20)
    save(tmp_path, "0003", first(3.0, key="other"), age_s=10)
    found = Remembered(newest_records(tmp_path)).get("k")
    assert (found.first_call_s, found.first_call_at) == (2.0, TUESDAY)


def test_newest_in_one_record_is_remembered(tmp_path):
    """By its own time, as a record may hold what was measured long before."""
    save(tmp_path, "0001", first(1.0, TUESDAY), first(2.0, MONDAY))
    assert Remembered(newest_records(tmp_path)).get("k").first_call_s == 1.0


def test_records_are_read_until_a_key_is_found(tmp_path, monkeypatch):
    """A run like the last one reads one record."""
    for number in range(5):
        save(tmp_path, f"{number}", first(), age_s=number)
    read = []
    monkeypatch.setattr(
        first_calls.storage, "read", lambda file, real=first_calls.storage.read: read.append(file) or real(file)
    )
    remembered = Remembered(newest_records(tmp_path))
    assert remembered.get("k")
    assert [file.name for file in read] == ["0.json"]
    assert remembered.get("unknown") is None
    assert remembered.get("also unknown") is None
    assert len(read) == 5


def test_only_so_many_records_are_searched(tmp_path):
    """An old folder does not make a run slow."""
    for number in range(first_calls.MOST_RECORDS + 5):
        save(tmp_path, f"{number}", first(key=str(number)), age_s=number)
    remembered = Remembered(newest_records(tmp_path))
    assert remembered.get(str(first_calls.MOST_RECORDS - 1))
    assert remembered.get(str(first_calls.MOST_RECORDS)) is None


HARMFUL = {
    "empty": b"",
    "cut": b'{"benchmarks": [{"extra_info": {"first_call_key": "k"',
    "binary": bytes(range(256)),
    "deep": b"[" * 100_000,
    "digits": b'{"benchmarks": [{"extra_info": {"first_call_s": ' + b"1" * 10_000 + b"}}]}",
    "foreign": b'{"benchmarks": {"k": 1}}',
    "list": b"[]",
    "later": b'{"benchmarks": [], "gradperf": {"schema": 99}}',
    "no facts": b'{"benchmarks": [{"extra_info": null}, {"extra_info": {"first_call_key": "k"}}]}',
}


@pytest.mark.parametrize("content", HARMFUL.values(), ids=HARMFUL)
def test_damaged_records_do_no_harm(tmp_path, content):
    """They are passed over, and the record before them counts."""
    save(tmp_path, "0001", first(), age_s=10)
    (tmp_path / "0002.json").write_bytes(content)
    assert Remembered(newest_records(tmp_path)).get("k").first_call_s == 0.5


def test_what_is_no_file_does_no_harm(tmp_path):
    """A folder, a pipe that nobody writes to, a link to nothing, a file that is gone."""
    save(tmp_path, "0001", first(), age_s=10)
    (tmp_path / "0002.json").mkdir()
    os.mkfifo(tmp_path / "0003.json")
    (tmp_path / "0004.json").symlink_to(tmp_path / "nowhere")
    gone = save(tmp_path, "0005", first())
    records = newest_records(tmp_path)
    gone.unlink()
    assert Remembered(records).get("k").first_call_s == 0.5
    assert newest_records(tmp_path / "nowhere") == newest_records(None) == []


@pytest.mark.parametrize(
    "facts",
    [
        {"first_call_at": None},
        {"first_call_at": "yesterday"},
        {"first_call_at": "2026-11-23T08:00:00"},
        {"first_call_at": "2999-01-01T00:00:00+00:00"},  # in the future
        {"first_call_s": "0.5"},
        {"first_call_s": -1},
        {"memory_peak_bytes": None},
    ],
    ids=str,
)
def test_a_first_call_without_its_facts_is_not_remembered(tmp_path, facts):
    """Nor one that was measured in the future: the clock was wrong, and it would stay the newest."""
    one = first()
    one["extra_info"] |= facts
    save(tmp_path, "0001", one)
    assert Remembered(newest_records(tmp_path)).get("k") is None


@dataclass
class FakeTimed:
    """A first call that was timed; its memory is known at once."""

    first: FirstCall
    fails: bool = False
    started: int = 0

    def start_memory(self):
        """Count it."""
        self.started += 1

    def finish(self):
        """Return the first call, or fail."""
        assert self.started == 1
        if self.fails:
            raise NotMeasured("it crashed")
        return self.first


def facts_of(first_calls, case):
    """Return the facts of the first call of a case, as they are at the end of a run."""
    first_calls.begin(case)
    first_calls.finish()
    return first_calls.facts(case.id)


@pytest.fixture
def run(monkeypatch):
    """Return ``run(records, waited_s)``: the first calls of a run whose processes measure 7 s."""

    def start(records=(), waited_s=0.0, fails=None):
        calls = []

        def time_call(case, settings, processes):
            calls.append(case)
            if fails == "time":
                raise NotMeasured("it crashed")
            return FakeTimed(FirstCall(5.0, 2.0, waited_s, 1000, None, True, {}), fails=fails == "memory")

        monkeypatch.setattr("gradperf.first_call.measure.time_call", time_call)
        started = FirstCalls(SETTINGS, None, records)
        started.calls = calls
        return started

    return start


def as_record(facts):
    """Return a benchmark with these facts, as it is stored."""
    return record("torch.autograd", **facts)


def test_unknown_is_measured_then_remembered_with_its_date(run, tmp_path):
    """And recorded again, so that it outlives the record in which it was."""
    started = datetime.now(UTC).isoformat(timespec="seconds")
    facts = facts_of(run(), CASE)
    assert facts["first_call_s"] == 7.0
    assert started <= facts["first_call_at"] <= datetime.now(UTC).isoformat(timespec="seconds")
    facts["first_call_at"] = MONDAY
    for number in range(3):
        file = save(tmp_path, str(number), as_record(facts))
        later = run(newest_records(tmp_path))
        again = facts_of(later, CASE)
        assert again == facts
        assert later.calls == []
        file.unlink()
        facts = again


def test_no_records_measure_anew(run, tmp_path):
    """So does another case."""
    save(tmp_path, "1", as_record(facts_of(run(), CASE)))
    for records, case in (
        ((), CASE),
        (newest_records(tmp_path), cases.find("tiny_3x2x1-torch.module-cpu-float64", SETTINGS)),
    ):
        started = run(records)
        assert facts_of(started, case)["first_call_s"] == 7.0
        assert started.calls == [case]


def test_what_was_disturbed_is_shown_and_not_remembered(run, tmp_path):
    """It waited for a CPU for more than a tenth of its time."""
    facts = facts_of(run(waited_s=0.8), CASE)
    assert facts["first_call_s"] == 7.0
    assert facts["first_call_key"] is None
    save(tmp_path, "1", as_record(facts))
    started = run(newest_records(tmp_path), waited_s=0.6)
    assert facts_of(started, CASE)["first_call_key"]
    assert started.calls == [CASE]


@pytest.mark.parametrize("fails", ["time", "memory"])
def test_what_was_not_measured_is_not_remembered(run, tmp_path, fails):
    """The next run tries again."""
    started = run(fails=fails)
    assert facts_of(started, CASE) == {}
    assert started.lines() == ["gradperf: no first call, no memory: it crashed"]
    save(tmp_path, "1", as_record({}))
    assert facts_of(run(newest_records(tmp_path)), CASE)["first_call_s"] == 7.0


def test_memory_is_measured_beside_the_next_case(run):
    """It starts when that is checked, and is waited for; what is left at the end is measured too."""
    started = run()
    started.begin(CASE)
    timed = started._timed.call
    assert (timed.started, started.facts(CASE.id)) == (0, {})
    started.wait()
    assert timed.started == 0
    started.go_on()
    assert (timed.started, started.measured) == (1, 0)
    started.wait()
    started.wait()
    assert (started.measured, started.facts(CASE.id)["memory_peak_bytes"]) == (1, 1000)
    other = cases.find("tiny_3x2x1-torch.module-cpu-float64", SETTINGS)
    started.begin(other)
    started.begin(CASE)  # the launcher is asked one thing at a time
    assert started.facts(other.id)["memory_peak_bytes"] == 1000
    started.finish()
    assert started.measured == 3


def test_the_table_dates_first_calls():
    """One day, or the first and the last; nothing about records that do not have it."""
    assert "first calls and memory were measured on 2026-11-23" in lines([first()])
    both = lines([first(at=TUESDAY), first(at=MONDAY), measured("numpy.by_hand", 1e-5, 1)])
    assert "first calls and memory were measured from 2026-11-23 to 2026-11-24" in both
    assert not any("were measured" in line for line in lines([measured("numpy.by_hand", 1e-5, 1)]))
    assert not any("were measured" in line for line in lines([first(part="forward")]))


def test_times_are_read_in_utc():
    """So the order of their texts is the order of the times."""
    one = read_benchmark(first(at="2026-11-23T08:00:00.5+09:00"))
    assert one.facts.first_call_at == "2026-11-22T23:00:00+00:00"
    for wrong in ("0001-01-01T00:00:00+14:00", 5, [], "x" * 10_000):
        assert read_benchmark(first(at=wrong)).facts.first_call_at is None


# Whole runs.

FEW = (ROOT / "perf" / "test_derivative.py", "--framework", "numpy", "--benchmark-max-time=0.01")


def stored(folder):
    """Return the facts of the only case in each record, the oldest first."""
    files = sorted((folder / "results").glob("*/*.json"))
    return [json.loads(file.read_text())["benchmarks"][0]["extra_info"] for file in files]


@pytest.fixture
def undisturbed(tmp_path):
    """Return a plugin for which nothing is disturbed, however busy this machine is, and the folder it lies in."""
    (tmp_path / "undisturbed.py").write_text(
        "import gradperf.machine.threads\n"
        "gradperf.machine.threads.bind(1)\n"
        "from gradperf.first_call.measure import FirstCall\n"
        "FirstCall.disturbed = False\n"
    )
    return ("-p", "undisturbed"), tmp_path


def test_a_run_remembers_the_last_one(run_pytest, tmp_path, undisturbed):
    """With its date and numbers; ``--first-calls`` measures anew; ``--no-first-calls`` shows none."""
    plugin, folder = undisturbed

    def run(*options):
        done = run_pytest(*FEW, *plugin, *options, extra_path=folder)
        assert done.returncode == 0, done.stdout
        return done.stdout

    assert "remembered" not in run()
    (file,) = (tmp_path / "results").glob("*/*.json")
    content = json.loads(file.read_text())
    content["benchmarks"][0]["extra_info"] |= {"first_call_at": MONDAY, "first_call_s": 123.0}
    file.write_text(json.dumps(content))
    again = run()
    assert "1 of 1 first calls are remembered; --first-calls measures all anew" in again
    assert "first calls and memory were measured on 2026-11-23" in again
    assert "2026-11-23" not in run("--first-calls")
    assert "were measured" not in run("--no-first-calls")
    first, again, anew, none = stored(tmp_path)
    assert (again["first_call_s"], again["first_call_at"]) == (123.0, MONDAY)
    assert again["first_call_key"]
    assert again["first_call_key"] == first["first_call_key"] == anew["first_call_key"]
    assert anew["first_call_s"] < 100
    assert anew["first_call_at"] > MONDAY
    assert none["first_call_s"] is none["first_call_at"] is none["first_call_key"] is None


def test_both_options_are_refused(run_pytest):
    """One says the opposite of the other."""
    done = run_pytest(*FEW, "--first-calls", "--no-first-calls")
    assert done.returncode == 4
    assert "--first-calls asks for what --no-first-calls leaves out; give only one of them" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
