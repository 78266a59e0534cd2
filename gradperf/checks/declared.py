"""Checks styles that are not counted against what they declare.

Such a style makes fewer matrix products than the problem takes, or a count cannot see them. It must not make
others.
"""

from functools import partial

from gradperf.checks.agreement import Agreed
from gradperf.frameworks.contract import Arrays, Run, Style
from gradperf.frameworks.numpy import counting
from gradperf.problems.training import Training


def wrong_products(agreed: Agreed, style: Style) -> str | None:
    """Return what is wrong with the products of one step of a style that is ``uncounted``, or None.

    A style whose products cannot be seen must at least make none with numpy, unless it is numpy's.
    """
    case = agreed.case

    def prepare(inputs: Arrays) -> Run:
        return partial(style.prepare(agreed.prepared, inputs, case.device, case.dtype), 1)

    needed = 0
    if style.products is None:
        if case.framework == "numpy":
            return None
        counted = counting.foreign_product_flops(prepare, agreed.inputs)
        declared = "made by numpy; allowed are"
    else:
        counted = agreed.runtime.operations(partial(agreed.run_steps, 1), prepare, agreed.inputs).products
        declared = "declared are"
        if style.products == "all but weight gradients":
            problem = case.problem
            assert isinstance(problem, Training), f"{case.id} has no weight gradients"
            # The product for a weight gradient is as large as that of the layer.
            needed = problem.work(case.dtype).product_flops - problem.forward_flops
    if counted == needed:
        return None
    return f"{counted:,} operations in matrix products counted in one step, {declared} {needed:,}"
