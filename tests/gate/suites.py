"""Runs suites of others as the gate does: one worker that is given orders, two sides, or the whole command."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from gradperf.gate import session
from gradperf.gate.decision.trial import Plan
from gradperf.gate.janitor import Janitor
from gradperf.gate.measuring import replicate
from gradperf.gate.measuring.replicate import Setting
from gradperf.gate.sides.prepare import Side
from gradperf.pairs import turns
from gradperf.pairs.meeting import collected
from gradperf.pairs.process import Process
from gradperf.progress.display import Lines
from tests.gate.repositories import CONFIGURATION

QUIET = ["-p", "no:hypothesispytest"]
"""Arguments of pytest: without a plugin that takes long to import."""

QUICK = ["--screen", "3", "--confirm", "5", "--alpha", "0.5", "--min-effect", "50%"]
"""Options of the gate for tests that ask for an alarm: as few processes as it allows."""

DEAF = ["--screen", "3", "--confirm", "10", "--min-effect", "99%"]
"""Options for tests that ask for no alarm: on a busy machine equal code differs by a factor of 2 now and then."""

QUICK_PLAN = Plan(alpha=0.5, min_effect=1e4, screen=2, confirm=1)
"""Few processes, and no alarm, whatever the times are."""

NOT_INHERITED = (
    *("PYTHONPATH", "PYTHONUNBUFFERED", "PYTEST_ADDOPTS", "VIRTUAL_ENV", "CONDA_PREFIX"),
    "pythonLocation",
    *("GITHUB_BASE_REF", "GITHUB_ACTIONS", "GRADPERF_GATE"),
)


def environment(**more):
    """Return this process's variables without those that change what pytest, git or the gate do."""
    inherited = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
    return {**inherited, **CONFIGURATION, **more}


def side(folder, name="base", **more):
    """Return a side that runs in ``folder``."""
    return Side(
        name, Path(sys.executable), folder, folder, environment(PYTHONPATH=str(folder), **more), f"the {name}"
    )


def setting(base, head, folder, janitor, *arguments, patience_s=120, foreign=None):
    """Return what replicates of two folders have in common."""
    folder.mkdir(exist_ok=True)
    return Setting(
        base=side(base),
        head=side(head, "head"),
        arguments=[*QUIET, *arguments],
        control=None,
        planted={},
        foreign=foreign,
        folder=folder,
        janitor=janitor,
        patience_s=patience_s,
        changes_code=False,
    )


def worker(folder, printed, janitor, arguments):
    """Start a worker on the suite in ``folder``."""
    arguments = [*QUIET, "-o", f"cache_dir={printed.parent}", *arguments]
    own = side(folder)
    return Process(
        own.name,
        [own.python, replicate.WORKER],
        arguments,
        output=printed,
        environment=own.environment,
        folder=folder,
        guard=janitor,
        patience_s=120,
    )


def listed(folder, printed, *arguments):
    """Return what a worker lists of the suite in ``folder``, and the worker, which has ended."""
    with Janitor() as janitor:
        process = worker(folder, printed, janitor, arguments)
        try:
            return process.ask(do="list"), process
        finally:
            process.close()


def driven(folder, printed, cases, *arguments, orders=((3, {}), (2, {}))):
    """Run ``cases`` in one worker; return by case what it reported: ``ready``, the answers to turns, ``ended``.

    ``orders`` are the calls of each turn, with what else is ordered. Under ``""`` is what the session reported.
    """
    with Janitor() as janitor:
        process = worker(folder, printed, janitor, arguments)
        try:
            process.send(do="time", cases=cases)
            reported = {}
            (_,) = collected([process])
            while "errors" not in (answer := process.answer()):
                if "ready" in answer:
                    case = reported.setdefault(answer["ready"], {"ready": answer})
                    once = answer["call_s"] is None
                    allowed = answer["calls_left"] or 10**9
                    chosen = orders[:1] if once else orders
                    case["turns"] = [
                        process.ask(turn=1 if once else min(calls, allowed // len(orders)), **more)
                        for calls, more in chosen
                    ]
                    process.send(leave=True)
                else:
                    reported.setdefault(answer["ended"], {})["ended"] = answer
            reported[""] = answer
            process.finish()
            return reported
        finally:
            process.close()


def compared(base, head, folder, *arguments, plan=QUICK_PLAN, accepted=None, planted=None, seed=0, **more):
    """Compare two folders by the whole of the gate but git, in short turns; return the outcome."""
    with Janitor() as janitor, pytest.MonkeyPatch.context() as patch:
        patch.setattr(turns, "TURN_S", 1e-4)
        request = session.Request(
            setting(base, head, folder, janitor, *arguments, **more),
            plan,
            seed,
            planted=planted or {},
            accepted=accepted or {},
        )
        return session.compare(request, Lines(lambda text: None))


SHORT = """
import sys
from gradperf.commands import main
from gradperf.pairs import turns
turns.TURN_S = 3e-4
sys.exit(main.main())
"""


def command(*arguments):
    """Return the words of ``gradperf gate``, in short turns: the tests are not about precision."""
    return [sys.executable, "-c", SHORT, "gate", *map(str, arguments)]


def gate(folder, temporary, *arguments, timeout=120, **more):
    """Run ``gradperf gate`` in ``folder``, with its temporary files in ``temporary``."""
    temporary.mkdir(exist_ok=True)
    done = subprocess.run(
        command(*arguments),
        cwd=folder,
        env=environment(TMPDIR=str(temporary), **more),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def processes_with(text):
    """List the processes whose command line contains ``text``."""
    found = []
    for place in Path("/proc").iterdir():
        with suppress(OSError):
            if place.name.isdigit() and text in (place / "cmdline").read_text(errors="replace"):
                found.append(int(place.name))
    return found


class FakeProcess:
    """A worker that takes no time: what a call takes is a function, of the side and the turns taken so far."""

    clock = 0
    """Turns of all fakes so far: a machine that changes with time looks at it."""
    launched = ()
    seconds = staticmethod(lambda name, clock: 1e-3)
    calls_left = None
    call_s = 1e-3
    cpus = (0, 1)
    """It may be kept on these."""
    cpu = None
    """It is kept on this."""

    def __init__(self, name, program, arguments, *, output, environment, **more):
        """Note who was launched, in order."""
        self.name, self.role, self.environment = name, output.stem, environment
        self.padding = len(environment.get("GRADPERF_GATE_PADDING", ""))
        self.orders, self.answers = [], []
        type(self).launched = (*type(self).launched, self)

    def send(self, **order):
        """Answer at once what a worker would."""
        self.orders.append(order)
        if "cases" in order:
            self.cases = list(order["cases"])
            self.answers.append({"collected": self.cases[:], "errors": []})
            self._begin()
        elif "leave" in order:
            self.answers.append({"ended": self.cases.pop(0), "outcome": "passed", "reason": ""})
            self._begin()
        elif "unit" in order:
            self.answers.append({"unit": 1e-8})
        elif "cpu" in order:
            self.cpu = order["cpu"]
            self.answers.append(order)
        else:
            type(self).clock += 1
            seconds = self.seconds(self.role, type(self).clock) * order["turn"]
            units = order.get("units", 0) + order.get("units_per_s", 0) * seconds
            self.answers.append({"turn": seconds + 1e-8 * units, "returned": None, "disturbed": False})

    def _begin(self):
        if self.cases:
            reported = {"call_s": self.call_s, "round_s": self.call_s, "calls_left": self.calls_left}
            self.answers.append({"ready": self.cases[0], "returned": None, "cpus": list(self.cpus), **reported})
        else:
            self.answers.append({"bye": 0, "errors": [], "own_modules": None, "strays": []})

    def answer(self):
        """Return the next answer."""
        return self.answers.pop(0)

    def ask(self, **order):
        """Order, and take the answer."""
        self.send(**order)
        return self.answer()

    def finish(self):
        """Have nothing to wait for."""

    def close(self):
        """Have nothing to end."""

    @property
    def calls(self):
        """How often the benchmark was called in turns."""
        return sum(order.get("turn", 0) for order in self.orders)


def faked(monkeypatch, **facts):
    """Let replicates run on fake processes; return their class."""
    fake = type("Fake", (FakeProcess,), {"launched": (), **facts})
    monkeypatch.setattr(replicate, "Process", fake)
    return fake


def end(process):
    """End a gate that a test started, and wait for it."""
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    process.wait(timeout=30)
