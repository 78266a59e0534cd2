"""Checks which functions a style calls: those of its framework that it stands for, and none that is no computation.

An ``einsum`` that multiplies by ``@`` has the right numbers and the right products, but is not what its name says.
"""

import sys
from collections.abc import Callable
from functools import partial
from types import CodeType, FrameType
from typing import Any

from gradperf.checks import agreement
from gradperf.checks.agreement import Agreed
from gradperf.checks.declared import counted_problem
from gradperf.checks.misconduct import Misconduct
from gradperf.checks.path import folder_of, is_of_a_style
from gradperf.frameworks.contract import DIFFERENTIATIONS, TECHNIQUES, Arrays, Run, Style

FRAMEWORKS = frozenset(("jax", "jaxlib", "keras", "numpy", "tensorflow", "torch"))
"""Packages whose functions count as a framework's."""

NO_COMPUTATION = frozenset(
    (
        *("_hashlib", "_io", "_pickle", "_random", "_socket", "_thread", "asyncio", "concurrent", "copy", "ctypes"),
        *("gc", "hashlib", "io", "json", "logging", "multiprocessing", "os", "pickle", "posix", "random", "select"),
        *("signal", "socket", "subprocess", "tempfile", "threading", "time", "tracemalloc", "warnings"),
    )
)
"""Modules whose functions have no part in a step."""

_NO_COMPUTATION_EITHER = frozenset(("eval", "exec", "input", "open", "print"))
"""Builtin functions that have none."""


def check(agreed: Agreed, style: Style, seed: int) -> None:
    """Look at the calls of one step, counted as :mod:`gradperf.checks.work` does, so that nothing is compiled.

    Not of a style that nothing can be counted of. A profiler has the only hook for calls, so nothing is done beside
    one.
    """
    if (style.uncounted is not None and style.products is None) or sys.getprofile() is not None:
        return
    case = agreed.case
    by_frameworks, others = _called(agreed, style, seed)
    if others:
        raise Misconduct(f"{case.id}: calls what has no part in a step: {', '.join(sorted(others))}")
    if missing := sorted({*style.calls} - by_frameworks):
        raise Misconduct(f"{case.id}: does not call {', '.join(missing)}, which its style stands for (CALLS)")
    if not DIFFERENTIATIONS.intersection(style.calls) and (used := sorted(DIFFERENTIATIONS & by_frameworks)):
        raise Misconduct(f"{case.id}: is differentiated by {', '.join(used)}, which its style does not say (CALLS)")


def _called(agreed: Agreed, style: Style, seed: int) -> tuple[set[str], set[str]]:
    """Return which techniques were used, preparing too, and which calls of a step are no computation."""
    case, folder, problem = agreed.case, folder_of(style), counted_problem(agreed, style)
    used, wrong = set[str](), set[str]()
    is_of_style: dict[CodeType, bool] = {}
    runs = False

    def is_followed(frame: FrameType | None) -> bool:
        if frame is None:
            return False
        if frame.f_code not in is_of_style:
            is_of_style[frame.f_code] = is_of_a_style(frame.f_code, folder)
        return is_of_style[frame.f_code]

    def note(frame: FrameType, event: str, function: Any) -> None:
        if event == "call":
            name, package = frame.f_code.co_name, str(frame.f_globals.get("__name__", "")).partition(".")[0]
            if name in TECHNIQUES and package in FRAMEWORKS:
                used.add(name)
            if runs and package in NO_COMPUTATION and is_followed(frame.f_back):
                wrong.add(f"{package}.{name}")
        elif event == "c_call" and runs and is_followed(frame):
            package = _package(function)
            if package in NO_COMPUTATION or (package == "builtins" and function.__name__ in _NO_COMPUTATION_EITHER):
                wrong.add(f"{package}.{function.__name__}")

    def prepare(inputs: Arrays) -> Run:
        run = partial(style.prepare(problem, inputs, case.device, case.dtype), 1)

        def running() -> Any:
            nonlocal runs
            runs = True
            returned = run()
            runs = False
            return returned

        return running

    inputs, _ = agreement.drawn(problem, seed, case.dtype)
    _profiled(lambda: agreed.runtime.operations(None, prepare, inputs), note)
    return used, wrong


def _package(function: Any) -> str:
    """Return the package of a function that is not written in Python."""
    module = getattr(function, "__module__", None) or type(getattr(function, "__self__", None)).__module__
    return str(module).partition(".")[0]


def _profiled(call: Callable[[], Any], note: Callable[[FrameType, str, Any], None]) -> None:
    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(None)
