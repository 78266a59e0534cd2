"""Cases timed in pairs of processes: the ratio is right, its interval is that of the pairs, no process is left."""

import math
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict
from types import SimpleNamespace

import pytest

from gradperf.case_pairs import measure, second_worker
from gradperf.case_pairs.measure import Role
from gradperf.case_pairs.second import NoMoment, SecondProcess
from gradperf.cases import Settings
from gradperf.checks import agreement
from gradperf.errors import UserError
from gradperf.gate.measuring import replicate
from gradperf.pairs import turns
from gradperf.progress.display import Lines
from gradperf.progress.steps import Steps
from gradperf.timing.lengths import Lengths
from tests.gate.suites import FakeProcess

NUMPY = "tiny_3x2x1-numpy.by_hand-cpu-float32"
OTHER = "matmul_64x64x64-numpy.operator-cpu-float32"
SETTINGS = Settings()


class Fake(FakeProcess):
    """A worker of cases that takes no time, and ends when its cases do."""

    def _begin(self):
        super()._begin()
        if self.cases and self.call_s is None:
            self.answers[-1] |= dict.fromkeys(("call_s", "round_s"), self.seconds(self.role, 0))


@pytest.fixture
def faked(monkeypatch):
    """Return ``faked(seconds)``: measure with processes whose calls take ``seconds(role, clock)``."""

    def fake(seconds, **facts):
        kind = type("Fake", (Fake,), {"launched": (), "clock": 0, "seconds": staticmethod(seconds), **facts})
        monkeypatch.setattr(measure, "Process", kind)
        return kind

    return fake


def ratio(pairs=8, equal_calls=True):
    """Measure one case in two roles."""
    steps = Steps(Lines(print), "pair", pairs)
    (found,) = measure.ratios(Role(("a",)), Role(("b",)), SETTINGS, pairs, steps, equal_calls=equal_calls)
    return found


def test_all_users_share_one_engine():
    """The gate, and what times gradperf's own cases, take the same turns."""
    assert replicate.take_turns is measure.take_turns is turns.take_turns


@pytest.mark.parametrize("drift", [1.0, 1.01])
def test_ratio_is_first_over_second(faked, drift):
    """The first case takes 1.5 times as long, also on a machine that becomes slower at every turn."""
    faked(lambda role, clock: 1e-3 * drift ** (clock % 500) * (1.5 if role == "first" else 1))
    found = ratio()
    assert found.ratio == pytest.approx(1.5, rel=0.02)
    assert found.low <= 1.5 <= found.high
    assert found.first_s / found.second_s == pytest.approx(1.5, rel=0.05)


def test_interval_holds_what_differs_between_pairs(faked):
    """Each pair of processes has a ratio of its own: the interval spans them, as exactly as turns may agree."""
    own = iter([0.9, 0.95, 0.98, 1.0, 1.0, 1.02, 1.05, 1.1])
    speeds = {}

    def seconds(role, clock):
        pair = (len(measure.Process.launched) - 1) // 2
        if role == "first":
            return 1e-3 * (speeds[pair] if pair in speeds else speeds.setdefault(pair, next(own)))
        return 1e-3

    faked(seconds)
    found = ratio()
    assert found.ratio == pytest.approx(1.0, abs=0.01)
    assert found.low == pytest.approx(0.925, abs=0.03)
    assert found.high == pytest.approx(1.075, abs=0.03)


def test_launch_and_first_turn_are_drawn(faked):
    """Neither role is always launched first; in each pair of turns each role begins once."""
    log = []
    kind = faked(lambda role, clock: log.append(role) or 1e-3)
    for seed in range(40):
        coin = random.Random(seed)  # noqa: S311 - an order, not a secret
        measure.measure(Role(("a",)), Role(("b",)), SETTINGS, coin, equal_calls=True)
    first = Counter(process.role for process in kind.launched[::2])
    assert 8 < first["first"] < 32
    assert 0.4 < log[::2].count("first") / len(log[::2]) < 0.6


def test_turns_of_unlike_cases_are_equally_long(faked):
    """A case that takes 100 times as long makes fewer calls in a turn; two roles of one case make as many."""
    kind = faked(lambda role, clock: 1e-5 if role == "first" else 1e-3, call_s=None)
    found = ratio(pairs=6, equal_calls=False)
    assert found.ratio == pytest.approx(0.01)
    calls = {
        process.role: {order["turn"] for order in process.orders if "turn" in order} for process in kind.launched
    }
    assert calls == {"first": {100}, "second": {1}}
    kind = faked(lambda role, clock: 1e-5 if role == "first" else 1e-3, call_s=None)
    ratio(pairs=6)
    calls = {order["turn"] for process in kind.launched for order in process.orders if "turn" in order}
    assert len(calls) == 1


def test_beside_is_ordered_of_one_role_alone(faked):
    """The frameworks beside a case, and the settings, reach the worker."""
    kind = faked(lambda role, clock: 1e-3)
    coin = random.Random(1)  # noqa: S311 - an order, not a secret
    settings = Settings("short", 2, 7)
    measure.measure(Role(("a",), ("torch",)), Role(("a",)), settings, coin, equal_calls=True)
    orders = {process.role: process.orders[0] for process in kind.launched}
    assert orders["first"]["beside"] == ("torch",)
    assert orders["second"]["beside"] == ()
    assert all((o["tier"], o["threads"], o["seed"]) == ("short", 2, 7) for o in orders.values())


def test_a_case_against_itself(tmp_path, monkeypatch):
    """Real processes, several cases each, not misled by a module in the folder that they are started in."""
    (tmp_path / "numpy.py").write_text("raise SystemExit('not the numpy that was meant')")
    monkeypatch.chdir(tmp_path)
    role = Role((NUMPY, OTHER))
    coin = random.Random(0)  # noqa: S311 - an order, not a secret
    values = measure.measure(role, role, SETTINGS, coin, equal_calls=True)
    assert len(values) == 2
    for value in values:
        assert abs(value.log_ratio) < 1
        assert value.returned[0] == value.returned[1] != None  # noqa: E711 - both have a fingerprint


def test_moments_of_a_process():
    """One process takes a moment of each case, in calls of the given lengths; what it cannot run is reported."""
    coin, lengths = random.Random(0), {NUMPY: Lengths(20, 2), OTHER: Lengths(4, 1)}  # noqa: S311 - an order
    found = measure.moments([NUMPY, OTHER], SETTINGS, lengths, coin)
    assert found.keys() == {NUMPY, OTHER}
    for moment in found.values():
        assert 0 < moment.short_s < moment.long_s
        assert moment.process == "second"
    unknown = "tiny_3x2x1-numpy.by_foot-cpu-float32"
    with pytest.raises(UserError, match="by_foot"):
        measure.moments([unknown], SETTINGS, {unknown: Lengths(20, 2)}, coin)


def test_the_second_process_checks_before_the_first_moment():
    """If told the lengths, without waiting for it. Of a case that it cannot run, the first reason is told."""
    second, unknown = SecondProcess(SETTINGS), "tiny_3x2x1-numpy.by_foot-cpu-float32"
    try:
        for id_ in (NUMPY, unknown):
            second.prepare(id_)
            second.check(id_, Lengths(20, 2))
        assert len(second._preparing) == 4
        second.wait()
        assert not second._preparing
        assert second.moment(NUMPY, Lengths(20, 2), None, planted_units=0.0).long_s > 0
        with pytest.raises(NoMoment, match="unknown style"):
            second.moment(unknown, Lengths(20, 2), None, planted_units=0.0)
    finally:
        second.close()


def test_calls_are_checked_once(monkeypatch):
    """When their lengths are told, not again at a moment; at the first moment if they were not told."""
    done, channel = [], SimpleNamespace()
    orders = [
        {"settings": asdict(SETTINGS), "frameworks": []},
        {"prepare": NUMPY},
        {"check": NUMPY, "long": 20, "short": 2},
        *[{"moment": NUMPY, "long": 20, "short": short, "cpu": None, "planted_units": 0.0} for short in (2, 2, 5)],
    ]
    channel.order = iter(orders).__next__
    channel.answer = lambda **answer: done.append(*answer)
    agree_at = agreement.agree_at
    monkeypatch.setattr(second_worker, "Channel", lambda *_: channel)
    monkeypatch.setattr(second_worker.sys, "argv", ["second_worker"])
    monkeypatch.setattr(second_worker.threads, "bind", lambda _: None)
    monkeypatch.setattr(agreement, "agree_at", lambda *a: done.append(a[2]) or agree_at(*a))
    with pytest.raises(StopIteration):
        second_worker.main()
    assert done == ["prepared", 2, 20, "checked", "moment", "moment", 5, "moment"]


def test_busy_cpus():
    """A busy process gets no more than one CPU."""
    assert 0 < measure.busy_cpus(1, 0.05) < 1.2


def test_unknown_case_is_reported():
    """The worker's message for the user comes through."""
    role, coin = Role(("tiny_3x2x1-numpy.by_foot-cpu-float32",)), random.Random(0)  # noqa: S311
    with pytest.raises(UserError, match="by_foot"):
        measure.measure(role, role, SETTINGS, coin, equal_calls=True)


def test_lost_worker_is_reported():
    """A worker that is killed, and one that does not answer, end in a message."""
    killed = pytest.raises(UserError, match=r"ended by itself \(SIGKILL\)")
    with killed, measure.started(["one"]) as processes:
        os.kill(processes["one"].pid, signal.SIGKILL)
        processes["one"].ask(do="count")
    hung = pytest.raises(UserError, match=r"gave no answer for 0\.2 s and counts as hung")
    with hung, measure.started(["other"]) as processes:
        processes["other"]._patience_s = 0.2
        processes["other"].answer()


def test_worker_imports_little():
    """Neither pytest nor, before the threads are bound, numpy."""
    program = "import sys, gradperf.case_pairs.worker; print(*{'pytest', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_worker_ends_with_its_parent(tmp_path):
    """A worker whose parent was killed ends by itself."""
    program = (
        "import time\n"
        "from gradperf.case_pairs import measure\n"
        "with measure.started(['one']) as processes:\n"
        "    print(processes['one'].pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        pid = int(parent.stdout.readline())
        parent.kill()
    deadline_s = time.monotonic() + 30
    while time.monotonic() < deadline_s:
        try:
            with open(f"/proc/{pid}/stat") as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    return
        except OSError:
            return
        time.sleep(0.05)
    raise AssertionError("it goes on")


# --- the commands ---


def test_pair(run_gradperf):
    """``gradperf pair`` prints both times per step and the ratio; a case against itself is near 1."""
    done = run_gradperf("pair", NUMPY, NUMPY, "--pairs", "6")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("µs per step") == 2
    found = re.search(
        r"([\d.]+) times the second's time \(([\d.]+)–([\d.]+), 95 % interval of 6 pairs", done.stdout
    )
    middle, low, high = map(float, found.groups())
    assert low <= middle <= high
    assert abs(math.log(middle)) < 0.7


@pytest.mark.parametrize("command", [("pair", NUMPY, NUMPY), ("neighbours", NUMPY)], ids=lambda words: words[0])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("--pairs", "5"), "at least 6"), (("--pairs", "many"), "many"), (("--threads", "0"), "at least 1")],
)
def test_bad_options(run_gradperf, command, arguments, message):
    """One message, before anything runs."""
    done = run_gradperf(*command, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["pair", "neighbours"])
def test_unknown_case(run_gradperf, command):
    """A case that does not exist is reported before anything is measured."""
    unknown = "tiny_3x2x1-numpy.by_foot-cpu-float32"
    done = run_gradperf(command, unknown, *([NUMPY] if command == "pair" else []))
    assert done.returncode == 2
    assert "by_foot" in done.stderr
    assert "Traceback" not in done.stderr
