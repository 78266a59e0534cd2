"""Checks that a style takes the same path through its code when it is counted as when it is timed.

A style could look at its arrays, see that they count, and do its work honestly for once. Then Python executes other
instructions.
"""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from gradperf.checks.agreement import Agreed
from gradperf.checks.misconduct import Misconduct
from gradperf.frameworks.contract import Arrays, Run, Style

Instruction = tuple[CodeType, int]
"""A function, and the offset of an instruction in it."""

_OF_NO_STYLE = ("counting.py", "runtime.py")
"""Files in a framework's folder that prepare and count."""


def check(agreed: Agreed, style: Style) -> None:
    """Compare the instructions of one step, timed and counted.

    Not of a style that is not counted, nor of one that Inductor compiled: there its source is counted instead. A
    debugger has the only hook for instructions, so nothing is compared beside one.
    """
    case = agreed.case
    if style.uncounted is not None or style.execution == "inductor" or sys.gettrace() is not None:
        return

    def prepare(inputs: Arrays) -> Run:
        return partial(style.prepare(agreed.prepared, inputs, case.device, case.dtype), 1)

    step = partial(agreed.run_steps, 1)
    folder = Path(style.prepare.__code__.co_filename).parent.parent
    step()  # the first call of this length may be traced
    timed = instructions(step, folder)
    counted = instructions(lambda: agreed.runtime.operations(step, prepare, agreed.inputs), folder)
    if place := parting(timed, counted):
        raise Misconduct(f"{case.id}: takes another path when it is counted than when it is timed: {place}")


def instructions(call: Callable[[], Any], folder: Path) -> list[Instruction]:
    """Return the instructions that a call executes in the functions of styles in ``folder``, in order."""
    executed: list[Instruction] = []
    is_followed: dict[CodeType, bool] = {}

    def enter(frame: FrameType, event: str, _: Any) -> Any:
        code = frame.f_code
        if code not in is_followed:
            file = Path(code.co_filename)
            is_followed[code] = file.is_relative_to(folder) and file.name not in _OF_NO_STYLE
        if not is_followed[code]:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return execute

    def execute(frame: FrameType, event: str, _: Any) -> Any:
        if event == "opcode":
            executed.append((frame.f_code, frame.f_lasti))
        return execute

    sys.settrace(enter)
    try:
        call()
    finally:
        sys.settrace(None)
    return executed


def parting(timed: Sequence[Instruction], counted: Sequence[Instruction]) -> str | None:
    """Return where the path that was counted leaves the one that is timed, or None.

    Functions that are executed only when counted are left out, such as those that a compiler traced before. A call
    may be counted several times.
    """
    own = {code for code, _ in timed}
    shared = [executed for executed in counted if executed[0] in own]
    for expected, found in zip(cycle(timed), shared, strict=False):
        if expected != found:
            return _place(expected)
    return _place(timed[0]) if timed and (not shared or len(shared) % len(timed)) else None


def _place(instruction: Instruction) -> str:
    code, _ = instruction
    return f"{code.co_qualname} in {Path(code.co_filename).name}"
