"""A run of ``pytest perf`` takes each case at several moments, and records them."""

import json
import sys
from collections import Counter
from dataclasses import fields
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from gradperf.cases import Settings
from gradperf.records.facts import SCHEMA, read_benchmark
from gradperf.suite import moments
from gradperf.timing.estimate import HIDDEN_ERROR, estimate, unrest
from gradperf.timing.moment import LEAST_ROUNDS, Moment
from tests.conftest import ROOT, run_process

ONE = ("--framework", "numpy", "--problem", "tiny_3x2x1", "--no-first-calls", "--benchmark-max-time=0.01")
MOMENTS = 4


def run(folder, *options, extra_path="", test="test_training.py", one=ONE):
    """Run the trainings in a process; return it and the one record that it wrote."""
    command = [sys.executable, "-m", "pytest", str(ROOT / "perf" / test), *one, *options, "-p", "no:cacheprovider"]
    command += [f"--benchmark-storage=file://{folder / 'results'}"]
    done = run_process(command, folder, extra_path, {})
    (file,) = (folder / "results").rglob("*.json")
    return done, json.loads(file.read_text())


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Return the process and its record."""
    return run(tmp_path_factory.mktemp("moments"))


def test_each_case_has_its_moments(recorded):
    """Four of them, half in this process and half in the second one, with all that is known of each.

    More only on a machine that was slow meanwhile.
    """
    done, record = recorded
    assert done.returncode == 0, done.stdout
    assert record["gradperf"]["schema"] == SCHEMA == 2
    assert len(record["benchmarks"]) > 2
    for benchmark in record["benchmarks"]:
        taken = benchmark["extra_info"]["moments"]
        assert Counter(moment["process"] for moment in taken) >= Counter(main=2, second=2)
        for moment in taken:
            assert moment.keys() == {field.name for field in fields(Moment)}
            assert datetime.fromisoformat(moment["at"]).tzinfo == UTC
            assert moment["rounds"] >= LEAST_ROUNDS
            assert 0 <= moment["disturbed"] <= moment["rounds"]
            assert 0 < moment["short_s"] < moment["long_s"]
            assert moment["reference_s"] > 0
            assert moment["cpu_per_wall"] > 0


def test_what_the_moments_show_is_recorded(recorded):
    """Time of a step, its interval and error, and what a call pays once: those that follow from the moments."""
    benchmarks = recorded[1]["benchmarks"]
    of_machine = unrest(Moment(**moment) for one in benchmarks for moment in one["extra_info"]["moments"])
    for benchmark in benchmarks:
        info, read = benchmark["extra_info"], read_benchmark(benchmark)
        taken = [Moment(**moment) for moment in info["moments"]]
        expected = estimate(taken, long=info["steps"], short=info["short_steps"], unrest=of_machine)
        assert (info["step_s"], info["step_error"], info["call_s"]) == (
            expected.step_s,
            expected.error,
            expected.call_s,
        )
        assert tuple(info["step_interval_s"]) == expected.interval_s
        assert (info["disturbed"], info["own_error"]) == (expected.disturbed, expected.own_error)
        assert info["unrest"] == of_machine
        assert info["took_s"] > 0
        low_s, high_s = read.facts.step_interval_s
        assert low_s < read.step_s == info["step_s"] < high_s
        assert info["step_error"] >= HIDDEN_ERROR
        assert read.reference_s == min(moment["reference_s"] for moment in info["moments"])


def test_calls_are_short(recorded):
    """pytest-benchmark times the long calls too: its statistics are those of the call that the record describes."""
    for benchmark in recorded[1]["benchmarks"]:
        info = benchmark["extra_info"]
        assert info["short_steps"] == max(1, info["steps"] // 10)
        assert info["steps"] <= info["first_call_steps"]
        fastest_s = min(moment["long_s"] for moment in info["moments"])
        assert benchmark["stats"]["min"] > fastest_s / 4


def test_cases_are_in_an_order_that_the_seed_repeats(run_pytest, tmp_path):
    """Another seed, another order of the same cases; the tests of a case stay together."""
    (tmp_path / "order.py").write_text(
        "import pytest\n"
        "@pytest.hookimpl(trylast=True)\n"
        "def pytest_collection_finish(session):\n"
        "    print(*(f'case {item.name}' for item in session.items), '', sep='\\n')\n"
        "    pytest.exit('enough', 0)\n"
    )

    def order(seed):
        done = run_pytest(ROOT / "perf", *ONE[:2], "--seed", seed, "-p", "order", "-s", extra_path=tmp_path)
        return [line for line in done.stdout.splitlines() if line.startswith("case ")]

    first, again, other = order(0), order(0), order(1)
    assert len(first) > 20
    assert first == again != other
    assert sorted(first) == sorted(other)
    cases = [line.partition("[")[2] for line in other]
    assert len([case for case, before in zip(cases, ["", *cases], strict=False) if case != before]) == len(
        set(cases)
    )


def test_interrupted_run_keeps_the_moments_that_it_has(tmp_path):
    """Ctrl-C in the second case: the first is recorded with its moments, and its time can be read."""
    (tmp_path / "interrupt.py").write_text(
        "import os, signal\n"
        "seen = []\n"
        "def pytest_runtest_setup(item):\n"
        "    seen.append(item)\n"
        "    if len(seen) == 2:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
    )
    done, record = run(tmp_path, "-p", "interrupt", extra_path=tmp_path)
    assert done.returncode == pytest.ExitCode.INTERRUPTED
    (benchmark,) = record["benchmarks"]
    assert 1 <= len(benchmark["extra_info"]["moments"]) < MOMENTS
    assert read_benchmark(benchmark).step_s > 0
    assert record["gradperf"]["cut_short"] == "interrupted"


def test_interrupt_among_the_last_moments(tmp_path):
    """Ctrl-C when all tests have run: every case is recorded, with the moments that it has."""
    (tmp_path / "interrupt.py").write_text(
        "import os, signal\n"
        "from gradperf.timing import plan\n"
        "def rest(plan):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    yield from ()\n"
        "plan.Plan.rest = rest\n"
    )
    done, record = run(tmp_path, "-p", "interrupt_later", extra_path=_later(tmp_path, "interrupt"))
    assert done.returncode == pytest.ExitCode.INTERRUPTED
    assert len(record["benchmarks"]) == record["gradperf"]["benchmarks_selected"] > 2
    counts = [len(benchmark["extra_info"]["moments"]) for benchmark in record["benchmarks"]]
    assert all(1 <= count <= MOMENTS for count in counts)
    assert sum(counts) < MOMENTS * len(counts)
    assert all(read_benchmark(benchmark).step_s for benchmark in record["benchmarks"])


def test_a_moment_that_is_missing_is_named(tmp_path):
    """If the second process has no time, the run passes, has the moments of this process, and says so."""
    (tmp_path / "broken.py").write_text(
        "from gradperf.case_pairs import second\n"
        "def moment(self, id_, *_):\n"
        "    raise second.NoMoment(f'{id_}: no process today')\n"
        "second.SecondProcess.moment = moment\n"
    )
    done, record = run(tmp_path, "-p", "broken_later", extra_path=_later(tmp_path, "broken"))
    assert done.returncode == 0, done.stdout
    assert "a moment is missing: tiny_3x2x1-numpy.by_hand-cpu-float32: no process today" in done.stdout
    for benchmark in record["benchmarks"]:
        assert {moment["process"] for moment in benchmark["extra_info"]["moments"]} == {"main"}


def test_a_second_process_that_dies_costs_its_moments_alone(tmp_path):
    """The run goes on, records what it has, and says which moments are missing."""
    (tmp_path / "killed.py").write_text(
        "import os, signal\n"
        "from gradperf.case_pairs import second\n"
        "moment = second.SecondProcess.moment\n"
        "def killed(self, *arguments):\n"
        "    if self._lost is None:\n"
        "        os.kill(self._process.pid, signal.SIGKILL)\n"
        "    return moment(self, *arguments)\n"
        "second.SecondProcess.moment = killed\n"
    )
    done, record = run(tmp_path, "-p", "killed_later", extra_path=_later(tmp_path, "killed"))
    assert done.returncode == 0, done.stdout
    assert "a moment is missing: tiny_3x2x1-" in done.stdout
    for benchmark in record["benchmarks"]:
        assert {moment["process"] for moment in benchmark["extra_info"]["moments"]} == {"main"}
        assert read_benchmark(benchmark).step_s > 0


def test_nothing_is_prepared_while_a_first_call_is_timed(tmp_path):
    """The second process rests then: otherwise the two would share the CPUs."""
    (tmp_path / "watched.py").write_text(
        "from pathlib import Path\n"
        "from gradperf.case_pairs import second\n"
        "from gradperf.first_call import measure\n"
        "prepare, timed, seconds = second.SecondProcess.prepare, measure.time_call, set()\n"
        "def watched(self, id_):\n"
        "    seconds.add(self)\n"
        "    prepare(self, id_)\n"
        "def first_call(case, *others):\n"
        "    (process,) = seconds\n"
        "    with Path('seen').open('a') as seen:\n"
        "        print(case.id, *process._preparing, file=seen)\n"
        "    return timed(case, *others)\n"
        "second.SecondProcess.prepare, measure.time_call = watched, first_call\n"
    )
    chosen = ("--first-calls", "--style", "by_hand,by_hand_inplace")
    folder = _later(tmp_path, "watched")
    done, _ = run(tmp_path, *chosen, "-p", "watched_later", extra_path=folder, one=ONE[:4])
    assert done.returncode == 0, done.stdout
    seen = [line.split() for line in (tmp_path / "seen").read_text().splitlines()]
    assert sorted(id_ for id_, *_ in seen) == [
        f"tiny_3x2x1-numpy.{style}-cpu-float32" for style in ("by_hand", "by_hand_inplace")
    ]
    assert [preparing for _, *preparing in seen] == [[], []]


def test_memory_is_measured_while_a_case_is_checked(tmp_path):
    """Only then: not while lengths are chosen, nor beside a first call, a benchmark or a moment."""
    (tmp_path / "beside.py").write_text(
        "from pathlib import Path\n"
        "from pytest_benchmark.fixture import BenchmarkFixture\n"
        "from gradperf.checks import agreement\n"
        "from gradperf.first_call import measure\n"
        "from gradperf.suite.first_calls import FirstCalls\n"
        "from gradperf.suite.moments import Moments\n"
        "from gradperf.timing import lengths\n"
        "running = set()\n"
        "def watched(owner, name, before=lambda: None, after=lambda: None):\n"
        "    plain = getattr(owner, name)\n"
        "    def act(*arguments, **named):\n"
        "        before()\n"
        "        with Path('beside').open('a') as beside:\n"
        "            print(name, len(running), file=beside)\n"
        "        try:\n"
        "            return plain(*arguments, **named)\n"
        "        finally:\n"
        "            after()\n"
        "    setattr(owner, name, act)\n"
        "watched(measure.Timed, 'start_memory', lambda: running.add(1))\n"
        "watched(measure.Timed, 'finish', after=running.clear)\n"
        "watched(agreement, 'agree')\n"
        "watched(lengths, 'choose')\n"
        "watched(measure, 'time_call')\n"
        "watched(Moments, '_take')\n"
        "watched(BenchmarkFixture, '__call__')\n"
        "watched(BenchmarkFixture, 'pedantic')\n"
    )
    chosen = ("--first-calls", "-p", "beside_later")
    done, record = run(tmp_path, *chosen, extra_path=_later(tmp_path, "beside"), one=ONE[:4], test="")
    assert done.returncode == 0, done.stdout
    seen = Counter(tuple(line.split()) for line in (tmp_path / "beside").read_text().splitlines())
    whole = [one["extra_info"] for one in record["benchmarks"] if one["extra_info"]["part"] == "all"]
    assert all(info["memory_peak_bytes"] is not None and info["first_call_s"] for info in whole)
    count = len(whole)
    assert count > 3
    assert seen.pop(("start_memory", "1")) == seen.pop(("finish", "1")) == count
    assert seen.pop(("agree", "1")) == count - 1  # none is left of a case before the first
    assert seen.pop(("agree", "0")) == 1
    assert {running for _, running in seen} == {"0"}
    assert {name for name, _ in seen} == {"choose", "time_call", "_take", "__call__", "pedantic"}


def test_the_second_process_is_told_the_lengths(tmp_path):
    """Those that are timed, before the first moment: so it checks the calls while this process does."""
    (tmp_path / "told.py").write_text(
        "from pathlib import Path\n"
        "from gradperf.case_pairs import second\n"
        "begin, moment = second.SecondProcess._begin, second.SecondProcess.moment\n"
        "def tell(*what):\n"
        "    with Path('told').open('a') as told:\n"
        "        print(*what, file=told)\n"
        "def _begin(self, id_, **order):\n"
        "    tell(id_, *order, order.get('long'), order.get('short'))\n"
        "    begin(self, id_, **order)\n"
        "def timed(self, id_, lengths, *others):\n"
        "    tell(id_, 'moment', lengths.long, lengths.short)\n"
        "    return moment(self, id_, lengths, *others)\n"
        "second.SecondProcess._begin, second.SecondProcess.moment = _begin, timed\n"
    )
    done, record = run(tmp_path, "--style", "by_hand", "-p", "told_later", extra_path=_later(tmp_path, "told"))
    assert done.returncode == 0, done.stdout
    (info,) = (benchmark["extra_info"] for benchmark in record["benchmarks"])
    case, lengths = "tiny_3x2x1-numpy.by_hand-cpu-float32", f"{info['steps']} {info['short_steps']}"
    assert (tmp_path / "told").read_text().splitlines() == [
        f"{case} prepare None None",
        f"{case} check long short {lengths}",
        *[f"{case} moment {lengths}"] * 2,
    ]


def test_the_second_process_prepares_while_this_one_checks(tmp_path):
    """So it is told of a case before its first test is checked, which is not that of the whole steps; once."""
    (tmp_path / "heard.py").write_text(
        "from pathlib import Path\n"
        "from gradperf.case_pairs import second\n"
        "from gradperf.checks import agreement\n"
        "prepare, agree = second.SecondProcess.prepare, agreement.agree\n"
        "def tell(*what):\n"
        "    with Path('heard').open('a') as heard:\n"
        "        print(*what, file=heard)\n"
        "def prepared(self, id_):\n"
        "    tell('second', id_)\n"
        "    prepare(self, id_)\n"
        "def agreed(case, *others, **named):\n"
        "    tell('main', case.id)\n"
        "    return agree(case, *others, **named)\n"
        "second.SecondProcess.prepare, agreement.agree = prepared, agreed\n"
    )
    chosen = ("--style", "by_hand,outer_product", "-p", "heard_later")
    done, record = run(tmp_path, *chosen, extra_path=_later(tmp_path, "heard"), test="")
    assert done.returncode == 0, done.stdout
    heard = [line.split() for line in (tmp_path / "heard").read_text().splitlines()]
    timed = {f"tiny_3x2x1-numpy.{style}-cpu-float32" for style in ("by_hand", "outer_product")}
    assert len(record["benchmarks"]) > 2 * len(timed)  # the halves too
    told = [id_ for process, id_ in heard if process == "second"]
    assert sorted(told) == sorted(timed)
    assert all(heard.index(["second", id_]) < heard.index(["main", id_]) for id_ in told)


def met(reference_s):
    return Moment("", "main", 1e-3, None, 9, 0, 1.0, reference_s)


@pytest.mark.parametrize("fast_after", [1, 2, 100])
def test_a_case_that_met_a_slow_machine_is_timed_again(monkeypatch, fast_after):
    """Until two of its moments were fast ones, at most four times, and only while the machine is fast."""
    looked = iter([2e-5, 2e-5, *[1e-5] * 99])
    monkeypatch.setattr("gradperf.timing.reference.reference_s", lambda: next(looked))
    monkeypatch.setattr(moments, "_LOOK_S", 0.0)
    found = moments.Moments(Settings(), None, ["fast", "slow"])
    found._begun = [SimpleNamespace(id="fast"), SimpleNamespace(id="slow")]
    found.taken = {"fast": [met(1e-5)] * 4, "slow": [met(1e-5)] + [met(2e-5)] * 3}
    again = []

    def take(due):
        for ready, process in due:
            again.append((ready.id, process))
            found.taken[ready.id].append(met(1e-5 if len(again) == fast_after else 2e-5))

    monkeypatch.setattr(found, "_take_all", take)
    found.again()
    assert again == [("slow", "main")] * min(fast_after, moments.MOST_AGAIN)


def test_timing_again_ends(monkeypatch):
    """A machine that stays slow costs some seconds, and no more."""
    monkeypatch.setattr("gradperf.timing.reference.reference_s", lambda: 2e-5)
    monkeypatch.setattr(moments, "AGAIN_S", 0.1)
    found = moments.Moments(Settings(), None, ["fast", "slow"])
    found.again()
    found._begun = [SimpleNamespace(id="slow")]
    found.taken = {"fast": [met(1e-5)] * 4, "slow": [met(2e-5)] * 4}
    monkeypatch.setattr(found, "_take_all", lambda due: 1 / 0)
    found.again()


def _later(folder, module):
    """Write a plugin that imports ``module`` once the threads are bound; return the folder.

    The module replaces functions of the suite, which a style must not do. So the watch begins after it.
    """
    (folder / f"{module}_later.py").write_text(
        "from gradperf.machine import watch\n"
        "def pytest_collection_finish():\n"
        f"    import {module}\n"
        "    watch.process.begin()\n"
    )
    return folder
