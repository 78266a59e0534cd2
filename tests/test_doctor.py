"""The doctor's estimates hold what they say, each fault is told, and the command leaves no process behind."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from gradperf.case_pairs.worker import Worker
from gradperf.doctor import examination, spread
from gradperf.errors import UserError
from gradperf.gate.measuring.replicate import TURNS
from gradperf.gate.measuring.worker import cpus
from gradperf.machine import load
from gradperf.machine.cpus import Cpus
from tests.conftest import run_process

# --- estimates ---


def test_known_spreads_give_known_changes():
    """Spreads of 5 % and 1 %, estimated from many processes: 1.96·√2·5 %, and (2.500 + 1.714)·1 %/√24."""
    draw = np.random.default_rng(1)
    found = spread.Spread(
        "case",
        tuple(0.003 * np.exp(draw.normal(0, 0.05, 4000))),
        tuple(draw.normal(0, 0.01, 4000)),
    )
    assert math.log1p(found.smallest_stored) == pytest.approx(1.960 * math.sqrt(2) * 0.05, rel=0.05)
    assert math.log1p(found.smallest_gate) == pytest.approx(4.2137 * 0.01 / math.sqrt(24), rel=0.05)


@pytest.mark.parametrize("processes", [3, 10, 30])
def test_two_stored_runs_differ_by_less_in_95_of_100(processes):
    """Also where the spread itself is known from few processes only."""
    draw = np.random.default_rng(processes)
    below = 0
    for _ in range(1500):
        medians_s = np.exp(draw.normal(-5, 0.1, processes))
        estimate = spread.Spread("case", tuple(medians_s), (0.0, 0.0)).smallest_stored
        one, other = draw.normal(-5, 0.1, 2)
        below += abs(one - other) < math.log1p(estimate)
    assert below / 1500 == pytest.approx(0.95, abs=0.017)  # three standard errors


def test_few_pairs_make_the_gate_careful():
    """Two pairs that agree with each other, and not with 0, are no proof of a small spread."""
    few = spread.Spread("case", (1.0, 1.0), (0.024, 0.027))
    assert few.gate_sigma == pytest.approx(0.02555, rel=1e-3)
    assert few.smallest_gate > 2 * spread.Spread("case", (1.0, 1.0), (0.02555,) * 24).smallest_gate


def test_gate_sees_the_smallest_change_in_95_of_100():
    """And alarms in 1 of 100 without any: a t test on 24 pairs, 10,000 times each."""
    draw, sigma = np.random.default_rng(2), 0.02
    change = math.log1p(spread.Spread("case", (1.0, 1.0), (sigma,) * 24).smallest_gate)

    def alarms(slower):
        values = draw.normal(slower, sigma, (10_000, 24))
        t = values.mean(axis=1) / (values.std(axis=1, ddof=1) / math.sqrt(24))
        return (t > 2.49987).mean()

    assert alarms(0.0) == pytest.approx(0.01, abs=0.004)
    assert alarms(change) == pytest.approx(0.95, abs=0.015)


# --- measuring ---


class Scripted:
    """A worker whose second process is 10 % slower, on a machine that gets slower at every turn."""

    started = 0
    drift = 1.0
    orders: list = []  # noqa: RUF012 - emptied by each test

    def __init__(self):
        """Count the processes."""
        self.number = Scripted.started = Scripted.started + 1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def send(self, *order):
        """Write the order down."""
        self.orders.append((self.number, *order))

    def answer(self):
        """Tell a time for anything."""
        Scripted.drift *= 1.001
        call_s = 0.001 * Scripted.drift * (1.1 if self.number == 2 else 1)
        return {"call_s": call_s, "median_s": call_s}

    def ask(self, *order):
        """Do both."""
        self.send(*order)
        return self.answer()


@pytest.fixture
def scripted(monkeypatch):
    monkeypatch.setattr(Scripted, "started", 0)
    monkeypatch.setattr(Scripted, "drift", 1.0)
    monkeypatch.setattr(Scripted, "orders", [])
    monkeypatch.setattr(spread, "Worker", Scripted)
    return Scripted.orders


@pytest.mark.parametrize("seed", range(6))
def test_pair_takes_balanced_turns_of_equal_length(scripted, seed):
    """Each side begins equally often, so the drift cancels and the 10 % are seen, with either sign."""
    coin = spread.random.Random(seed)
    found = spread.process_pair(["case"], 1, coin)["case"]
    assert abs(found) == pytest.approx(math.log(1.1), abs=0.0005)
    turns = [order for order in scripted if order[1] == "turn"]
    assert len(turns) == 2 * TURNS
    assert len({count for _, _, count in turns}) == 1
    begins = [number for number, *_ in turns[::2]]
    assert begins.count(1) == begins.count(2) == TURNS // 2


def test_roles_of_a_pair_are_drawn(scripted):
    """The one launched first is not always the first side, nor do turns come in an order that could be guessed."""
    signs = set()
    for seed in range(20):
        Scripted.started = 0
        signs.add(spread.process_pair(["case"], 1, spread.random.Random(seed))["case"] > 0)
    assert signs == {True, False}
    begins = [number for number, *_ in [order for order in scripted if order[1] == "turn"][::2]]
    assert len({tuple(begins[k : k + TURNS]) for k in range(0, len(begins), TURNS)}) == 20


@pytest.mark.parametrize("threads", [1, 2])
def test_pair_takes_its_turns_on_one_cpu(scripted, monkeypatch, threads):
    """Both sides are kept on the same CPU before their turns; not where they compute in several threads."""
    monkeypatch.setattr(spread, "cpus", lambda: [4, 6])
    kept = set()
    for seed in range(10):
        scripted.clear()
        Scripted.started = 0
        spread.process_pair(["case"], threads, spread.random.Random(seed))
        orders = [order[1:] for order in scripted]
        cpus = [number for what, number, *_ in orders if what == "cpu"]
        kept |= set(cpus)
        if threads == 1:
            assert len(cpus) == 2
            assert len(set(cpus)) == 1
            first = next(place for place, order in enumerate(orders) if order[0] == "turn")
            assert {order[0] for order in orders[:first]} == {"prepare", "cpu"}
            assert {number for number, what, *_ in scripted if what == "cpu"} == {1, 2}
    assert kept == ({4, 6} if threads == 1 else set())


@pytest.mark.skipif(len(cpus()) < 2, reason="it takes two CPUs on which a process can be kept")
def test_process_stays_on_its_cpu():
    """A measuring process is kept on the CPU that was ordered, until it prepares its next case."""
    with Worker() as worker:
        everywhere = os.sched_getaffinity(worker._process.pid)
        for cpu in everywhere:
            worker.ask("cpu", cpu)
            assert os.sched_getaffinity(worker._process.pid) == {cpu}
        worker.ask("prepare", "matmul_64x64x64-numpy.operator-cpu-float32", 1)
        assert os.sched_getaffinity(worker._process.pid) == everywhere


def test_stored_run_takes_as_many_rounds_as_pytest_would(scripted):
    """0.2 s of calls that take a millisecond, in one fresh process for all cases."""
    assert spread.stored_run(["a", "b"], 1).keys() == {"a", "b"}
    assert [order[1:] for order in scripted] == [
        ("prepare", "a", 1),
        ("rounds", 200),
        ("prepare", "b", 1),
        ("rounds", 199),
    ]


def test_two_of_each_whatever_time_it_takes(scripted):
    """And no more than fit, where time is short."""
    (found,) = spread.measured(["case"], 1, -1.0)
    assert len(found.stored_s) == len(found.gate_log_ratios) == 2


def test_worker_obeys(tmp_path, monkeypatch):
    """It computes the case that it was given, answers in order, and is not misled by what lies where it starts."""
    (tmp_path / "numpy.py").write_text("raise SystemExit('not the numpy that was meant')")
    monkeypatch.chdir(tmp_path)
    with Worker() as worker:
        worker.send("prepare", "tiny_3x2x1-numpy.by_hand-cpu-float32", 1)
        worker.send("turn", 2)
        worker.send("rounds", 3)
        answers = [worker.answer() for _ in range(3)]
        assert [set(answer) for answer in answers] == [{"call_s"}, {"call_s"}, {"median_s"}]
        assert all(0 < value < 10 for answer in answers for value in answer.values())
        busy = worker.ask("busy", 0.05)
        assert 0 < busy["cpu_s"] <= busy["wall_s"] * 1.1
        assert busy["wall_s"] >= 0.05


@pytest.mark.parametrize(
    ("order", "told"),
    [
        (("turn", 1), "cannot obey 'turn 1'"),
        (("dance",), "cannot obey 'dance'"),
        (("prepare", "tiny_3x2x1-numpy.by_foot-cpu-float32", 1), "by_foot"),
        (("prepare", "nothing", "many"), "ended by itself, with exit code 1"),
    ],
)
def test_worker_tells_why_it_cannot(order, told, capfd):
    with pytest.raises(UserError, match=re.escape(told)), Worker() as worker:
        worker.ask(*order)


# --- judging ---

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LIBRARY = {"version": "0.3", "architecture": "Zen", "threading_layer": "pthreads", "num_threads": 1}
HEALTHY = examination.Examined(
    threads=1,
    start=load.Moment(NOW, 0.1, load.CpuTimes(0, 0)),
    end=load.Moment(NOW + timedelta(seconds=60), 1.0, load.CpuTimes(1000, 5)),
    cpus=Cpus("AMD EPYC", 4, 2, None, "performance"),
    processes=2,
    measured_cpus=1.97,
    memory_bytes=2**34,
    gpus=None,
    timer=examination.Timer(4e-8, 5e-8, monotonic=True),
    variables={},
    blas={"name": "openblas", "version": "0.3", "configuration": None, "loaded": {"openblas": LIBRARY}},
    versions={"numpy": "2.4.6"},
    spreads=(
        spread.Spread("two_layer", (1.0, 1.1, 1.0, 1.1, 1.0) * 4, (0.0, 0.01) * 10),
        spread.Spread("tiny", (1.0, 1.02, 1.0, 1.02, 1.0) * 4, (0.0, 0.03) * 10),
    ),
)
FAULTS = {
    "load": ({"start": replace(HEALTHY.start, load=2.5)}, "The load was 2.5 before this began"),
    "other work": ({"measured_cpus": 1.5}, "2 busy processes got 1.50 CPUs, and 2 were promised"),
    "threads": (
        {"threads": 2, "cpus": replace(HEALTHY.cpus, quota=1.5)},
        "2 threads asked for, and 1.5 effective CPUs there",
    ),
    "steal": ({"end": replace(HEALTHY.end, cpu_times=load.CpuTimes(1000, 20))}, "The host took 2.0 %"),
    "governor": ({"cpus": replace(HEALTHY.cpus, governor="powersave")}, "the governor 'powersave'"),
    "coarse timer": ({"timer": examination.Timer(1.5e-2, 1e-7, monotonic=True)}, "steps of 15 ms"),
    "dead timer": ({"timer": examination.Timer(None, 0.0, monotonic=True)}, "steps of more than was waited for"),
    "timer that goes back": ({"timer": examination.Timer(4e-8, 5e-8, monotonic=False)}, "may go back"),
    "unbound BLAS": (
        {"blas": {**HEALTHY.blas, "loaded": {"openblas": {**LIBRARY, "num_threads": 2}}}},
        "openblas runs 2 threads instead of 1",
    ),
    "few processes": (
        {"spreads": tuple(spread.Spread(s.case, s.stored_s[:5], s.gate_log_ratios[:4]) for s in HEALTHY.spreads)},
        "Only 4 processes",
    ),
}


def test_healthy_machine_is_not_warned_about():
    assert examination.warnings(HEALTHY) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_told(fault):
    """By a warning of its own, in the text and in the record alike."""
    changed, words = FAULTS[fault]
    sick = replace(HEALTHY, **changed)
    told = [warning for warning in examination.warnings(sick) if words in warning]
    assert len(told) == 1, examination.warnings(sick)
    assert words in " ".join(" ".join(examination.told(sick)).split())
    assert examination.record(sick)["warnings"] == examination.warnings(sick)


def test_verdict_is_that_of_the_worst_case():
    """What it says can be shown must hold for every case that was measured."""
    stored, gate = HEALTHY.spreads[0].smallest_stored, HEALTHY.spreads[1].smallest_gate
    assert stored > HEALTHY.spreads[1].smallest_stored
    assert gate > HEALTHY.spreads[0].smallest_gate
    assert examination.sentence(HEALTHY) == (
        f"Comparing stored runs here cannot show a change below {100 * stored:.0f} %; "
        f"the gate can show {100 * gate:.1f} %."
    )


def test_facts_that_are_not_known_are_said_to_be_unknown():
    """Nothing raises, and no None is shown."""
    nothing = replace(
        HEALTHY,
        start=load.Moment(NOW, None, None),
        end=load.Moment(NOW, None, None),
        cpus=Cpus(None, None, None, None, None),
        memory_bytes=None,
        blas=None,
        versions={},
        timer=examination.Timer(None, 0.0, monotonic=False),
    )
    text = "\n".join(examination.told(nothing))
    assert "None" not in text
    assert text.count("not told here") == 4
    assert json.dumps(examination.record(nothing), allow_nan=False)


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (7e6, ">999 %"),
        (9.99, "999 %"),
        (1.1, "110 %"),
        (0.123, "12 %"),
        (0.0996, "10 %"),
        (0.0994, "9.9 %"),
        (0.001, "0.1 %"),
        (0.0005, "0.05 %"),
        (0, "0 %"),
    ],
)
def test_percent(share, text):
    assert examination.percent(share) == text


def test_timer_of_this_machine():
    """A reading takes some time, and a step is no shorter than the clock can tell."""
    found = examination.timer(10_000)
    assert found.monotonic
    assert found.step_s > 0
    assert 0 < found.call_s < 1


def test_timer_that_goes_back(monkeypatch):
    """A planted one is found out."""
    readings = iter([step * 1e-3 - (step == 50) * 1e-2 for step in range(100)])
    monkeypatch.setattr(examination.time, "perf_counter", lambda: next(readings))
    found = examination.timer(100)  # in ten batches: it goes back between two of them
    assert not found.monotonic
    assert found.step_s == pytest.approx(1e-3)


# --- the command ---


@pytest.fixture(scope="module")
def examined(tmp_path_factory):
    """Give what the command printed and wrote, with as little time as it takes."""
    folder = tmp_path_factory.mktemp("doctor")
    command = [sys.executable, "-m", "gradperf", "doctor", "--seconds", "5", "--json", str(folder / "doctor.json")]
    done = run_process(command, folder, "", {"OMP_NUM_THREADS": "2"})
    assert done.returncode == 0, done.stdout + done.stderr
    return done, json.loads((folder / "doctor.json").read_text())


def test_doctor_ends_with_the_plain_sentence(examined):
    """The same words and numbers as in the JSON."""
    done, record = examined
    text = " ".join(done.stdout.split())
    assert re.search(
        r"Comparing stored runs here cannot show a change below \S+ %; the gate can show \S+ %\.", text
    )
    assert record["sentence"] in text
    assert examination.percent(record["smallest_stored"]) in record["sentence"]
    assert examination.percent(record["smallest_gate"]) in record["sentence"]
    for case in record["spreads"]:
        again = spread.Spread(case["case"], tuple(case["stored_s"]), tuple(case["gate_log_ratios"]))
        assert again.smallest_stored == pytest.approx(case["smallest_stored"])
        assert again.smallest_gate == pytest.approx(case["smallest_gate"])


def test_doctor_admits_how_little_it_measured(examined):
    done, record = examined
    count = len(record["spreads"][0]["stored_s"])
    assert count >= 2
    assert (f"Only {count} processes" in done.stdout) == (count < examination.ENOUGH)
    assert (f"guesses, from {count} of each." in record["sentence"]) == (count < examination.ENOUGH)


def test_doctor_fits_into_80_columns(examined):
    done, _ = examined
    report = done.stdout.splitlines()[:-1]  # the last one is the user's own path
    assert [line for line in report if len(line) > 80] == []
    assert done.stderr == ""


def test_doctor_tells_variables_as_they_were_and_threads_as_they_are(examined):
    done, record = examined
    assert record["threads"]["asked"] == 1
    assert record["threads"]["variables_found"]["OMP_NUM_THREADS"] == "2"
    assert "OMP_NUM_THREADS=2" in done.stdout
    assert all(library["num_threads"] == 1 for library in record["blas"]["loaded"].values())
    assert record["cpus"]["measured"] > 0
    assert record["versions"]["numpy"] == np.__version__


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--seconds", "4"), "--seconds takes a whole number from 5 up, not '4'"),
        (("--seconds", "soon"), "not 'soon'"),
        (("--threads", "0"), "--threads takes a whole number from 1 up"),
        (("--json", "missing/doctor.json"), "cannot write missing/doctor.json"),
    ],
)
def test_bad_options_are_refused_before_anything_is_measured(run_gradperf, arguments, told):
    done = run_gradperf("doctor", *arguments)
    assert done.returncode == 2
    assert told in done.stderr
    assert "measuring" not in done.stdout
    assert "Traceback" not in done.stderr


def children(parent):
    """Pids of the processes that ``parent`` started and that are no zombies."""
    found = set()
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, ppid = file.read_text().rpartition(")")[2].split()[:2]
        except OSError:  # it ended meanwhile
            continue
        if int(ppid) == parent and state != "Z":
            found.add(int(file.parent.name))
    return found


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition):
    """Wait for what takes no time on an idle machine, and may take a while on this one."""
    for _ in range(1200):
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("waited for a minute")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_no_process_is_left_behind(tmp_path, sent, code):
    """After Ctrl-C, which a terminal sends to the whole group, and after a kill without a chance to tidy up."""
    command = [sys.executable, "-m", "gradperf", "doctor"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=tmp_path, process_group=0, **pipes) as run:
        started = wait_for(lambda: children(run.pid))
        time.sleep(0.5)  # now they are busy, and would complain about a Ctrl-C of their own
        os.killpg(run.pid, sent)
        started |= children(run.pid)
        _, errors = run.communicate(timeout=60)
    assert run.returncode == code
    assert "Traceback" not in errors
    wait_for(lambda: not any(map(alive, started)))
