"""A child process that computes cases on command: ``python -m gradperf.case_pairs.worker ORDERS ANSWERS``.

It reads one order from the file descriptor ORDERS, obeys and ends. Orders and answers are lines of JSON:

``{"do": "turns", "cases": […], "beside": […], "threads", "tier", "seed"}``
    Import and use the frameworks ``beside``; answer ``{"collected": cases, "errors": []}``. Then prepare each case,
    and take turns at it as :mod:`gradperf.pairs.child.turns` describes; answer ``{"ended": case, "outcome",
    "reason"}``. At the end answer ``{"bye": 0, "errors": []}``.
``{"do": "count"}``
    Answer ``{}``; at the next order ``{"seconds": …}`` count for that long, and answer ``{"cpu_s", "wall_s"}``.
"""

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from gradperf.errors import UserError
from gradperf.machine import threads
from gradperf.pairs.child.channel import Channel
from gradperf.pairs.child.turns import Benchmark, Turns


def main() -> int:
    """Obey the order; return the exit code."""
    channel = Channel(*map(int, sys.argv[1:]))
    order = channel.order()
    match order["do"]:
        case "turns":
            _take_turns(channel, order)
        case "count":
            channel.answer()
            channel.answer(**_count(channel.order()["seconds"]))
        case unknown:
            raise ValueError(f"unknown order {unknown!r}")
    return 0


def _take_turns(channel: Channel, order: Mapping[str, Any]) -> None:
    turns = Turns(channel)
    turns.several_threads = order["threads"] > 1
    obstacle = _use(order["beside"], order["threads"])
    channel.answer(collected=order["cases"], errors=[])
    for id_ in order["cases"]:
        turns.begin(id_)
        outcome, reason = "passed", ""
        try:
            if obstacle:
                raise UserError(obstacle)
            turns.take(Benchmark(prepared(id_, order)))
        except UserError as error:
            outcome, reason = "failed", str(error)
        channel.answer(ended=id_, outcome=outcome, reason=reason)
    channel.answer(bye=0, errors=[])


def prepared(id_: str, order: Mapping[str, Any]) -> Callable[..., Any]:
    """Bind the threads and prepare the case ``id_``."""
    threads.bind(order["threads"])
    from gradperf import cases, frameworks

    settings = cases.Settings(order["tier"], order["threads"], order["seed"])
    case = cases.find(id_, settings)
    frameworks.load(case.framework, settings.threads)
    inputs = case.problem.inputs(settings.seed, case.dtype)
    run: Callable[..., Any] = case.implementation.prepare(case.problem, inputs, case.device, case.dtype)
    return run


def _use(names: list[str], count: int) -> str:
    """Have each framework multiply two matrices, so that its pools of threads exist; return why one cannot."""
    threads.bind(count)
    from gradperf import frameworks, problems

    problem = problems.find("matmul_64x64x64")
    for name in names:
        try:
            missing = frameworks.load(name, count).missing("cpu")
        except UserError as error:
            missing = str(error)
        if missing:
            return f"{name} cannot be used beside it: {missing}"
        inputs = problem.inputs(0, "float32")
        frameworks.style(name, problem.family, "operator").prepare(problem, inputs, "cpu", "float32")()
    return ""


def _count(seconds: float) -> dict[str, float]:
    """Count for ``seconds``; return the CPU time that this took."""
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    while time.perf_counter() - wall_s < seconds:
        sum(range(1000))
    return {"cpu_s": time.process_time() - cpu_s, "wall_s": time.perf_counter() - wall_s}


if __name__ == "__main__":
    sys.exit(main())
