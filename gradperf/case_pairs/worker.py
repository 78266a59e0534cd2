"""A process of its own that computes on command: what two fresh processes time alike is not the luck of one.

The process is ``python -m gradperf.case_pairs.worker``. It reads one order a line and answers each with one line of
JSON:

``busy SECONDS``
    Count for so long; ``{"cpu_s": …, "wall_s": …}``.
``prepare CASE THREADS``
    Bind the threads, import numpy, prepare the case by its style and call it until it is warm; ``{"call_s": …}``,
    the median of the warm calls. A process may prepare several cases; later orders are about the last one.
``neighbours THREADS FRAMEWORK…``
    Bind the threads, import these frameworks and have each multiply two matrices, so that their pools of threads
    are there; ``{}``.
``rounds COUNT``
    Time so many calls, each by itself, as ``pytest perf`` does; ``{"median_s": …}``.
``cpu NUMBER``
    Stay on that CPU, with all threads, until the next case is prepared; ``{}``.
``turn COUNT``
    Time so many calls as one; ``{"call_s": …}``, the mean.

It ends when its input does: closed, or gone with the process that gave the orders. So nothing is left behind,
however that one ended. Nothing but answers goes to the output; what a library prints goes to standard error.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from statistics import median
from types import TracebackType
from typing import Any, Self

from gradperf.errors import UserError
from gradperf.gate.measuring.worker import Affinity
from gradperf.machine import threads

WARM_S = 0.05
WARM_CALLS = 3
"""A case is called for so long, and so often, before it counts as warm."""


class Worker:
    """The side that gives orders; ends the process on the way out of ``with``."""

    def __init__(self) -> None:
        """Start a process that waits for orders."""
        self._process = subprocess.Popen(  # noqa: S603 - this very file
            # -P: whatever lies in the working directory does not shadow numpy.
            [sys.executable, "-P", "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # Out of the terminal's foreground: Ctrl-C is for the one who gives the orders, who then ends this one.
            process_group=0,
        )

    def send(self, *order: object) -> None:
        """Give an order without waiting; each :meth:`answer` belongs to the earliest order not yet answered."""
        assert self._process.stdin is not None
        try:
            print(*order, file=self._process.stdin, flush=True)
        except BrokenPipeError:
            raise self._died() from None

    def answer(self) -> dict[str, Any]:
        """Wait for an answer; raises UserError when the process died, or could not obey."""
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline()):
            raise self._died()
        found: dict[str, Any] = json.loads(line)
        if "error" in found:
            raise UserError(found["error"])
        return found

    def ask(self, *order: object) -> dict[str, Any]:
        """Give an order and wait for the answer."""
        self.send(*order)
        return self.answer()

    def _died(self) -> UserError:
        return UserError(f"a measuring process ended by itself, with exit code {self._process.wait()}")

    def __enter__(self) -> Self:
        """Give the worker itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process, at once where its answers are no longer wanted."""
        if kind is not None:
            self._process.kill()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):  # it is gone already
            self._process.stdin.close()
        self._process.stdout.close()
        try:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=10)
        finally:  # after a second Ctrl-C too
            self._process.kill()
            self._process.wait()


def busy(seconds: float) -> dict[str, float]:
    """Count for ``seconds``; tell how much CPU time that got."""
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    while time.perf_counter() - wall_s < seconds:
        sum(range(1000))
    return {"cpu_s": time.process_time() - cpu_s, "wall_s": time.perf_counter() - wall_s}


def prepared(id_: str, count: int) -> Callable[[], Any]:
    """Bind ``count`` threads and prepare the case ``id_``, with the inputs of seed 0."""
    threads.bind(count)
    from gradperf import cases, frameworks

    settings = cases.Settings(threads=count)
    case = cases.find(id_, settings)
    frameworks.load(case.framework, count)
    inputs = case.problem.inputs(settings.seed, case.dtype)
    run: Callable[[], Any] = case.implementation.prepare(case.problem, inputs, case.device, case.dtype)
    return run


def neighbours(count: int, names: list[str]) -> dict[str, Any]:
    """Bind ``count`` threads; import the frameworks called ``names``, and use each once."""
    threads.bind(count)
    from gradperf import frameworks, problems

    problem = problems.find("matmul_64x64x64")
    for name in names:
        frameworks.load(name, count)
        inputs = problem.inputs(0, "float32")
        frameworks.style(name, problem.family, "operator").prepare(problem, inputs, "cpu", "float32")()
    return {}


def each_s(call: Callable[[], Any], count: int) -> list[float]:
    """Seconds of each of ``count`` calls."""
    taken = []
    for _ in range(count):
        start_s = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start_s)
    return taken


def turn_s(call: Callable[[], Any], count: int) -> float:
    """Seconds of one call, on average over ``count`` in a row."""
    start_s = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - start_s) / count


def warmed_s(call: Callable[[], Any]) -> float:
    """Call until warm; seconds of one call then, the median."""
    each_s(call, 1)  # the first one allocates and may compile
    taken: list[float] = []
    while len(taken) < WARM_CALLS or sum(taken) < WARM_S:
        taken += each_s(call, 1)
    return median(taken)


def serve() -> None:
    """Obey orders until there are no more."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    call: Callable[[], Any] | None = None
    affinity = Affinity()
    # Not "for line in": that reads ahead.
    while line := sys.stdin.readline():
        found: dict[str, Any]
        try:
            match line.split():
                case ["busy", seconds]:
                    found = dict(busy(float(seconds)))
                case ["prepare", id_, count]:
                    affinity.leave()
                    call = prepared(id_, int(count))
                    found = {"call_s": warmed_s(call)}
                case ["neighbours", count, *names]:
                    found = neighbours(int(count), names)
                case ["rounds", count] if call:
                    found = {"median_s": median(each_s(call, int(count)))}
                case ["cpu", number]:
                    affinity.stay(int(number))
                    found = {}
                case ["turn", count] if call:
                    found = {"call_s": turn_s(call, int(count))}
                case _:
                    found = {"error": f"a measuring process cannot obey {line.strip()!r}"}
        except UserError as error:
            found = {"error": str(error)}
        try:
            print(json.dumps(found), file=answers, flush=True)
        except BrokenPipeError:  # nobody listens any more
            os._exit(0)  # the interpreter would complain about the output when it closes it


if __name__ == "__main__":
    serve()
