"""Checks styles that are not counted against what they declare.

Such a style makes fewer matrix products than the problem takes, or a count cannot see them. It must not make
others.
"""

from functools import partial

from gradperf.checks import agreement
from gradperf.checks.agreement import Agreed
from gradperf.frameworks.contract import Arrays, Operations, Run, Style
from gradperf.frameworks.numpy import counting
from gradperf.problems import Problem
from gradperf.problems.training import Training

MOST_LOOPS = 100
"""A style that repeats its innermost loop more often is counted at a small problem."""

MARGIN = 0.1
"""This share of operations more may multiply entries: a sum may begin with 0."""


def counted_problem(agreed: Agreed, style: Style) -> Problem:
    """Return the problem of which a step is counted: that of the case, or a small one for loops in Python."""
    problem = agreed.prepared
    return problem.small() if style.repeats is not None and style.repeats(problem) > MOST_LOOPS else problem


def wrong_products(agreed: Agreed, style: Style, seed: int) -> str | None:
    """Return what is wrong with the products of one step of a style that is ``uncounted``, or None.

    A style whose products cannot be seen must at least make none with numpy, unless it is numpy's.
    """
    case, problem = agreed.case, counted_problem(agreed, style)
    inputs = agreed.inputs if problem == agreed.prepared else agreement.drawn(problem, seed, case.dtype)[0]

    def prepare(inputs: Arrays) -> Run:
        return partial(style.prepare(problem, inputs, case.device, case.dtype), 1)

    needed = 0
    if style.products is None:
        if case.framework == "numpy":
            return None
        counted = counting.foreign_product_flops(prepare, inputs)
        declared = "made by numpy; allowed are"
    else:
        run = partial(agreed.run_steps, 1) if problem == agreed.prepared else prepare(inputs)
        found = agreed.runtime.operations(run, prepare, inputs)
        counted, declared = found.products, "declared are"
        if style.products == "all but weight gradients":
            assert isinstance(problem, Training), f"{case.id} has no weight gradients"
            # The product for a weight gradient is as large as that of the layer.
            needed = problem.work(case.dtype).product_flops - problem.forward_flops
        if counted == needed and (wrong := _wrong_others(problem, case.dtype, found)):
            return wrong
    if counted == needed:
        return None
    return f"{counted:,} operations in matrix products counted in one step, {declared} {needed:,}"


def _wrong_others(problem: Problem, dtype: str, found: Operations) -> str | None:
    """Return what is wrong with the operations that stand for the missing products: as many multiply entries."""
    work = problem.work(dtype)
    instead = work.product_flops - found.products
    most = instead + int((problem.most_others or 0.0) * work.other_flops) + MARGIN * instead
    if instead <= found.others <= most:
        return None
    return (
        f"{found.others:,} operations outside of matrix products counted in one step, {instead:,} to {int(most):,} "
        "stand for products"
    )
