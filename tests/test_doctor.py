"""The doctor's estimates are right, each fault is reported, and the command leaves no process behind."""

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
from statistics import fmean

import numpy as np
import pytest

from gradperf.comparison import changes
from gradperf.doctor import examination, noise, report
from gradperf.doctor.noise import Noise
from gradperf.gate.decision.trial import Plan
from gradperf.machine import load
from gradperf.machine.cpus import Cpus
from gradperf.pairs.turns import Value
from gradperf.stats import p_slower
from gradperf.text.quantities import percent
from gradperf.timing.estimate import HIDDEN_ERROR, SPREAD_SHARE
from gradperf.timing.lengths import Lengths
from gradperf.timing.moment import Moment
from tests.conftest import run_process

# --- estimates ---


def beyond_margin(found):
    """Return the smallest slowdown of the gate beyond its margin of 1 %, as a log-ratio."""
    return math.log1p(found.smallest_gate) - math.log(1.01)


def moments(*factors, reference_s=1e-5):
    """Return moments with calls of 50 steps of 10 µs and of 5, which took longer by these factors."""
    return tuple(
        Moment("2026-01-01T00:00:00+00:00", "second", factor * 52e-5, factor * 7e-5, 90, 9, 0.98, reference_s)
        for factor in factors
    )


def noise_of(gate_log_ratios, factors=(1.0, 1.0, 1.0, 1.0), case="case"):
    return Noise(case, Lengths(50, 5), moments(*factors), tuple(gate_log_ratios))


def test_known_spread_of_pairs_gives_a_known_change():
    """A spread of 1 %, estimated from many pairs: 1 % + (2.500 + 1.714)·1 %/√24."""
    draw = np.random.default_rng(1)
    found = noise_of(draw.normal(0, 0.01, 4000))
    assert beyond_margin(found) == pytest.approx(4.2137 * 0.01 / math.sqrt(24), rel=0.05)


def test_runs_are_made_of_moments_far_apart():
    """Four moments each, as in a run of ``pytest perf``; what is left over makes a run longer."""
    found = noise_of((0.0, 0.0), factors=[1 + number / 100 for number in range(9)])
    assert len(found.runs) == 2
    assert [run.step_s for run in found.runs] == pytest.approx([1.00e-5, 1.01e-5])  # even moments, odd ones
    error = math.hypot(HIDDEN_ERROR, SPREAD_SHARE * math.log(1.02))  # the second fastest is 2 % slower
    assert [run.error for run in found.runs] == pytest.approx([error, error], rel=0.02)
    assert len(noise_of((0.0, 0.0), factors=(1.0, 1.1)).runs) == 1


def test_two_stored_runs_show_the_smallest_change():
    """Of 40 equal cases, one run in 100 calls any slower; that change of one is found in 80 of 100."""
    found = noise_of((0.0, 0.0), factors=(1.0, 1.0, 1.01, 1.01, 1.02, 1.02, 1.03, 1.03))
    error = found.stored_error
    assert error == pytest.approx(math.hypot(HIDDEN_ERROR, SPREAD_SHARE * math.log(1.01)), rel=0.1)
    draw = np.random.default_rng(3)
    one, other = draw.normal(0, error, (2, 20_000, noise.RUN_CASES))
    width = changes.width(noise.RUN_CASES) * math.sqrt(2) * error
    assert (one - other > width).any(axis=1).mean() == pytest.approx(0.01, abs=0.003)
    slower = one[:, 0] - other[:, 0] + math.log1p(found.smallest_stored)
    assert (slower > width).mean() == pytest.approx(0.8, abs=0.01)
    assert noise.RUN_CASES == 40


def test_disturbed_moments_make_stored_runs_careful():
    """If no other moment reached the fastest time, perhaps none reached the true one."""
    steady = noise_of((0.0, 0.0), factors=(1.0, 1.001, 1.002, 1.003))
    assert noise_of((0.0, 0.0), factors=(1.0, 1.1, 1.2, 1.3)).smallest_stored > 1.5 * steady.smallest_stored


def test_few_pairs_make_the_gate_careful():
    """Two pairs that agree with each other, and not with 0, are no proof of a small spread."""
    few = noise_of((0.024, 0.027))
    assert few.gate_sigma == pytest.approx(0.02555, rel=1e-3)
    assert beyond_margin(few) > 2 * beyond_margin(noise_of((0.02555,) * 24))


def test_gate_sees_the_smallest_change_in_95_of_100():
    """And alarms in 1 of 100 at its margin: the gate's own test on its own number of pairs, 4,000 times each."""
    draw, sigma, plan = np.random.default_rng(2), 0.02, Plan()
    change = math.log1p(noise_of((sigma,) * 24).smallest_gate)

    def alarms(slower):
        runs = draw.normal(slower, sigma, (4000, plan.confirm)).tolist()
        return fmean(p_slower(values, plan.margin) <= plan.alpha for values in runs)

    assert alarms(plan.margin) == pytest.approx(0.01, abs=0.005)
    assert alarms(change) == pytest.approx(0.95, abs=0.02)


# --- measuring ---


def test_each_kind_of_measurement_is_repeated(monkeypatch):
    """Two processes and two pairs whatever time it takes; more while they fit; each case keeps its own values."""

    def pair(first, second, settings, coin, *, equal_calls, show):
        assert first == second
        show("timing")
        assert equal_calls
        return [Value(0.01 * number, 1.0, 1.0, (None, None)) for number, _ in enumerate(first.cases)]

    def take(cases, settings, lengths, coin):
        assert lengths == dict.fromkeys(cases, Lengths(50, 5))
        return dict.fromkeys(cases, moments(1.0)[0])

    monkeypatch.setattr(noise, "_prepared", lambda case, settings: (case, 50))
    monkeypatch.setattr(noise, "choose", lambda call, most: Lengths(50, 5))
    monkeypatch.setattr(noise, "moments", take)
    monkeypatch.setattr(noise, "measure", pair)
    shown = []
    one, other = noise.measure_noise(["a", "b"], 1, -1.0, shown.append)
    assert shown[-2:] == ["as stored runs do, process 2: timing 2 cases", "as the gate does, pair 2: timing"]
    assert (one.case, one.moments, one.gate_log_ratios) == ("a", moments(1.0, 1.0), (0.0, 0.0))
    assert (other.case, other.gate_log_ratios) == ("b", (0.01, 0.01))
    assert len(noise.measure_noise(["a"], 1, 0.05)[0].moments) > 2


# --- judging ---

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LIBRARY = {"version": "0.3", "architecture": "Zen", "threading_layer": "pthreads", "num_threads": 1}
HEALTHY = examination.Examination(
    threads=1,
    waiting=None,
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
    noise=(
        noise_of((0.0, 0.01) * 10, (1.0,) * 5 + (1.05,) * 15, case="two_layer"),
        noise_of((0.0, 0.03) * 10, (1.0,) * 20, case="tiny"),
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
    "governor": ({"cpus": replace(HEALTHY.cpus, governor="powersave")}, "The governor 'powersave'"),
    "coarse timer": ({"timer": examination.Timer(1.5e-2, 1e-7, monotonic=True)}, "steps of 15 ms"),
    "dead timer": ({"timer": examination.Timer(None, 0.0, monotonic=True)}, "steps of more than was waited for"),
    "timer that goes back": ({"timer": examination.Timer(4e-8, 5e-8, monotonic=False)}, "may go back"),
    "unbound BLAS": (
        {"blas": {**HEALTHY.blas, "loaded": {"openblas": {**LIBRARY, "num_threads": 2}}}},
        "openblas runs 2 threads instead of 1",
    ),
    "few processes": (
        {"noise": tuple(replace(s, gate_log_ratios=s.gate_log_ratios[:4]) for s in HEALTHY.noise)},
        "Only 4 processes",
    ),
}


def test_healthy_machine_is_not_warned_about():
    assert report.warnings(HEALTHY) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_told(fault):
    """By a warning of its own, in the text and in the record alike."""
    changed, words = FAULTS[fault]
    sick = replace(HEALTHY, **changed)
    reported = [warning for warning in report.warnings(sick) if words in warning]
    assert len(reported) == 1, report.warnings(sick)
    assert words in " ".join(" ".join(report.lines(sick)).split())
    assert report.record(sick)["warnings"] == report.warnings(sick)


def test_verdict_is_that_of_the_worst_case():
    """What it says can be shown must hold for every case that was measured."""
    stored, gate = HEALTHY.noise[0].smallest_stored, HEALTHY.noise[1].smallest_gate
    assert stored > HEALTHY.noise[1].smallest_stored
    assert gate > HEALTHY.noise[0].smallest_gate
    assert report.sentence(HEALTHY) == (
        f"Two stored runs of 40 cases here cannot show a change below {100 * stored:.0f} %; "
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
    text = "\n".join(report.lines(nothing))
    assert "None" not in text
    assert text.count("not known here") == 4
    assert json.dumps(report.record(nothing), allow_nan=False)


def test_timer_of_this_machine():
    """A reading takes some time, and a step is no shorter than the clock can tell."""
    found = examination.examine_timer(10_000)
    assert found.monotonic
    assert found.step_s > 0
    assert 0 < found.call_s < 1


def test_timer_that_goes_back(monkeypatch):
    """A planted one is found out."""
    readings = iter([step * 1e-3 - (step == 50) * 1e-2 for step in range(100)])
    monkeypatch.setattr(examination.time, "perf_counter", lambda: next(readings))
    found = examination.examine_timer(100)  # in ten batches: it goes back between two of them
    assert not found.monotonic
    assert found.step_s == pytest.approx(1e-3)


# --- the command ---


@pytest.fixture(scope="module")
def examined(tmp_path_factory):
    """Return what the command printed and wrote, with as little time as it takes."""
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
        r"Two stored runs of 40 cases here cannot show a change below \S+ %; the gate can show \S+ %\.", text
    )
    assert record["sentence"] in text
    assert percent(record["smallest_stored"]) in record["sentence"]
    assert percent(record["smallest_gate"]) in record["sentence"]
    for case in record["spreads"]:
        taken = tuple(Moment(**moment) for moment in case["moments"])
        again = Noise(case["case"], Lengths(**case["lengths"]), taken, tuple(case["gate_log_ratios"]))
        assert again.smallest_stored == pytest.approx(case["smallest_stored"])
        assert again.smallest_gate == pytest.approx(case["smallest_gate"])


def test_doctor_admits_how_little_it_measured(examined):
    done, record = examined
    count = len(record["spreads"][0]["moments"])
    assert count >= 2
    assert (f"Only {count} processes" in done.stdout) == (count < examination.ENOUGH)
    assert (f"guesses, from {count} of each." in record["sentence"]) == (count < examination.ENOUGH)


def test_doctor_fits_into_80_columns(examined):
    done, _ = examined
    report = done.stdout.splitlines()[:-1]  # the last one is the user's own path
    assert [line for line in report if len(line) > 80] == []
    assert re.fullmatch(r"(gradperf doctor: \d+ s, .*\n)*", done.stderr)  # a line every ten seconds


def test_doctor_tells_how_idle_threads_wait():
    """If there are several; a single one never waits."""
    assert "idle" not in " ".join(report.lines(HEALTHY))
    several = replace(HEALTHY, threads=2, waiting="idle threads soon sleep")
    assert "2, set by gradperf, idle threads soon sleep; before" in " ".join(report.lines(several))
    assert report.record(several)["threads"]["waiting"] == "idle threads soon sleep"


def test_doctor_tells_variables_as_they_were_and_threads_as_they_are(examined):
    done, record = examined
    assert record["threads"]["asked"] == 1
    assert record["threads"]["variables_found"]["OMP_NUM_THREADS"] == "2"
    assert "OMP_NUM_THREADS=2" in done.stdout
    assert all(library["num_threads"] == 1 for library in record["blas"]["loaded"].values())
    assert record["cpus"]["measured"] > 0
    assert record["versions"]["numpy"] == np.__version__


@pytest.mark.parametrize(
    ("arguments", "reported"),
    [
        (("--seconds", "4"), "argument --seconds: expected a whole number of at least 5, not '4'"),
        (("--seconds", "soon"), "not 'soon'"),
        (("--threads", "0"), "argument --threads: expected a whole number of at least 1"),
        (("--json", "missing/doctor.json"), "cannot write missing/doctor.json"),
    ],
)
def test_bad_options_are_refused_before_anything_is_measured(run_gradperf, arguments, reported):
    done = run_gradperf("doctor", *arguments)
    assert done.returncode == 2
    assert reported in done.stderr
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
