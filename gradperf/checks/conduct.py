"""Checks the conduct of a style before every timing: its time must measure its work.

:mod:`gradperf.checks.agreement` proves that the numbers are right. But a style may still skip work, or do it when
the clock does not run.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import numpy as np

from gradperf import frameworks
from gradperf.cases import Settings
from gradperf.checks import agreement, calls, path, work
from gradperf.checks.agreement import Agreed
from gradperf.checks.ceilings import ceilings
from gradperf.checks.misconduct import Misconduct
from gradperf.frameworks.contract import Style, each
from gradperf.machine import children, tasks, threads
from gradperf.machine.libraries import pool_sizes

_FRAMEWORKS = ("jax", "jaxlib", "keras", "tensorflow", "torch")
"""Packages whose threads serve all cases."""

CPU_MARGIN = 1.1
"""Allowed CPU seconds per second and thread; above 1, as the two clocks are not read at one instant."""

IDLE_S = 0.05
"""How long idle threads are watched. A pool may look for more work for a millisecond after a call."""

IDLE_SHARE = 0.05
"""Allowed CPU seconds per second and idle thread meanwhile. One that does not sleep uses what other work leaves it.

Seen: 0.001 to 0.01 of threads that sleep, and 0.1 to 1 of threads that do not, on two CPUs with a load of 6."""

OUTSIDE = 3.0
"""A call outside of the benchmark may take this many times as long as the fastest round: the machine may have
become slower, by a factor of 2 on a shared host."""

OUTSIDE_S = 2.0
"""How long a call is looked for that is fast enough."""

_LEAST_OUTSIDE = 3


IDLE_MOST = 0.3
"""Allowed part of a call in which nothing is computed. Handing work to another thread takes a few microseconds."""

CHILDREN_SHARE = 0.1
"""Allowed CPU seconds per second of the processes that a style started. Idle compilers use none."""

_CHILDREN_S = 0.1
"""How long the processes that a style started are watched at least."""


def examine(agreed: Agreed, settings: Settings, style: Style | None = None) -> int | None:
    """Run all checks; return the operations counted in matrix products of one step, None if uncounted.

    ``style`` replaces the case's own. Raises :class:`Misconduct` or :class:`agreement.Disagreement`.
    """
    check_data(agreed)
    check_arithmetic(agreed)
    check_pools(agreed, settings.threads)
    if settings.threads > 1 and not threads.waiting_by_user():
        check_idle(agreed, settings.threads)
    check_computes_anew(agreed)
    check_compiles_nothing(agreed)
    check_threads(agreed)
    try:
        check_rehearsal(agreed, rehearse(agreed), settings.threads)
    except Misconduct:  # a moment in which this process was not scheduled can look the same
        check_rehearsal(agreed, rehearse(agreed), settings.threads)
    product_flops = work.check(agreed, style or agreed.case.implementation, settings.seed)
    work.check_each_step(agreed, style or agreed.case.implementation, settings.seed)
    check_execution(agreed, style or agreed.case.implementation)
    path.check(agreed, style or agreed.case.implementation)
    calls.check(agreed, style or agreed.case.implementation, settings.seed)
    return product_flops


def check_rehearsal(agreed: Agreed, rehearsal: "Rehearsal", count: int) -> None:
    """Check what only times show. If results were ready, copying them took no longer than copying them again."""
    if rehearsal.late_s > max(rehearsal.call_s / 4, 1e-4):
        raise Misconduct(
            f"{agreed.case.id}: the call returned after {rehearsal.call_s * 1e3:.3g} ms, "
            f"and its results were ready {rehearsal.late_s * 1e3:.3g} ms later"
        )
    check_children(agreed.case.id, rehearsal.children_cpu_per_wall)
    if agreed.case.device == "cpu" and count == 1:
        check_waits(agreed.case.id, rehearsal)
    check_cpu_time(agreed.case.id, agreed.case.device, rehearsal.cpu_per_wall, count)
    check_possible(agreed, rehearsal.call_s, count)


@dataclass(frozen=True)
class Rehearsal:
    """The times of a few calls before the timing. Each number is the smallest of them, as noise only adds."""

    call_s: float
    late_s: float
    """How much longer copying the results took the first time than the second."""
    cpu_per_wall: float
    """CPU seconds of the whole process per second."""
    idle_per_wall: float
    """The part of the time in which no thread used a CPU or was ready for one."""
    pauses_per_call: float
    """How often threads of this process gave up their CPU."""
    children_cpu_per_wall: float = 0.0
    """CPU seconds per second of the processes that the style started."""


def rehearse(agreed: Agreed) -> Rehearsal:
    """Call three times, or once if a call takes long."""
    tries: list[Rehearsal] = []
    children_cpu_s, begin_s = children.cpu_s(), time.perf_counter()
    while not tries or (len(tries) < 3 and tries[0].call_s < 0.3):
        returned, calls = None, 0
        waiting_s, pauses = tasks.waiting_s(), tasks.pauses()
        start_s, cpu_start_s = time.perf_counter(), time.process_time()
        # Long enough for the resolution of the CPU clock.
        while returned is None or time.perf_counter() - start_s < 0.01:
            call_start_s = time.perf_counter()
            returned = agreed.run()
            returned_s, calls = time.perf_counter(), calls + 1
        wall_s, cpu_s = time.perf_counter() - start_s, time.process_time() - cpu_start_s
        waited = tasks.waited(waiting_s, wall_s) or 0.0
        pauses = tasks.pauses() - pauses
        agreement.check_ready(agreed.case, agreed.runtime, returned)
        late_s = _fetch_s(agreed, returned) - _fetch_s(agreed, returned)
        cpu_per_wall = cpu_s / wall_s
        tries.append(
            Rehearsal(returned_s - call_start_s, late_s, cpu_per_wall, 1 - cpu_per_wall - waited, pauses / calls)
        )
    least = Rehearsal(*(min(getattr(each, field.name) for each in tries) for field in fields(Rehearsal)))
    # The CPU time of another process is known to 10 ms at best.
    while children_cpu_s and time.perf_counter() - begin_s < _CHILDREN_S:
        agreed.run()
    of_children = (children.cpu_s() - children_cpu_s) / (time.perf_counter() - begin_s)
    return replace(least, children_cpu_per_wall=of_children)


def _fetch_s(agreed: Agreed, outputs: Any) -> float:
    """Return the seconds until all outputs are ready.

    Copying to numpy also computes lazy arrays. From a device the first copy takes long, ready or not: there the
    outputs are only waited for.
    """
    start_s = time.perf_counter()
    if agreed.case.device == "cpu":
        for _, array in each(outputs):
            agreed.runtime.to_numpy(array)
    else:
        agreed.runtime.wait(outputs)
    return time.perf_counter() - start_s


def check_arithmetic(agreed: Agreed) -> None:
    """Check that this thread does not flush to zero or use TF32: both are another, faster arithmetic.

    TensorFlow and XLA flush in their own threads by design; no problem has subnormal numbers.
    """
    if not np.array([np.finfo("f4").tiny], "f4") / 2 > 0:
        raise Misconduct(
            f"{agreed.case.id}: subnormal numbers are flushed to zero in this process; "
            "something switched that on, such as torch.set_flush_denormal"
        )
    if agreed.case.dtype == "float32" and agreed.runtime.facts().reduced_precision:
        raise Misconduct(
            f"{agreed.case.id}: float32 products may be computed in TF32 or less, and the case says float32"
        )


def check_changes_nothing(name: str) -> None:
    """Check that nothing that all cases share was changed, by this case or one before it."""
    if changed := frameworks.changes():
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise Misconduct(
            f"{name}: this case, or one before it, changed what all cases share: {'; '.join(changed[:3])}{more}"
        )


def check_pools(agreed: Agreed, count: int) -> None:
    """Check that every pool of threads in this process has the size that was asked for."""
    reported = agreed.runtime.facts()
    if reported.asynchronous and count == 1 and agreed.case.device == "cpu":
        raise Misconduct(
            f"{agreed.case.id}: --threads 1 is not honoured: {agreed.case.framework} computes one call "
            "while it dispatches the next"
        )
    pools = pool_sizes()
    if reported.threads is not None:
        pools[agreed.case.framework] = reported.threads
    if wrong := {name: size for name, size in pools.items() if size != count}:
        sizes = ", ".join(f"{name} has {size}" for name, size in wrong.items())
        raise Misconduct(f"{agreed.case.id}: --threads {count} is not honoured: {sizes}")


def check_idle(agreed: Agreed, count: int) -> None:
    """Check that the threads of this process sleep when nothing is computed: others would wait for their CPUs.

    The lowest of three shares counts: something else in this process may work once, and other work on the machine
    only lowers them.
    """
    most, shares = IDLE_SHARE * (count - 1), list[float]()
    while len(shares) < 3 and min(shares, default=math.inf) > most:
        agreed.run()
        start_s, cpu_start_s = time.perf_counter(), time.process_time()
        time.sleep(IDLE_S)
        shares.append((time.process_time() - cpu_start_s) / (time.perf_counter() - start_s))
    if (share := min(shares)) > most:
        raise Misconduct(
            f"{agreed.case.id}: idle threads do not sleep: after a call, this process uses {share:.2f} CPU seconds "
            "per second and computes nothing"
        )


def check_computes_anew(agreed: Agreed) -> None:
    """Overwrite what a call returned, and call again: a kept result is then lost, or the same object."""
    case, runtime = agreed.case, agreed.runtime
    before = agreed.run()
    lasting = {id(array) for _, array in each(before) if not runtime.overwrite(array)}
    returned = agreed.run()
    if kept := dict.fromkeys(name for name, array in each(returned) if id(array) in lasting):
        raise Misconduct(f"{case.id}: {', '.join(kept)} was not computed again but kept from the call before")
    outputs = agreement.to_numpy(case, runtime, returned, agreed.outputs, " after overwriting")
    if lost := [name for name, array in outputs.items() if np.isnan(array).any()]:
        raise Misconduct(
            f"{case.id}: {', '.join(lost)} was not computed again: what the caller wrote there came back"
        )
    agreement.check_entries(case, outputs, agreed.outputs, " after overwriting")


def check_compiles_nothing(agreed: Agreed) -> None:
    """Check that a warm call traces and compiles nothing."""
    with agreed.runtime.compilations() as compiled:
        agreed.run()
    if compiled:
        events = ", ".join(dict.fromkeys(compiled))
        raise Misconduct(
            f"{agreed.case.id}: compiles inside the timed part, {len(compiled)} times in one call: {events}"
        )


def check_threads(agreed: Agreed) -> None:
    """Check that no thread of Python that was started since the style was prepared works after a call.

    Threads of a framework may, such as those that talk to the processes in which Inductor compiles.
    """
    agreed.run()
    time.sleep(1e-4)  # so that a thread that was given work begins with it
    begun = tasks.of_python() - agreed.threads
    if working := {work for work in map(tasks.work_of, begun) if work is not None} - {*_FRAMEWORKS}:
        raise Misconduct(
            f"{agreed.case.id}: leaves work to a thread: after a call, one executes a function of "
            f"{', '.join(sorted(working))}"
        )


def check_data(agreed: Agreed) -> None:
    """Check that the data exercise the problem: a gradient that is 0 everywhere can be computed in any way."""
    case = agreed.case
    if dead := [name for name, array in agreed.reference_gradients.items() if not array.any()]:
        raise Misconduct(
            f"{case.id}: {', '.join(dead)} is 0 everywhere with these data; another --seed draws others"
        )
    if still := [name for name, way, rounding in ways(agreed) if not way > rounding]:
        raise Misconduct(
            f"{case.id}: {', '.join(still)} moves by less than {case.dtype} can show: an update without an effect "
            "would not be seen"
        )
    if degenerate := case.problem.degenerate(agreed.inputs):
        raise Misconduct(f"{case.id}: {degenerate}; another --seed draws other data")


def ways(agreed: Agreed) -> Iterator[tuple[str, float, float]]:
    """Yield each parameter, how far all steps move it, and how much of that rounding can hide."""
    case, eps = agreed.case, float(np.finfo(agreed.case.dtype).eps)
    for name in sorted(agreed.outputs.keys() & agreed.inputs.keys()):
        start = agreed.inputs[name].astype(np.float64)
        way = float(np.linalg.norm(agreed.outputs[name] - start))
        yield name, way, case.problem.steps * eps / 2 * float(np.linalg.norm(start))


def check_afterwards(agreed: Agreed, style: Style, round_s: float, seed: int) -> None:
    """Check after the rounds, of which the fastest took ``round_s``, that the work is still the same."""
    check_outside(agreed, style, round_s)
    if agreed.runtime.COUNTS_PREPARED:
        work.check(agreed, style, seed)
    path.check_again(agreed, style)


def check_outside(agreed: Agreed, style: Style, round_s: float) -> None:
    """Check that a call outside of the benchmark, or of a moment, takes as long as its fastest round.

    A style could do other work when it is called by the runner, or after many calls. Where only newly prepared
    styles can be counted, they are prepared anew for every few calls. Other work on the
    machine may slow the calls here, so the fastest counts, and there are more of them until one is fast enough.
    """
    case, run = agreed.case, agreed.run
    fastest_s, calls, start_s = math.inf, 0, time.perf_counter()
    while fastest_s > OUTSIDE * round_s and (calls < _LEAST_OUTSIDE or time.perf_counter() - start_s < OUTSIDE_S):
        if not agreed.runtime.COUNTS_PREPARED and calls % _LEAST_OUTSIDE == 0:
            prepared = style.prepare(agreed.prepared, agreed.inputs, case.device, case.dtype)
            run = partial(prepared, case.problem.steps)
            run()
        call_start_s = time.perf_counter()
        run()
        fastest_s, calls = min(fastest_s, time.perf_counter() - call_start_s), calls + 1
    if fastest_s > OUTSIDE * round_s:
        raise Misconduct(
            f"{case.id}: does less work in the benchmark than outside of it: the fastest round took "
            f"{round_s * 1e3:.3g} ms, and the fastest of {calls} calls afterwards {fastest_s * 1e3:.3g} ms"
        )


def check_execution(agreed: Agreed, style: Style) -> None:
    """Check that a call is executed as the style says: by operations, graphs, or compiled programs."""
    if style.execution == "unknown":
        return
    case, steps = agreed.case, agreed.case.problem.steps
    prepare = partial(style.prepare, agreed.prepared, agreed.inputs, case.device, case.dtype)
    found = agreed.runtime.execution(agreed.run, prepare)
    same = {found, style.execution} == {"jit", "one program"} and steps == 1  # one step is all steps
    if found != style.execution and not same:
        raise Misconduct(
            f"{agreed.case.id}: is executed otherwise than its style says: {found}, not {style.execution} "
            "(EXECUTION of the style)"
        )


def check_possible(agreed: Agreed, call_s: float, count: int) -> None:
    """Check that a call takes at least half the least time of this machine, measured again before it fails.

    Half, because ceilings have errors too, and a step that reads more than it writes can be faster than a copy.
    """
    case = agreed.case
    work = case.problem.work(case.dtype)
    for again in (False, True):
        rates = ceilings(case.framework, case.device, case.dtype, count, again=again)
        least_s = rates.least_s(work.flops, work.bytes) * case.problem.steps
        if call_s >= least_s:
            return
    if call_s < least_s / 2:
        raise Misconduct(
            f"{case.id}: faster than this machine: {call_s:.3g} s for a call whose operations and bytes "
            f"take {least_s:.3g} s at best"
        )


def check_cpu_time(name: str, device: str, cpu_per_wall: float, count: int) -> None:
    """Check that what runs on the CPU takes no more CPU seconds per second than threads.

    With a GPU, threads of the framework and the driver launch and wait beside the one that calls.
    """
    if device == "cpu" and cpu_per_wall > count * CPU_MARGIN:
        raise Misconduct(
            f"{name}: --threads {count} is not honoured: it uses {cpu_per_wall:.2f} CPU seconds per second"
        )


def check_children(name: str, cpu_per_wall: float) -> None:
    """Check that the processes that a style started, if any, do not work: their CPUs would not be counted."""
    if cpu_per_wall > CHILDREN_SHARE:
        raise Misconduct(
            f"{name}: it computes in other processes: those that it started use {cpu_per_wall:.2f} CPU seconds per "
            "second"
        )


def check_waits(name: str, rehearsal: Rehearsal) -> None:
    """Check that a call does not wait for anything: then its time is not that of its work.

    A CPU that the host took away looks idle too, but then no thread gave it up.
    """
    if rehearsal.idle_per_wall > IDLE_MOST and rehearsal.pauses_per_call >= 1:
        raise Misconduct(
            f"{name}: it waits in {rehearsal.idle_per_wall:.0%} of its time, and no other work is the cause: no "
            "thread of this process used a CPU or was ready for one"
        )


def check_clock(name: str, timed_s: float, wall_s: float) -> None:
    """Check that all rounds together took no longer than the wall clock says."""
    if timed_s > wall_s:
        raise Misconduct(f"{name}: its rounds add up to {timed_s:.6g} s, but all of them took {wall_s:.6g} s")
