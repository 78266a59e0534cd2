"""Checks that a style does the work of its problem: its matrix products exactly, and little else."""

from dataclasses import replace
from functools import partial

import numpy as np

from gradperf.checks import agreement, declared
from gradperf.checks.agreement import Agreed
from gradperf.checks.misconduct import Misconduct
from gradperf.frameworks.contract import Arrays, Backward, Forward, Operations, Run, Style
from gradperf.problems import Problem
from gradperf.problems.training import Training

_MOST_COUNTED = 1000
"""With more steps than this, a short training is counted instead."""

_SCALARS = 16
"""Operations for each step that are allowed always: counters, rates."""


def check(agreed: Agreed, style: Style, seed: int) -> int | None:
    """Check what is counted of a call; return the operations in matrix products of one step, None if uncounted."""
    case = agreed.case
    if style.uncounted is not None:
        if wrong := declared.wrong_products(agreed, style, seed):
            raise Misconduct(f"{case.id}: does not make the products of its style: {wrong}")
        return None
    problem, prepared, run = case.problem, agreed.prepared, agreed.run
    if isinstance(problem, Training) and problem.steps > _MOST_COUNTED:
        # Programs are counted step by step, so a short training stands for a long one.
        problem = prepared = replace(problem, steps=10)
        run = style.prepare(problem, agreed.inputs, case.device, case.dtype)

    def prepare(inputs: Arrays) -> Run:
        prepared_run = style.prepare(prepared, inputs, case.device, case.dtype)
        return prepared_run if problem == prepared else partial(prepared_run, problem.steps)

    try:
        found = agreed.runtime.operations(run, prepare, agreed.inputs)
    except NotImplementedError as error:
        raise Misconduct(f"{case.id}: {error}; state the reason in UNCOUNTED") from None
    needed = problem.steps * problem.work(case.dtype).product_flops
    if found.products != needed:
        raise Misconduct(
            f"{case.id}: does {'more' if found.products > needed else 'less'} work than the problem takes: "
            f"{found.products:,} operations in matrix products counted in {problem.steps} steps, {needed:,} needed;"
            f" a product in another dtype than {case.dtype} counts as none. "
            "(If they cannot be counted, state the reason in UNCOUNTED.)"
        )
    check_others(agreed, problem, found)
    if unused := agreed.runtime.unused(partial(agreed.run_steps, 1)):
        raise Misconduct(
            f"{case.id}: does more work than the problem takes: in one step it keeps {unused} arrays for gradients "
            "that it does not compute"
        )
    return found.products // problem.steps


def check_others(agreed: Agreed, problem: Problem, found: Operations) -> None:
    """Check the operations outside of matrix products: their functions, and that there are not too many."""
    id_, steps = agreed.case.id, problem.steps
    if found.elsewhere:
        raise Misconduct(
            f"{id_}: computes in another dtype than {agreed.case.dtype}: {found.elsewhere:,} operations outside of "
            f"matrix products counted in {steps} steps"
        )
    if unneeded := ", ".join(sorted(found.functions - problem.functions)):
        raise Misconduct(f"{id_}: does more work than the problem takes: it calls {unneeded}")
    if problem.functions and not found.functions:
        named = " or ".join(sorted(problem.functions))
        raise Misconduct(f"{id_}: does less work than the problem takes: it does not call {named}")
    by_hand = steps * problem.work(agreed.case.dtype).other_flops
    if found.others < problem.least_others * by_hand:
        raise Misconduct(
            f"{id_}: does less work than the problem takes: {found.others:,} operations outside of matrix products "
            f"counted in {steps} steps; by hand they are {by_hand:,}"
        )
    entries = problem.work(agreed.case.dtype).bytes // np.dtype(agreed.case.dtype).itemsize
    if found.copies > (steps + 1) * entries:
        raise Misconduct(
            f"{id_}: does more work than the problem takes: {found.copies:,} entries copied in {steps} steps; its "
            f"arrays have {entries:,}"
        )
    if problem.most_others is None:
        return
    most = int(problem.most_others * by_hand) + steps * _SCALARS
    if (dearest := found.others + found.extra) > most:
        raise Misconduct(
            f"{id_}: does more work than the problem takes: {dearest:,} operations outside of matrix products "
            f"counted in {steps} steps; by hand they are {by_hand:,}, and {most:,} are allowed"
        )


def check_each_step(agreed: Agreed, style: Style, seed: int) -> None:
    """Check that what depends on the data alone is computed at every step, and neither once nor beforehand."""
    case = agreed.case
    if style.uncounted is not None or (longer := case.problem.longer_step()) is None:
        return
    problem, more = longer
    others = [
        _counted(agreed, style, each, seed).others for each in (case.problem.with_steps(problem.steps), problem)
    ]
    found, needed = others[1] - others[0], problem.steps * more
    if found < needed:
        raise Misconduct(
            f"{case.id}: does less work than the problem takes: some is done once, and not at each step. With "
            f"{needed:,} operations more on the data, {found:,} more were counted in {problem.steps} steps"
        )


def _counted(agreed: Agreed, style: Style, problem: Problem, seed: int) -> Operations:
    """Count the operations of a style that is prepared for ``problem``."""
    case = agreed.case
    inputs, _ = agreement.drawn(problem, seed, case.dtype)
    return agreed.runtime.operations(
        None, lambda inputs: style.prepare(problem, inputs, case.device, case.dtype), inputs
    )


def halves(agreed: Agreed, inputs: Arrays | None = None) -> tuple[Forward, Backward]:
    """Return forward and backward of one step, on ``inputs`` if given instead of the case's own."""
    case, phases = agreed.case, agreed.case.implementation.phases
    assert phases is not None, f"{case.id} has no phases"
    return phases(case.problem, inputs or agreed.inputs, case.device, case.dtype)


def check_halves(agreed: Agreed) -> tuple[Forward, Backward]:
    """Return forward and backward; check that they agree and make exactly the matrix products of each half."""
    case, runtime = agreed.case, agreed.runtime
    forward, backward = halves(agreed)
    agreement.check_phases(agreed, (forward, backward))
    if case.implementation.uncounted is not None:
        return forward, backward

    def both(inputs: Arrays) -> Run:
        forward, backward = halves(agreed, inputs)
        return lambda: backward(forward())

    assert isinstance(case.problem, Training)
    all_flops, forward_flops = case.problem.work(case.dtype).product_flops, case.problem.forward_flops
    for half, run, prepare, needed in (
        ("both halves", lambda: backward(forward()), both, all_flops),
        ("forward", forward, lambda inputs: halves(agreed, inputs)[0], forward_flops),
    ):
        found = runtime.operations(run, prepare, agreed.inputs)
        if found.products != needed:
            raise Misconduct(
                f"{case.id}: {half}: {found.products:,} operations in matrix products counted, {needed:,} needed"
            )
        check_others(agreed, case.problem.gradient_problem(), found)
    return forward, backward
