"""Failures of a case on either side are reported, and all other cases are still compared."""

import math
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from gradperf.errors import UserError
from gradperf.gate import session
from gradperf.gate.decision import judge
from gradperf.gate.decision.trial import Plan
from gradperf.gate.measuring import replicate
from gradperf.gate.measuring.replicate import Setting
from gradperf.gate.report import terminal
from gradperf.pairs.process import SideError
from gradperf.pairs.turns import Value
from gradperf.progress.display import Lines
from gradperf.progress.steps import span
from gradperf.text.table import Terminal
from tests.gate.repositories import write
from tests.gate.suites import FakeProcess, compared, faked, processes_with, side
from tests.terminals import Shown

ZOO = """
import json
import os
import random
import signal
import time
from pathlib import Path
import pytest
from side import HEAD

skipped_on = lambda side: pytest.mark.skip(reason="not there") if side else lambda test: test

def test_fine(benchmark):
    benchmark(sum, range(100))

def test_killed(benchmark):
    if HEAD:
        os.kill(os.getpid(), signal.SIGSEGV)
    benchmark(int)

def test_exits(benchmark):
    calls = []
    def exits():
        calls.append(1)
        if HEAD and len(calls) == 2:
            os._exit(3)
    benchmark(exits)

def test_killed_with_a_child(benchmark):
    if HEAD:
        if not os.fork():
            time.sleep(1e6)  # It holds all pipes open.
        os.kill(os.getpid(), signal.SIGKILL)
    benchmark(int)

def test_closes(benchmark):
    if HEAD:
        os.closerange(3, 256)
    benchmark(int)

def test_hangs(benchmark):
    benchmark(time.sleep, 1e6 if HEAD else 0)

def test_raises_on_the_head(benchmark):
    benchmark(lambda: 1 / (not HEAD))

def test_raises_on_the_base(benchmark):
    benchmark(lambda: 1 / HEAD)

def test_wrong_in_the_end(benchmark):
    benchmark(int)
    assert not HEAD, "after timing"

@skipped_on(HEAD)
def test_skipped_on_the_head(benchmark):
    benchmark(int)

@skipped_on(not HEAD)
def test_skipped_on_the_base(benchmark):
    benchmark(int)

def test_skips_itself_on_the_head(benchmark):
    if HEAD:
        pytest.skip("in the middle")
    benchmark(int)

@skipped_on(True)
def test_skipped(benchmark):
    benchmark(int)

def test_skips_itself(benchmark):
    pytest.skip("nobody has it")

def test_differs(benchmark):
    benchmark(lambda: [1, 2 + HEAD])

def test_may_differ(benchmark):
    benchmark(lambda: {"a": 1.0 + HEAD})

def test_rounding(benchmark):
    benchmark(lambda: 0.1 + 0.2 if HEAD else 0.3)

def test_random(benchmark):
    benchmark(random.random)

def test_random_on_the_head(benchmark):
    benchmark(lambda: random.random() if HEAD else 0.5)

def test_once(benchmark):
    calls = []
    assert benchmark.pedantic(lambda: time.sleep(0.05) or calls.append(1) or len(calls), rounds=1) == 1

def fails_late(act):
    calls = []
    def late():
        calls.append(1)
        time.sleep(1e-3)
        if HEAD and len(calls) > 30:
            act()
    return late

def test_raises_in_a_turn(benchmark):
    benchmark(fails_late(lambda: 1 / 0))

def test_uses_up(benchmark):
    items = list(range(30))
    benchmark(lambda: time.sleep(1e-3) or items.pop())

def test_raises_at_its_only_call(benchmark):
    benchmark.pedantic(lambda: 1 / (not HEAD))

def test_skips_in_a_turn(benchmark):
    benchmark(fails_late(lambda: pytest.skip("no device")))

def test_ends_the_session(benchmark):
    benchmark(fails_late(lambda: pytest.exit("I have had enough")))

def test_is_interrupted(benchmark):
    def interrupt():
        raise KeyboardInterrupt
    benchmark(fails_late(interrupt))

def test_leaves(benchmark):
    benchmark(fails_late(lambda: exit(3)))

def test_fails_alike(benchmark):
    raise ValueError(f"in {__file__}")

def test_stops_the_session(benchmark, request):
    benchmark(int)
    if HEAD:
        request.session.shouldstop = "one is enough"

def test_catches_in_a_turn(benchmark):
    with pytest.raises(ZeroDivisionError) if HEAD else open(os.devnull):
        benchmark(fails_late(lambda: 1 / 0))

def test_catches_at_once(benchmark):
    with pytest.raises(ZeroDivisionError):
        benchmark(lambda: 1 / 0)

def test_unused(benchmark):
    pass

def test_unused_on_the_head(benchmark):
    if not HEAD:
        benchmark(int)

def test_replaced_clock(benchmark, monkeypatch):
    for name in ("perf_counter", "process_time", "thread_time", "monotonic"):
        monkeypatch.setattr(time, name, lambda: 1.0)
    monkeypatch.setattr(os, "getpid", lambda: 1)
    monkeypatch.setattr(os, "listdir", lambda _: [])
    monkeypatch.setattr(json, "dumps", lambda _: "")
    benchmark(sum, range(100))

def test_time_limit(benchmark):
    def late(*_):
        raise TimeoutError("over the limit")
    if HEAD:
        signal.signal(signal.SIGALRM, late)
        signal.setitimer(signal.ITIMER_REAL, 0.9)
    else:
        time.sleep(1.5)
    benchmark.pedantic(time.sleep, (0.05,))  # a single call, too long to look slower by chance
    if HEAD:
        assert 0 < signal.setitimer(signal.ITIMER_REAL, 0)[0] <= 0.9

if not HEAD or not Path("was_listed").exists():
    Path("was_listed").touch()

    def test_is_listed_at_first(benchmark):
        benchmark(int)
"""

IN = "test_zoo.py::test_"

FAILED = {
    "killed": "a process of the head ended by itself (SIGSEGV)",
    "exits": "a process of the head ended by itself (exit code 3)",
    "killed_with_a_child": "a process of the head ended by itself (SIGKILL)",
    "closes": "a process of the head ended by itself",
    "hangs": "a process of the head gave no answer for 10 s and counts as hung",
    "raises_on_the_head": "failed on the head: ZeroDivisionError: division by zero",
    "raises_on_the_base": "failed on the base: ZeroDivisionError: division by zero",
    "wrong_in_the_end": "failed on the head: AssertionError: after timing",
    "skips_itself_on_the_head": "skipped on the head: Skipped: in the middle",
    "raises_in_a_turn": "failed on the head: ZeroDivisionError: division by zero",
    "uses_up": "IndexError: pop from empty list",
    "raises_at_its_only_call": "failed on the head: ZeroDivisionError: division by zero",
    "skips_in_a_turn": "skipped on the head: Skipped: no device",
    "ends_the_session": "failed on the head: it ended the session (Exit: I have had enough)",
    "is_interrupted": "failed on the head: it ended the session (KeyboardInterrupt",
    "leaves": "failed on the head: SystemExit: 3",
    "stops_the_session": "failed on the head: it ended the session (one is enough)",
    "catches_in_a_turn": "in a turn, its benchmark raised ZeroDivisionError: division by zero, and the test caught",
    "unused_on_the_head": "unused on the head: it did not call its benchmark fixture",
    "fails_alike": "failed on the base, failed on the head: ValueError: in test_zoo.py",
    "is_listed_at_first": "missing on the head: this process did not collect it",
}


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """Compare two sides that differ in all those ways."""
    folder = tmp_path_factory.mktemp("zoo")
    for name, more in (("base", {"test_gone.py": "def test_gone(benchmark): benchmark(int)\n"}), ("head", {})):
        write(folder / name, {"side.py": f"HEAD = {name == 'head'}\n", "test_zoo.py": ZOO, **more})
    write(folder / "head", {"test_new.py": "def test_new(benchmark): benchmark(int)\n"})
    accepted = dict.fromkeys([f"{IN}may_differ", f"{IN}raises_on_the_head", "test_gone.py::test_gone"], "meant so")
    accepted[f"{IN}no_such"] = "?"
    outcome = compared(folder / "base", folder / "head", folder / "t", patience_s=10, accepted=accepted)
    return SimpleNamespace(
        outcome=outcome,
        verdicts={case.id.removeprefix(IN): case.verdict for case in outcome.cases},
        reasons={case.id.removeprefix(IN): case.reason for case in outcome.cases},
        warnings="\n".join(outcome.warnings),
        folder=folder,
    )


def test_failures(zoo):
    """A case that crashes, hangs, raises, fails or skips itself on one side has failed, for the reported reason."""
    assert {name for name, verdict in zoo.verdicts.items() if verdict == "failed"} == set(FAILED)
    for name, reason in FAILED.items():
        assert reason in zoo.reasons[name]


def test_others_are_compared(zoo):
    """A case that breaks its process costs no other case a pair."""
    pairs = {case.id.removeprefix(IN): len(case.screened) for case in zoo.outcome.cases if case.screened}
    assert pairs == dict.fromkeys(
        [
            *("fine", "differs", "may_differ", "rounding", "random", "random_on_the_head", "once"),
            *("replaced_clock", "time_limit"),
        ],
        2,
    )
    (clock_replaced,) = (case for case in zoo.outcome.cases if case.id == f"{IN}replaced_clock")
    assert clock_replaced.base_s > 1e-8


def test_new_and_removed(zoo):
    """A case that only one side has or runs is new or was removed."""
    assert {name for name, verdict in zoo.verdicts.items() if verdict == "new"} == {
        "skipped_on_the_base",
        "test_new.py::test_new",
    }
    assert {name for name, verdict in zoo.verdicts.items() if verdict == "removed"} == {
        "skipped_on_the_head",
        "test_gone.py::test_gone",
    }


def test_skipped_on_both(zoo):
    """Cases that neither side runs get no verdict; a warning counts them, and the cases of each reason."""
    assert not {"skipped", "skips_itself", "catches_at_once", "unused"} & set(zoo.verdicts)
    assert "4 cases are skipped on both sides: " in zoo.warnings
    assert "nobody has it (1)" in zoo.warnings
    assert "it did not call its benchmark fixture (1)" in zoo.warnings


@pytest.mark.parametrize(
    ("reasons", "text"),
    [
        (["no device"] * 3, "no device"),
        (["not there", "no device", "not\nthere", "no device", "no device"], "no device (3); not there (2)"),
        (["a", *"bcdefg" * 2], "b (2); c (2); d (2); e (2); f (2); other reasons (3)"),
        (["x" * 400, "y"], f"{'x' * 66}…{'x' * 133} (1); y (1)"),
    ],
)
def test_reasons(reasons, text):
    """Reasons are named with their numbers, the most frequent first; none hides the others."""
    assert session._reasons(reasons) == text


def test_results(zoo):
    """Results that always differ are reported; rounding errors are not, and random results are a warning."""
    assert {name for name, verdict in zoo.verdicts.items() if verdict == "different"} == {"differs", "may_differ"}
    assert "[1]" in zoo.reasons["differs"]
    assert "['a'] differs: sums apart by 1" in zoo.reasons["may_differ"]
    assert "2 cases do not return the same in every process" in zoo.warnings
    assert f"{IN}random, {IN}random_on_the_head" in zoo.warnings


def test_control_of_the_zoo(zoo):
    """A suitable case is the control, and it has a value from every pair."""
    null, planted = zoo.outcome.controls
    assert null.case == planted.case == f"{IN}fine"
    assert len(null.values) == len(planted.values) >= 2


def test_exit_codes(zoo):
    """Different results make a run untrusted, failed or removed cases incomplete; accepted cases change nothing."""
    outcome = zoo.outcome
    assert (outcome.verdict, outcome.exit_code) == ("untrusted", 12)
    cases = [case for case in outcome.cases if not case.id.endswith("test_differs")]
    assert judge.overall(cases, (), (), strict=False) == ("incomplete", 13)
    left = [case for case in cases if case.verdict not in ("failed", "removed") or case.accepted]
    assert {case.verdict for case in left} >= {"failed", "removed", "different"}
    assert judge.overall(left, (), (), strict=False)[1] == 0


def test_accepting_nothing(zoo):
    """Accepting a case that does not exist is a warning: it may be a typing error."""
    assert f"--accept {IN}no_such: there is no such case" in zoo.warnings


def test_zoo_is_empty(zoo):
    """No process is left, not even of those that hung or left children."""
    assert processes_with(str(zoo.folder)) == []


BAD = {
    "syntax": ("def test_x(benchmark: benchmark(int)\n", "test_bad.py"),
    "import": ("import no_such_module\n", "test_bad.py"),
    "dies": ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n", "ended by itself (SIGSEGV)"),
    "leaves": ("import pytest\npytest.exit('enough')\n", "test_bad.py"),
}


@pytest.mark.parametrize(
    ("kind", "where"), [("syntax", "base"), ("import", "head"), ("dies", "head"), ("leaves", "base")]
)
def test_cannot_be_collected(tmp_path, kind, where):
    """A side that cannot be collected ends the run, and the message names the side and the file."""
    good = {"test_good.py": "def test_x(benchmark): benchmark(int)\n"}
    source, message = BAD[kind]
    for name in ("base", "head"):
        write(tmp_path / name, {**good, **({"test_bad.py": source} if name == where else {})})
    with pytest.raises(SideError) as error:
        compared(tmp_path / "base", tmp_path / "head", tmp_path / "t")
    assert where in str(error.value)
    assert message in str(error.value)


def test_session_that_leaves(tmp_path):
    """A case that ends the whole pytest session has failed, and the others are compared."""
    source = """
import pytest
def test_a(benchmark):
    benchmark(int)
    pytest.exit("enough")
def test_b(benchmark):
    benchmark(int)
"""
    write(tmp_path / "base", {"test_x.py": source})
    first, second = compared(tmp_path / "base", tmp_path / "base", tmp_path / "t").cases
    assert (first.verdict, len(second.screened)) == ("failed", 2)
    assert first.reason == "failed on the base, failed on the head: it ended the session (Exit: enough)"


def test_a_failure_on_both_sides(monkeypatch):
    """The cases that fail alike share one line, always in the same words, and no control is missed besides."""
    for seed in range(6):  # of the order of launch
        outcome = fake_run(monkeypatch, failing=("a", "b", "c"), seed=seed)
        assert {case.reason for case in outcome.cases} == {"failed on the base, failed on the head: it is so"}
        assert (outcome.exit_code, outcome.controls) == (13, ())
        text = "\n".join(terminal.lines(outcome, Terminal(100, ascii_only=False)))
        assert text.count("failed on the base, failed on the head: it is so") == 1
        assert text.startswith("INCOMPLETE: 3 of 3 cases could not be compared.")
        assert "ontrol" not in text


def test_accepted_by_a_pattern(tmp_path):
    """``*`` stands for any characters; brackets stand for themselves; what matches nothing is reported."""
    sources = {
        "base": """
import pytest
@pytest.mark.parametrize("n", [1, 2])
def test_a(benchmark, n):
    benchmark(lambda: n)
def test_gone(benchmark):
    benchmark(int)
"""
    }
    sources["head"] = sources["base"].replace("lambda: n", "lambda: -n").replace("test_gone", "test_new")
    for name, source in sources.items():
        write(tmp_path / name, {"test_x.py": source})
    accepted = {"*::test_a[[]1]": "no set of characters", "*_a[1]": "one", "*::test_g*": "gone", "a*z": "nothing"}
    outcome = compared(tmp_path / "base", tmp_path / "head", tmp_path / "t", accepted=accepted)
    reasons = {case.id.partition("::")[2]: case.accepted for case in outcome.cases}
    assert reasons == {"test_a[1]": "one", "test_a[2]": "", "test_gone": "gone", "test_new": ""}
    unknown = [text for text in outcome.warnings if text.startswith("--accept")]
    assert unknown == [f"--accept {key}: there is no such case" for key in ("*::test_a[[]1]", "a*z")]


@pytest.mark.parametrize(
    ("pattern", "accepted"),
    [("*", "abc"), ("g*", "g"), ("*b*", "b"), ("[abc]", ""), ("?", ""), ("A", "")],
)
def test_groups_accepted_by_a_pattern(monkeypatch, pattern, accepted):
    """A pattern means groups too, and only ``*`` is special. (Accepted cases are in no group.)"""
    outcome = fake_run(monkeypatch, planted={"*": 0.2}, accepted={pattern: "meant so"})
    assert [one.id for one in (*outcome.cases, *outcome.groups) if one.accepted] == list(accepted)
    assert (f"--accept {pattern}: there is no such case" in outcome.warnings) == (not accepted)
    assert outcome.exit_code == (0 if pattern == "*" else 10)


def test_nothing_in_common(tmp_path):
    """If the sides have no case in common, nothing was compared."""
    for name in ("base", "head"):
        write(tmp_path / name, {"test_x.py": f"def test_{name}(benchmark): benchmark(int)\n"})
    outcome = compared(tmp_path / "base", tmp_path / "head", tmp_path / "t")
    assert (outcome.verdict, outcome.exit_code) == ("incomplete", 13)
    assert "there is no benchmark that both sides have and run" in outcome.warnings


def fake_run(monkeypatch, few=(), failing=(), planted=None, budget_s=None, plan=None, seed=3, **more):
    """Return the outcome of fake processes; the cases ``few`` may be called once, the cases ``failing`` fail."""

    def begin(self):
        own(self)
        answer = self.answers[-1]
        if answer.get("ready") in few:
            answer.update(call_s=None, calls_left=1)
        elif answer.get("ready") in failing:
            self.answers[-1] = {"ended": self.cases.pop(0), "outcome": "failed", "reason": "it is so"}
            begin(self)

    fake = faked(monkeypatch)
    own = fake._begin
    fake._begin = begin
    ids = ["a", "b", "c"]
    listed = [{"id": id_, "group": "g", "skipped": None, "control": id_ == "b"} for id_ in ids]
    monkeypatch.setattr(session, "collect", lambda *_: ([listed, listed], []))
    setting = Setting(side(Path("/b")), side(Path("/h"), "head"), (), None, {}, None, False, Path("/f"), None, 1)
    display = more.pop("display", Lines(print))
    request = session.Request(setting, plan or Plan(), seed, planted=planted or {}, budget_s=budget_s, **more)
    return session.compare(request, display)


@pytest.mark.parametrize(
    ("few", "failing", "control", "values"),
    [
        ((), (), "b", 8),  # what is marked
        (("b",), (), "a", 7),
        (("a", "b"), (), "c", 7),
        ((), ("b",), "a", 7),
        (("a",), ("b",), "c", 7),
        (("a", "b", "c"), (), "", 0),
        (("a", "c"), ("b",), "", 0),
    ],
)
def test_control(monkeypatch, few, failing, control, values):
    """The marked case is the control, or else the first suitable one; without any, no case is unchanged."""
    outcome = fake_run(monkeypatch, few, failing)
    null, planted = outcome.controls
    assert (null.case, planted.case) == (control, control)
    assert len(null.values) == values
    assert len(planted.values) >= values
    warned = "no case could be the control" in "\n".join(outcome.warnings)
    assert warned == (not control)
    verdicts = {case.id: case.verdict for case in outcome.cases}
    assert {id_ for id_, verdict in verdicts.items() if verdict == "failed"} == set(failing)
    if not control:
        assert "unchanged" not in verdicts.values()


def test_budget_of_nothing(monkeypatch):
    """If no pair fits into the budget, nothing was compared."""
    outcome = fake_run(monkeypatch, budget_s=1e-9)
    assert (outcome.verdict, outcome.exit_code) == ("incomplete", 13)
    assert any("the time budget ran out" in warning for warning in outcome.warnings)


def timed_run(monkeypatch, budget_s, **more):
    """Return the outcome of a run with a budget, and how long it took, in turns."""
    clock = SimpleNamespace(monotonic=lambda: FakeProcess.clock)
    monkeypatch.setattr(session, "time", clock)
    monkeypatch.setattr(replicate, "time", clock)
    monkeypatch.setattr(FakeProcess, "clock", 0)
    monkeypatch.setattr(FakeProcess, "send", counted_send(FakeProcess.send))
    outcome = fake_run(monkeypatch, budget_s=budget_s, **more)
    return outcome, FakeProcess.clock


def counted_send(send):
    """Count the turns of all fakes together, also of other classes."""

    def counted(self, **order):
        FakeProcess.clock += "turn" in order
        send(self, **order)

    return counted


@pytest.mark.parametrize("cases", [0.1, 1.1, 1.8, 3.5, 8.7, 20.2, 33.3])
def test_the_budget_ends_a_pair(monkeypatch, cases):
    """After its end no case is begun, before it every case: the run ends about then, and what it has is kept."""
    whole = timed_run(monkeypatch, math.inf)[1]
    case_s = whole / 8 / 5  # three cases, and the control twice
    monkeypatch.undo()
    outcome, took_s = timed_run(monkeypatch, cases * case_s)
    assert cases * case_s < took_s <= (cases + 2) * case_s
    assert any("the time budget ran out" in warning for warning in outcome.warnings)
    pairs = [len(case.screened) for case in outcome.cases]
    assert pairs == sorted(pairs, reverse=True)
    assert pairs[0] > 0
    assert max(pairs) - min(pairs) <= 1
    assert {len(group.screened) for group in outcome.groups} == {min(pairs)}
    assert outcome.exit_code == (13 if cases < 3 else 0)
    assert (outcome.verdict == "incomplete") == (cases < 3)
    assert any("in the first pair" in warning for warning in outcome.warnings) == (cases < 3)


def test_a_budget_that_is_enough(monkeypatch):
    """It changes nothing."""
    outcome, took_s = timed_run(monkeypatch, 1e6)
    assert not any("budget" in warning for warning in outcome.warnings)
    assert {len(case.screened) for case in outcome.cases} == {8}
    assert took_s < 1e6


def test_what_is_shown(monkeypatch):
    """The pair, the case and the time left: by the pairs before, and at most until the budget ends."""
    shown = Shown()
    timed_run(monkeypatch, math.inf, display=shown)
    texts = shown.texts
    assert texts[:6] == [
        "3 cases on both sides",
        "screen 1 of 8; starting 4 processes",
        "screen 1 of 8; case 1 of 3: a",
        "screen 1 of 8; case 2 of 3: b",
        "screen 1 of 8; case 3 of 3: c",
        "screen 1 of 8; the control: b",
    ]
    pair_s = FakeProcess.clock / 8
    assert texts[6] == f"screen 2 of 8, {span(7 * pair_s)} or more left; starting 4 processes"
    found = [re.search(r"(\d+):(\d+) min or more left", text) for text in texts[6:]]
    left_s = [60 * int(one[1]) + int(one[2]) for one in found]
    assert left_s == sorted(left_s, reverse=True)
    assert 0.2 * pair_s < left_s[-1] < 0.6 * pair_s  # the control takes two of five turns
    monkeypatch.undo()
    shown = Shown()
    timed_run(monkeypatch, 4 * pair_s, display=shown, planted={"a": 0.5})
    assert shown.texts[1] == f"screen 1 of 8, at most {span(4 * pair_s)} left; starting 4 processes"
    monkeypatch.undo()
    shown = Shown()
    timed_run(monkeypatch, math.inf, display=shown, planted={"*": 0.2})
    assert "confirm 1 of at most 24; case 1 of 3: a" in shown.texts
    assert any(text.startswith("confirm 2 of at most 24, at most ") for text in shown.texts)


def test_nothing_is_shown_while_turns_are_taken(monkeypatch):
    """Drawing takes the CPU."""
    own, shown = replicate.take_turns, Shown()

    def watched(*arguments, **more):
        before = len(shown.texts)
        try:
            return own(*arguments, **more)
        finally:
            assert len(shown.texts) == before

    monkeypatch.setattr(replicate, "take_turns", watched)
    fake_run(monkeypatch, display=shown)
    assert len(shown.texts) > 8 * 4


def test_plan_that_cannot_alarm(monkeypatch):
    """If the plan can prove none of its suspects, more pairs are taken, and the report says so."""
    shown = Shown()
    outcome = fake_run(monkeypatch, planted={"*": 0.2}, plan=Plan(screen=3, confirm=8), display=shown)
    assert shown.last.startswith("confirm 9 of at most 9, ")
    assert (outcome.verdict, outcome.exit_code) == ("regressed", 10)
    assert all(len(case.screened) == 3 and len(case.confirmed) == 9 for case in outcome.cases)
    assert outcome.plan["confirm"] == 9
    (warning,) = (warning for warning in outcome.warnings if "--confirm" in warning)
    assert warning == (
        "4 cases and groups look slower: --confirm 8 can prove none of so many, so up to 9 fresh pairs were taken"
    )
    outcome = fake_run(monkeypatch, planted={"*": 0.2}, plan=Plan(screen=3, confirm=9))
    assert (outcome.verdict, outcome.exit_code) == ("regressed", 10)
    assert not any("--confirm" in warning for warning in outcome.warnings)


def test_large_changes_need_no_confirmation(monkeypatch):
    """A change beyond a factor of two is regressed, also if the plan could confirm nothing."""
    outcome = fake_run(monkeypatch, planted={"*": 2.0}, plan=Plan(screen=3, confirm=8))
    assert (outcome.verdict, outcome.exit_code) == ("regressed", 10)


def test_two_speeds_are_told(monkeypatch):
    """What the seconds of base and head tell about two speeds is in the finding."""
    monkeypatch.setattr(session, "describe_modes", lambda values: f"{len(values)} values")
    assert {case.modes for case in fake_run(monkeypatch).cases} == {"8 values"}


def test_plant(monkeypatch):
    """A planted slowdown is measured in the cases that its pattern means; a pattern without a case is an error."""
    outcome = fake_run(monkeypatch, planted={"*": 0.5, "c": 0.2})
    assert {case.id: round(case.ratio, 3) for case in outcome.cases} == {"a": 1.5, "b": 1.5, "c": 1.2}
    assert outcome.exit_code == 10
    assert "a slowdown of 20 % was planted in the head of c" in outcome.warnings
    with pytest.raises(UserError, match="--plant x: there is no such case"):
        fake_run(monkeypatch, planted={"x": 0.5})


def test_same_seed(monkeypatch):
    """The same seed gives the same outcome, except for the time it took."""
    one, two = (fake_run(monkeypatch) for _ in range(2))
    assert one.cases == two.cases
    assert one.controls == two.controls


def test_steady_results():
    """Results count as different only if each side returns the same in all pairs; otherwise they are unsteady."""
    number = [["", "number", 64, 1, [1.0, 0.0], 1.0]]
    other = [["", "number", 64, 1, [2.0, 0.0], 2.0]]
    third = [["", "number", 64, 1, [3.0, 0.0], 3.0]]
    returned = {
        "same": [(number, number)] * 2,
        "differs": [(number, other)] * 2,
        "random base": [(number, number), (other, number)],
        "random head": [(number, other), (number, third)],
        "unknown": [(None, None)] * 2,
    }
    values = {case: [Value(0.0, 1.0, 1.0, both) for both in pairs] for case, pairs in returned.items()}
    assert set(session.different(values)) == {"differs"}
    assert [case for case in values if session.is_unsteady(values[case])] == ["random base", "random head"]
