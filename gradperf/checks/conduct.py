"""How a style behaves when it is called: whether its time will mean what it says. Checked before every timing.

:mod:`gradperf.checks.agreement` proves that the numbers are right; a style may still be timed at what it does not
do. So each case that is timed must, beyond that,

- compute anew at every call: what it handed back is overwritten, and must be there again;
- end when its results are there: bringing them to numpy must not take longer the first time than the second;
- compile and trace nothing once it is warm;
- make exactly the matrix products that the problem takes, counted by the framework where it can;
- not be faster than the machine could be (:mod:`gradperf.checks.ceilings`);
- keep to the threads that were asked for, by the word of every pool and by the CPU seconds it uses;
- compute in no less than its dtype, in a thread that does not flush subnormal numbers to zero. (TensorFlow and XLA
  do so in their own threads by design; no problem has subnormal numbers.)
"""

import math
import time
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from gradperf.cases import Settings
from gradperf.checks import agreement
from gradperf.checks.agreement import Agreed
from gradperf.checks.ceilings import ceilings
from gradperf.frameworks.contract import Backward, Forward, Run, each
from gradperf.machine.libraries import pool_sizes
from gradperf.problems import Arrays
from gradperf.problems.training import Training


class Misconduct(AssertionError):
    """A style whose time would not mean what it says."""


def examine(agreed: Agreed, settings: Settings, style: Any = None) -> int | None:
    """Check everything above; gives the operations counted in matrix products of one step, None where uncounted.

    ``style`` stands in for the case's own module. Raises :class:`Misconduct` or :class:`agreement.Disagreement`.
    """
    check_arithmetic(agreed)
    check_pools(agreed, settings.threads)
    check_computes_anew(agreed)
    check_compiles_nothing(agreed)
    try:
        check_rehearsal(agreed, rehearse(agreed), settings.threads)
    except Misconduct:  # one moment in which this process was not scheduled can look like it
        check_rehearsal(agreed, rehearse(agreed), settings.threads)
    return check_work(agreed, style or agreed.case.module)


def check_rehearsal(agreed: Agreed, rehearsal: "Rehearsal", count: int) -> None:
    """Check what shows in time."""
    check_ends_ready(agreed, rehearsal)
    check_cpu_time(agreed.case.id, rehearsal.cpu_per_wall, count)
    check_possible(agreed, rehearsal.call_s, count)


@dataclass(frozen=True)
class Rehearsal:
    """What a few calls before the timing took, each the least of them: noise only adds."""

    call_s: float
    late_s: float
    """How much longer it took to see the results the first time than the second."""
    cpu_per_wall: float
    """CPU seconds of the whole process per second."""


def rehearse(agreed: Agreed) -> Rehearsal:
    """Call three times, or once where that takes long."""
    tries: list[Rehearsal] = []
    while not tries or (len(tries) < 3 and tries[0].call_s < 0.3):
        calls = 0
        start_s, cpu_start_s = time.perf_counter(), time.process_time()
        # So long that the clock of CPU seconds is fine enough.
        while not calls or time.perf_counter() - start_s < 0.01:
            call_start_s = time.perf_counter()
            returned = agreed.run()
            returned_s = time.perf_counter()
            calls += 1
        wall_s, cpu_s = time.perf_counter() - start_s, time.process_time() - cpu_start_s
        agreement.check_ready(agreed.case, agreed.runtime, returned)
        look_s = [_look(agreed, returned) for _ in range(2)]
        tries.append(Rehearsal(returned_s - call_start_s, look_s[0] - look_s[1], cpu_s / wall_s))
    return Rehearsal(*(min(getattr(each, field.name) for each in tries) for field in fields(Rehearsal)))


def _look(agreed: Agreed, outputs: Any) -> float:
    """Seconds until all outputs are there.

    On the CPU they are brought to numpy, which no lazy array survives; from a device only waited for, as the
    transfer takes time of its own, and once.
    """
    start_s = time.perf_counter()
    if agreed.case.device == "cpu":
        for _, array in each(outputs):
            agreed.runtime.to_numpy(array)
    else:
        agreed.runtime.wait(outputs)
    return time.perf_counter() - start_s


def check_arithmetic(agreed: Agreed) -> None:
    """No flush-to-zero in this thread, and no TF32: either makes another, faster arithmetic of it."""
    if not np.array([np.finfo("f4").tiny], "f4") / 2 > 0:
        raise Misconduct(
            f"{agreed.case.id}: subnormal numbers are flushed to zero in this process; "
            "something switched that on, such as torch.set_flush_denormal"
        )
    if agreed.case.dtype == "float32" and agreed.runtime.told().reduced_precision:
        raise Misconduct(
            f"{agreed.case.id}: float32 products may be computed in TF32 or less, and the case says float32"
        )


def check_pools(agreed: Agreed, count: int) -> None:
    """Every pool of threads in this process must have the size that was asked for."""
    told = agreed.runtime.told()
    if told.asynchronous and count == 1 and agreed.case.device == "cpu":
        raise Misconduct(
            f"{agreed.case.id}: --threads 1 is not honoured: {agreed.case.framework} computes one call "
            "while it dispatches the next"
        )
    pools = pool_sizes()
    if told.threads is not None:
        pools[agreed.case.framework] = told.threads
    if wrong := {name: size for name, size in pools.items() if size != count}:
        sizes = ", ".join(f"{name} has {size}" for name, size in wrong.items())
        raise Misconduct(f"{agreed.case.id}: --threads {count} is not honoured: {sizes}")


def check_computes_anew(agreed: Agreed) -> None:
    """Overwrite what a call returned, and call again: a result that was kept is lost, or is the same object."""
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


def check_ends_ready(agreed: Agreed, rehearsal: Rehearsal) -> None:
    """Results on their way make the first look at them longer than the second."""
    if rehearsal.late_s > max(rehearsal.call_s / 4, 1e-4):
        raise Misconduct(
            f"{agreed.case.id}: the call returned after {rehearsal.call_s * 1e3:.3g} ms, "
            f"and its results were there {rehearsal.late_s * 1e3:.3g} ms later"
        )


def check_compiles_nothing(agreed: Agreed) -> None:
    """A warm call traces and compiles nothing: that belongs to the first one."""
    with agreed.runtime.compilations() as compiled:
        agreed.run()
    if compiled:
        told = ", ".join(dict.fromkeys(compiled))
        raise Misconduct(
            f"{agreed.case.id}: compiles inside the timed part, {len(compiled)} times in one call: {told}"
        )


def check_work(agreed: Agreed, style: Any) -> int | None:
    """Hold the counted matrix products to those of the problem."""
    case = agreed.case
    if hasattr(style, "UNCOUNTED"):
        return None
    problem, run = case.problem, agreed.run
    if isinstance(problem, Training) and problem.steps > _MOST_COUNTED:
        # Programs are counted step by step: a long training is, in a short one.
        problem = replace(problem, steps=10)
        run = style.prepare(problem, agreed.inputs, case.device, case.dtype)

    def prepare(inputs: Arrays) -> Any:
        return style.prepare(problem, inputs, case.device, case.dtype)

    counted = agreed.runtime.product_flops(run, prepare, agreed.inputs)
    needed = problem.steps * problem.work(case.dtype).product_flops
    if counted != needed:
        raise Misconduct(
            f"{case.id}: does {'more' if counted > needed else 'less'} work than the problem takes: {counted:,} "
            f"operations in matrix products counted in {problem.steps} steps, {needed:,} needed. "
            "(Products that cannot be counted: say so in UNCOUNTED.)"
        )
    return counted // problem.steps


def halves(agreed: Agreed, inputs: Arrays | None = None) -> tuple[Forward, Backward]:
    """Give forward and backward of one step, on other ``inputs`` than the case's own where they are given."""
    case, inputs = agreed.case, inputs or agreed.inputs
    found: tuple[Forward, Backward] = case.module.phases(case.problem, inputs, case.device, case.dtype)
    return found


def check_halves(agreed: Agreed) -> tuple[Forward, Backward]:
    """Give forward and backward, that agree and make just the matrix products of each half of a step."""
    case, runtime = agreed.case, agreed.runtime
    forward, backward = halves(agreed)
    agreement.check_phases(agreed, (forward, backward))
    if hasattr(case.module, "UNCOUNTED"):
        return forward, backward

    def both(inputs: Arrays) -> Run:
        forward, backward = halves(agreed, inputs)
        return lambda: backward(forward())

    assert isinstance(case.problem, Training)
    needed = {"both halves": case.problem.work(case.dtype).product_flops, "forward": case.problem.forward_flops}
    counted = {
        "both halves": runtime.product_flops(lambda: backward(forward()), both, agreed.inputs),
        "forward": runtime.product_flops(forward, lambda inputs: halves(agreed, inputs)[0], agreed.inputs),
    }
    for half, flops in counted.items():
        if flops != needed[half]:
            raise Misconduct(
                f"{case.id}: {half}: {flops:,} operations in matrix products counted, {needed[half]:,} needed"
            )
    return forward, backward


_MOST_COUNTED = 1000


def check_possible(agreed: Agreed, call_s: float, count: int) -> None:
    """No call is over in half the time that the machine takes at best, which is measured again before the verdict.

    Half, as the ceilings are measured too, and a step that reads more than it writes can beat a copy.
    """
    case = agreed.case
    least_s = math.inf
    for again in (False, True):
        found = ceilings(case.framework, case.device, case.dtype, count, again=again)
        work = case.problem.work(case.dtype)
        least_s = found.least_s(work.flops, work.bytes) * case.problem.steps
        if call_s >= least_s:
            return
    if call_s < least_s / 2:
        raise Misconduct(
            f"{case.id}: faster than this machine: {call_s:.3g} s for a call whose operations and bytes "
            f"take {least_s:.3g} s at best"
        )


def check_cpu_time(name: str, cpu_per_wall: float, count: int) -> None:
    """No more CPU seconds per second than threads."""
    if cpu_per_wall > count * CPU_MARGIN:
        raise Misconduct(
            f"{name}: --threads {count} is not honoured: it uses {cpu_per_wall:.2f} CPU seconds per second"
        )


CPU_MARGIN = 1.1
"""CPU seconds per second and thread that are allowed: clocks are not read at one instant."""


def check_clock(name: str, timed_s: float, wall_s: float) -> None:
    """All rounds together took no longer than the clock on the wall says."""
    if timed_s > wall_s:
        raise Misconduct(f"{name}: its rounds add up to {timed_s:.6g} s, and they were over in {wall_s:.6g} s")
