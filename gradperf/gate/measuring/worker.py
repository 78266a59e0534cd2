"""The gate's process on one side: pytest itself, whose ``benchmark`` fixture takes turns on command.

Run by its path with the interpreter of that side, which needs pytest and pytest-benchmark alone: so this file
imports nothing of gradperf, and a base that has another gradperf, or none, is measured by the code of the head.

``python worker.py ORDERS ANSWERS PYTEST_ARGS…`` reads orders from one file descriptor and answers on another, a
line of JSON each; what tests print cannot come between. The first order says what to do:

``{"do": "list"}``
    Collect, and answer ``{"collected": [{"id", "group", "skipped", "control"}, …], "errors": […]}``.
``{"do": "time", "cases": […], "own": …, "foreign": …}``
    Run these cases in this order. Each case that comes to its benchmark answers ``{"ready": id, …}``, then obeys:
    ``{"cpu": number}`` stays on that CPU until the case ends, or the number is null;
    ``{"turn": calls, "units": …, "units_per_s": …}`` answers the seconds that so many calls took together, units of
    planted work with them; ``{"unit": true}`` the seconds of one such unit; ``{"leave": true}`` ends the case.
    Each case ends with ``{"ended": id, "outcome", "reason"}``, and the session with ``{"bye": …}``.

A test is run as it is written: its fixtures, its setup and teardown, its assertions. A ``pedantic`` benchmark is
never called more often than it says. Marker and options of pytest-benchmark that ask for a timer are not followed:
the clock is ``time.perf_counter``.
"""

from __future__ import annotations

import sys

if __name__ == "__main__" and sys.path and sys.path[0] == __file__.rpartition("/")[0]:
    del sys.path[0]  # Before anything is imported: a module here must not shadow one of the suite's.

import gc
import hashlib
import importlib.util
import json
import os
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from itertools import repeat
from operator import sub
from typing import Any

import pytest

try:
    import resource
except ImportError:  # Windows counts no switches
    resource = None  # type: ignore[assignment]

WARM_S = 0.02
WARM_CALLS = 3
LONG_S = 15
"""A benchmark is called for so long, and so often, before its turns; one that is slower than the last, once."""

WARM_SHARE = 4
"""Where a benchmark may be called only so often, warming up takes one part in so many."""

LEAST_CALLS = 4
"""A pedantic benchmark that allows fewer calls than this is called once, and that call is its turn."""

SERIAL = 0.05
"""A benchmark computes in one thread if all others, and children, use no larger share of its CPU time."""

HANDED_OVER = (0.5, 1.1)
"""Where others use more, they take turns with it if together they never use more seconds of CPU than pass, or
hardly more. Handing over takes time in which nobody computes (TensorFlow's pool, on two CPUs: a quarter of all);
where that is most of the time, it may be work in parallel and waiting."""

SLICE_S = 0.002
"""Warming up is looked at in parts of so many seconds, a call at least: some of them no other process disturbs."""

THREADS = "/proc/self/task"

REASON_LENGTH = 2000


class Channel:
    """Orders in, answers out; ends the process when nobody gives orders any more."""

    def __init__(self, orders: int, answers: int) -> None:
        """Take the two file descriptors; neither is handed on to children."""
        for number in (orders, answers):
            os.set_inheritable(number, False)
        self._orders = os.fdopen(orders, encoding="utf-8")
        self._answers = os.fdopen(answers, "w", encoding="utf-8")
        self._pid = os.getpid()

    def order(self) -> dict[str, Any]:
        """Wait for the next order."""
        if os.getpid() != self._pid:
            os._exit(1)  # A child that the suite forked and that came back here; the orders are not for it.
        line = self._orders.readline()
        if not line:
            os._exit(0)  # The gate is gone; there is nobody to clean up for.
        found: dict[str, Any] = json.loads(line)
        return found

    def answer(self, **found: Any) -> None:
        """Answer, unless this is a child that the suite forked."""
        if os.getpid() != self._pid:
            return
        try:
            print(json.dumps(found), file=self._answers, flush=True)
        except BrokenPipeError:
            os._exit(0)


class Options:
    """Takes back what would make the run something else than a run of its benchmarks."""

    @pytest.hookimpl(tryfirst=True)  # before pytest-benchmark reads its options
    def pytest_configure(self, config: pytest.Config) -> None:
        """Neither store nor compare nor skip, and go on after a failure."""
        option = config.option
        if getattr(option, "dist", "no") != "no" or getattr(option, "numprocesses", None):
            raise pytest.UsageError(
                "benchmarks cannot be timed by several processes at once: add -n0 to the arguments of pytest"
            )
        if not hasattr(option, "benchmark_disable"):
            raise pytest.UsageError("pytest-benchmark is not active: is it installed, and not switched off by -p?")
        option.maxfail = 0
        option.stepwise = option.stepwise_skip = False
        option.collectonly = False
        option.xmlpath = None
        option.benchmark_disable = False
        option.benchmark_skip = False
        option.benchmark_autosave = False
        option.benchmark_save = None
        option.benchmark_compare = None
        option.benchmark_compare_fail = None
        option.benchmark_json = None
        option.benchmark_cprofile = None
        option.benchmark_histogram = None
        option.benchmark_storage = f"file://{os.devnull}"  # Its folder would be made at once, even to stay empty.
        option.benchmark_quiet = True
        config.pluginmanager.register(Registrar(), "gradperf-gate-registrar")


class Registrar:
    """Registers the fixture last: of plugins' fixtures of one name, the last one wins."""

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Register it once all others are there."""
        config.pluginmanager.register(Fixtures(), "gradperf-gate-fixtures")


class Fixtures:
    """Holds the fixture that replaces pytest-benchmark's."""

    @pytest.fixture
    def benchmark(self, benchmark: Any, request: pytest.FixtureRequest) -> Any:
        """pytest-benchmark's own fixture, which waits for the other side's turns."""
        # pytest-benchmark insists on its own class. Its two public ways of timing are all that changes.
        benchmark.__class__ = _taking_turns(type(benchmark))
        session: Any = request.config.pluginmanager.get_plugin("gradperf-gate")
        benchmark.gate_turns = session.turns
        benchmark.gate_turns.disable_gc = _option(request, "disable_gc")
        return benchmark


def _option(request: pytest.FixtureRequest, name: str) -> Any:
    marker = request.node.get_closest_marker("benchmark")
    default = request.config.getoption(f"benchmark_{name}", False)
    return marker.kwargs.get(name, default) if marker else default


def _taking_turns(own: Any) -> Any:
    class TakingTurns(own):  # type: ignore[misc]  # a class that is known only when it runs
        """Takes turns first, then lets pytest-benchmark time one call: so it has all that tests may ask for."""

        def __call__(self, function_to_benchmark: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            self.gate_turns.take(Benchmark(function_to_benchmark, args, kwargs))
            return super().pedantic(function_to_benchmark, args=args, kwargs=kwargs)

        def pedantic(
            self,
            target: Callable[..., Any],
            args: Any = (),
            kwargs: Any = None,
            setup: Callable[..., Any] | None = None,
            teardown: Callable[..., Any] | None = None,
            rounds: int = 1,
            warmup_rounds: int = 0,
            iterations: int = 1,
        ) -> Any:
            calls = (rounds + warmup_rounds) * iterations
            if calls < LEAST_CALLS:
                target = self.gate_turns.taking_once(target)
            else:
                benchmark = Benchmark(target, args, kwargs or {}, setup, teardown, calls - 1)
                self.gate_turns.take(benchmark)
            # Older versions know no teardown.
            more = {} if teardown is None else {"teardown": teardown}
            return super().pedantic(target, args=args, kwargs=kwargs, setup=setup, **more)

    return TakingTurns


class Benchmark:
    """What one test asked to be timed."""

    def __init__(
        self,
        function: Callable[..., Any],
        args: Any,
        kwargs: Any,
        setup: Callable[..., Any] | None = None,
        teardown: Callable[..., Any] | None = None,
        most_calls: int | None = None,
    ) -> None:
        """Keep it; ``most_calls`` is how often it may be called, None for no limit."""
        self.function, self.args, self.kwargs = function, args, kwargs
        self.setup, self.teardown = setup, teardown
        self.most_calls = most_calls
        self.result: Any = None

    def timed(self, calls: int) -> float:
        """Seconds of so many calls together, without their setup and teardown; the last result is kept."""
        if self.setup or self.teardown:
            return sum(self._apart() for _ in range(calls))
        function, args, kwargs = self.function, self.args, self.kwargs
        if calls == 1:
            start = time.perf_counter()
            self.result = function(*args, **kwargs)
            return time.perf_counter() - start
        times = repeat(None, calls)
        start = time.perf_counter()
        for _ in times:
            function(*args, **kwargs)
        return time.perf_counter() - start

    def _apart(self) -> float:
        args, kwargs = (self.setup() if self.setup else None) or (self.args, self.kwargs)
        start = time.perf_counter()
        self.result = self.function(*args, **kwargs)
        seconds = time.perf_counter() - start
        if self.teardown:
            self.teardown(*args, **kwargs)
        return seconds


class Turns:
    """Obeys the orders that come while a case waits at its benchmark."""

    def __init__(self, channel: Channel) -> None:
        """Take the channel that orders come by."""
        self._channel = channel
        self.case = ""
        self.was_ready = False
        self.disable_gc = False

    def take(self, benchmark: Benchmark) -> None:
        """Warm up, tell how long a call takes, and take turns until told to leave."""
        if self.was_ready:
            return  # The fixture is used a second time: pytest-benchmark raises.
        with self._undisturbed():
            calls, spent_s = 0, 0.0
            call_s = round_s = float("inf")
            returned = None
            used, before = [], _used_s()
            while not self._is_warm(calls, spent_s, benchmark.most_calls):
                start = time.perf_counter()
                call_s = min(call_s, benchmark.timed(1))
                took_s = time.perf_counter() - start
                calls, spent_s, round_s = calls + 1, spent_s + took_s, min(round_s, took_s)
                if calls == 1:
                    returned = described(benchmark.result)
                if calls == 1 or time.perf_counter() - before[0] >= SLICE_S:
                    after = _used_s()
                    used.append(tuple(map(sub, after, before)))
                    before = after
            # The first may have compiled, in as many threads as it liked.
            stays = _takes_one_cpu(used[1:] or used)
        left = None if benchmark.most_calls is None else benchmark.most_calls - calls
        benchmark.result = None
        if not benchmark.setup and not benchmark.teardown:
            round_s = call_s
        may_stay = cpus() if stays else []
        self._ready(call_s=call_s, round_s=round_s, calls_left=left, returned=returned, cpus=may_stay)
        self._obey(benchmark.timed)

    @staticmethod
    def _is_warm(calls: int, spent_s: float, most_calls: int | None) -> bool:
        """Tell whether so many calls, that took so long with setup and teardown, are enough."""
        if not calls:
            return False
        if most_calls is not None and calls * WARM_SHARE >= most_calls:
            return True
        if calls < WARM_CALLS:
            # The first call may have compiled for seconds; what takes longer is slow by itself.
            return spent_s > LONG_S
        return spent_s >= WARM_S

    def taking_once(self, target: Callable[..., Any]) -> Callable[..., Any]:
        """Give ``target`` wrapped so that its one call is a turn."""

        def once(*args: Any, **kwargs: Any) -> Any:
            benchmark = Benchmark(target, args, kwargs)
            self._ready(call_s=None, round_s=None, calls_left=1, returned=None, cpus=[])
            self._obey(benchmark.timed, once=benchmark)
            return benchmark.result

        return once

    def _ready(self, **told: Any) -> None:
        self.was_ready = True
        self._channel.answer(ready=self.case, **told)

    def _obey(self, timed: Callable[[int], float], once: Benchmark | None = None) -> None:
        affinity = Affinity()
        try:
            called = self._follow(timed, affinity, once)
        finally:
            affinity.leave()
        if once and not called:
            timed(1)  # The other side cannot take its turn; the test still wants its result.

    def _follow(self, timed: Callable[[int], float], affinity: Affinity, once: Benchmark | None) -> int:
        """Do as ordered until told to leave; count the calls."""
        called = 0
        while True:
            order = self._channel.order()
            if "turn" in order:
                switches = _switches()
                with self._undisturbed():
                    seconds = timed(order["turn"])
                    called += order["turn"]
                    units = order.get("units", 0) + round(order.get("units_per_s", 0) * seconds)
                    if units:
                        start = time.perf_counter()
                        work(units)
                        seconds += time.perf_counter() - start
                told = described(once.result) if once else None
                self._channel.answer(turn=seconds, returned=told, disturbed=_switches() > switches)
            elif "cpu" in order:
                if order["cpu"] is None:
                    affinity.leave()
                else:
                    affinity.stay(order["cpu"])
                self._channel.answer(cpu=order["cpu"])
            elif "unit" in order:
                self._channel.answer(unit=unit_s())
            else:
                return called

    @contextmanager
    def _undisturbed(self) -> Iterator[None]:
        """Without tracer and profiler, as pytest-benchmark does it, and without collections where asked for."""
        tracer, profiler, collects = sys.gettrace(), sys.getprofile(), gc.isenabled()
        sys.settrace(None)
        sys.setprofile(None)
        if self.disable_gc:
            gc.disable()
        try:
            yield
        finally:
            sys.settrace(tracer)
            sys.setprofile(profiler)
            if collects:
                gc.enable()


class Affinity:
    """Keeps all threads of this process on one CPU, until they may go where they could go before."""

    def __init__(self) -> None:
        """Change nothing yet."""
        self._before: dict[int, set[int]] = {}

    def stay(self, cpu: int) -> None:
        """Keep every thread on ``cpu``."""
        is_first = not self._before
        for thread in map(int, os.listdir(THREADS)):
            with suppress(OSError):  # It has ended meanwhile.
                if is_first:
                    self._before[thread] = os.sched_getaffinity(thread)
                os.sched_setaffinity(thread, {cpu})

    def leave(self) -> None:
        """Let every thread go; one that was started meanwhile, where the main thread may go."""
        everywhere = self._before.get(os.getpid())
        if everywhere is None:  # Nothing was kept, or this is a child that the suite forked.
            return
        for thread in map(int, os.listdir(THREADS)):
            with suppress(OSError):
                os.sched_setaffinity(thread, self._before.get(thread, everywhere))
        self._before.clear()


def cpus() -> list[int]:
    """List the CPUs that this process may be kept on, none where the system keeps no process anywhere."""
    if not hasattr(os, "sched_setaffinity") or not os.path.isdir(THREADS):
        return []
    if str(os.getpid()) not in os.listdir(THREADS):
        return []  # Another namespace's /proc, which numbers threads otherwise.
    return sorted(os.sched_getaffinity(0))


def _used_s() -> tuple[float, ...]:
    """Give seconds: those that passed, those of CPU of this thread, and those of all threads and ended children."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN) if resource else None
    of_children = children.ru_utime + children.ru_stime if children else 0.0
    return time.perf_counter(), time.thread_time(), time.process_time() + of_children


def _takes_one_cpu(slices: list[tuple[float, ...]]) -> bool:
    """Tell whether in these slices, each a difference of two answers of :func:`_used_s`, one CPU was enough.

    The slice that used most says it: another process that takes the CPU makes it less, and nothing makes it more.
    """
    of_thread, of_all = (sum(used[place] for used in slices) for place in (1, 2))
    if of_all - of_thread <= SERIAL * of_all:
        return True
    least, most = HANDED_OVER
    return least <= max(all_s / passed_s for passed_s, _, all_s in slices) <= most


def _switches() -> int:
    """Count how often the system took the CPU from this process, which then waited in the middle of its work."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw if resource else 0


def work(units: int) -> int:
    """Compute: what a planted slowdown is made of. A linear congruential generator, as nothing can shorten it."""
    state = 1
    for _ in repeat(None, units):
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
    return state


def unit_s() -> float:
    """Seconds of one unit of :func:`work`: the least of a few tries."""
    tries = []
    for _ in range(7):
        start = time.perf_counter()
        work(5000)
        tries.append((time.perf_counter() - start) / 5000)
    return min(tries)


class Session:
    """Collects the benchmarks, runs those that are wanted, and tells how each ended."""

    def __init__(self, channel: Channel, order: dict[str, Any]) -> None:
        """Take the channel and the first order."""
        self._channel, self._order = channel, order
        self.turns = Turns(channel)
        self._errors: list[str] = []
        self._outcome: dict[str, str] = {}
        self._said = False

    @pytest.hookimpl(trylast=True)  # after plugins that shuffle
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Keep what takes the fixture ``benchmark`` and is wanted, in the order that both sides share."""
        kept = [item for item in items if "benchmark" in getattr(item, "fixturenames", ())]
        if self._order["do"] == "time":
            place = {case: number for number, case in enumerate(self._order["cases"])}
            kept = sorted((item for item in kept if item.nodeid in place), key=lambda item: place[item.nodeid])
        dropped = set(items) - set(kept)
        if dropped:
            config.hook.pytest_deselected(items=list(dropped))
        items[:] = kept

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keep what could not be collected."""
        if report.failed:
            self._errors.append(f"{report.nodeid}: {_last_lines(str(report.longrepr))}")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """List, and be done; or refuse to run what was collected in part."""
        if self._order["do"] == "list":
            found = [
                {
                    "id": item.nodeid,
                    "group": _group(item),
                    "skipped": _skipped(item),
                    "control": any(marker.kwargs.get("control") for marker in item.iter_markers("gate")),
                }
                for item in session.items
            ]
            self.say(collected=found)
            return True
        return None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Tell how the case ended, whatever happened in it."""
        self.turns.case, self.turns.was_ready = item.nodeid, False
        self._outcome = {"outcome": "passed", "reason": ""}
        try:
            return (yield)
        finally:
            if self._outcome["outcome"] == "passed" and not self.turns.was_ready:
                self._outcome = {"outcome": "failed", "reason": "it did not call its benchmark fixture"}
            self._channel.answer(ended=item.nodeid, **self._outcome)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the first outcome that is not a success."""
        if report.outcome == "passed" or self._outcome["outcome"] != "passed":
            return
        reason: Any = report.longrepr
        if report.outcome == "skipped" and isinstance(reason, tuple):
            reason = reason[-1]
        crash = getattr(getattr(reason, "reprcrash", None), "message", None)
        self._outcome = {"outcome": report.outcome, "reason": _last_lines(crash or str(reason))}

    def say(self, **told: Any) -> None:
        """Answer once what the session as a whole came to."""
        if not self._said:
            self._said = True
            self._channel.answer(errors=self._errors, **told)

    def own_modules(self) -> int | None:
        """Count modules from this side's own files that are no tests; None where both sides run in one folder."""
        if not self._order.get("foreign"):
            return None
        paths = [getattr(module, "__file__", None) or "" for module in list(sys.modules.values())]
        tests = ("test_", "conftest")
        return sum(
            _within(os.path.realpath(path), os.path.realpath(self._order["own"]))
            and not os.path.basename(path).startswith(tests)
            and not path.endswith("_test.py")
            for path in paths
            if path
        )

    def strays(self) -> list[str]:
        """Modules that came from the user's checkout although this side has files of its own."""
        own, foreign = self._order.get("own"), self._order.get("foreign")
        if not foreign:
            return []
        found = []
        for name, module in list(sys.modules.items()):
            if module is sys.modules["__main__"]:
                continue  # This file: it is the gate's.
            path = os.path.realpath(getattr(module, "__file__", None) or os.sep)
            prefixes = [os.path.realpath(prefix) for prefix in (str(own), sys.prefix, sys.base_prefix)]
            if _within(path, foreign) and not any(_within(path, prefix) for prefix in prefixes):
                found.append(f"{name} ({path})")
        return found


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _group(item: pytest.Item) -> str:
    """Give the group that a case counts for: ``@pytest.mark.gate(group=…)``, or its file."""
    for marker in item.iter_markers("gate"):
        if "group" in marker.kwargs:
            return str(marker.kwargs["group"])
    return item.nodeid.partition("::")[0]


def _skipped(item: pytest.Item) -> str | None:
    marker = item.get_closest_marker("skip")
    if marker is None:
        return None
    return str(marker.kwargs.get("reason") or (marker.args[0] if marker.args else "") or "unconditional skip")


def _last_lines(text: str) -> str:
    return text.strip()[-REASON_LENGTH:]


MOST_LEAVES = 1000
MOST_NUMBERS = 1_000_000


def described(value: Any) -> list[list[Any]]:
    """Describe what a call returned: a list of ``[path, kind, …]``, small, so that two sides can be compared.

    What is exact is compared by its hash; numbers by sums that rounding moves little. An object of another kind is
    described by its type alone.
    """
    leaves: list[list[Any]] = []
    try:
        _describe(value, "", leaves, 0)
    except Exception as error:  # Anything may hide behind an attribute; the timing does not depend on it.
        return [["", "unknown", type(error).__name__]]
    return leaves[:MOST_LEAVES]


def _describe(value: Any, path: str, leaves: list[list[Any]], depth: int) -> None:
    if len(leaves) >= MOST_LEAVES:
        return
    kind = type(value)
    if value is None or kind in (bool, int, str, bytes):
        leaves.append([path, "exact", kind.__name__, hashlib.sha256(repr(value).encode()).hexdigest()[:16]])
    elif kind in (float, complex):
        leaves.append([path, "number", 64, 1, [value.real, value.imag], abs(value)])
    elif isinstance(value, (list, tuple)) and depth < 8:
        leaves.append([path, "exact", kind.__name__, str(len(value))])
        for number, entry in enumerate(value[:MOST_LEAVES]):
            _describe(entry, f"{path}[{number}]", leaves, depth + 1)
    elif isinstance(value, dict) and depth < 8:
        leaves.append([path, "exact", kind.__name__, str(len(value))])
        for key in sorted(value, key=str)[:MOST_LEAVES]:
            _describe(value[key], f"{path}[{key!r}]"[:200], leaves, depth + 1)
    elif "numpy" in sys.modules and (hasattr(value, "__array__") or hasattr(value, "detach")):
        leaves.append([path, *_array(value)])
    else:
        leaves.append([path, "unknown", kind.__name__])


def _array(value: Any) -> list[Any]:
    np: Any = sys.modules["numpy"]
    try:
        if hasattr(value, "detach"):
            value = value.detach()
        if hasattr(value, "cpu"):
            value = value.cpu()
        array = np.asarray(value)
        if array.dtype.kind not in "biufc":
            return ["unknown", type(value).__name__]
        bits = array.dtype.itemsize * 8 // (2 if array.dtype.kind == "c" else 1)
        flat = array.ravel()[:: max(1, array.size // MOST_NUMBERS)]
        flat = flat.astype(np.complex128 if array.dtype.kind == "c" else np.float64)
        finite = np.isfinite(flat)
        shape = f"{'x'.join(map(str, array.shape))} {array.dtype} {int(finite.sum())}"
        flat = flat[finite]
        weighted = complex(flat @ np.cos(np.arange(flat.size)))
        total = complex(flat.sum())
    except Exception:  # A device that is gone, a type that numpy does not know.
        return ["unknown", type(value).__name__]
    numbers = [weighted.real, weighted.imag, total.real, total.imag]
    return ["number", bits, shape, numbers, float(np.abs(flat).sum())]


def main() -> int:
    """Serve one session."""
    orders, answers, *arguments = sys.argv[1:]
    sys.argv[1:] = arguments
    channel = Channel(int(orders), int(answers))
    order = channel.order()
    sys.path.insert(0, os.getcwd())  # as ``python -m pytest`` does
    if importlib.util.find_spec("pytest_cov"):
        arguments.append("--no-cov")  # A tracer would be timed too.
    session = Session(channel, order)
    plugins = [Options(), _Named(session)]
    code = int(pytest.main(arguments, plugins=plugins))
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # there is none, or nobody can write to it
            stream.flush()  # The gate shows it where it did not expect this end.
    session.say(bye=code, strays=session.strays(), own_modules=session.own_modules())
    return 0


class _Named:
    """Registers the session under its name, which the fixture finds it by."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        config.pluginmanager.register(self._session, "gradperf-gate")


if __name__ == "__main__":
    sys.exit(main())
