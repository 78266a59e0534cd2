"""Checks that a style takes the same path through its code when it is counted as when it is timed.

A style could look at its arrays, see that they count, and do its work honestly for once. Then Python executes other
instructions.
"""

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from gradperf.checks.agreement import Agreed
from gradperf.checks.declared import MOST_LOOPS
from gradperf.checks.misconduct import Misconduct
from gradperf.frameworks.contract import Arrays, Run, Style

Instruction = tuple[CodeType, int]
"""A function, and the offset of an instruction in it."""

MOST_REPEATED = 200
"""A step of a style without loops of its own repeats no instruction more often. All styles: at most 45."""

_OF_NO_STYLE = ("counting.py", "runtime.py")
"""Files in a framework's folder that prepare and count."""


def check(agreed: Agreed, style: Style) -> None:
    """Compare the instructions of one step, timed and counted, and look how often one is repeated.

    Nothing is compared of a style that is not counted, nor of one that Inductor compiled: there its source is
    counted instead. A debugger has the only hook for instructions, so nothing is done beside one.
    """
    case = agreed.case
    if style.execution == "inductor" or sys.gettrace() is not None:
        return

    def prepare(inputs: Arrays) -> Run:
        return partial(style.prepare(agreed.prepared, inputs, case.device, case.dtype), 1)

    step, folder = partial(agreed.run_steps, 1), folder_of(style)
    step()  # the first call of this length may be traced
    loops = style.repeats is not None and style.repeats(agreed.prepared) > MOST_LOOPS
    timed = instructions(step, folder, lines=loops)
    check_repeats(agreed, style, timed)
    if style.uncounted is not None:
        return
    counted = instructions(lambda: agreed.runtime.operations(step, prepare, agreed.inputs), folder)
    if place := parting(timed, counted, traced=style.execution != "eager"):
        raise Misconduct(f"{case.id}: takes another path when it is counted than when it is timed: {place}")


def check_repeats(agreed: Agreed, style: Style, timed: Sequence[Instruction]) -> None:
    """Check how often a step repeats an instruction: as often as its loops do that it stands for."""
    found = max(Counter(timed).values(), default=0)
    if style.repeats is None:
        least, most = 0, MOST_REPEATED
    else:
        least = style.repeats(agreed.prepared)
        most = 2 * least + 1  # a loop is left once more than it is repeated
    if not least <= found <= most:
        raise Misconduct(
            f"{agreed.case.id}: repeats a line of Python {found:,} times in one step; its style stands for "
            f"{least:,} to {most:,}"
        )


def check_again(agreed: Agreed, style: Style) -> None:
    """Check that a call of one step is still made of the instructions that a newly prepared one is made of."""
    case, folder = agreed.case, folder_of(style)
    if style.execution == "inductor" or style.uncounted is not None or sys.gettrace() is not None:
        return
    new = partial(style.prepare(agreed.prepared, agreed.inputs, case.device, case.dtype), 1)
    new()  # it may be traced
    if place := parting(instructions(new, folder), instructions(partial(agreed.run_steps, 1), folder)):
        raise Misconduct(f"{case.id}: takes another path after its timing than before: {place}")


def folder_of(style: Style) -> Path:
    """Return the folder of the style's framework."""
    return Path(style.prepare.__code__.co_filename).parent.parent


def is_of_a_style(code: CodeType, folder: Path) -> bool:
    """Return whether a function belongs to the styles in ``folder``."""
    file = Path(code.co_filename)
    return file.is_relative_to(folder) and file.name not in _OF_NO_STYLE


def instructions(call: Callable[[], Any], folder: Path, *, lines: bool = False) -> list[Instruction]:
    """Return the instructions that a call executes in the functions of styles in ``folder``, in order.

    With ``lines`` the lines instead, by their numbers: a tenth of the time.
    """
    executed: list[Instruction] = []
    is_followed: dict[CodeType, bool] = {}

    def enter(frame: FrameType, event: str, _: Any) -> Any:
        code = frame.f_code
        if code not in is_followed:
            is_followed[code] = is_of_a_style(code, folder)
        if not is_followed[code]:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = not lines, lines
        return execute

    def execute(frame: FrameType, event: str, _: Any) -> Any:
        if event == "opcode":
            executed.append((frame.f_code, frame.f_lasti))
        elif event == "line":
            executed.append((frame.f_code, frame.f_lineno))
        return execute

    sys.settrace(enter)
    try:
        call()
    finally:
        sys.settrace(None)
    return executed


def parting(timed: Sequence[Instruction], counted: Sequence[Instruction], *, traced: bool = True) -> str | None:
    """Return where the path that was counted leaves the one that is timed, or None.

    Where functions are ``traced``, those that are executed only when counted are left out: a compiler traced them
    before. Elsewhere only ``prepare`` is, which may be counted too. A call may be counted several times.
    """
    own = {code for code, _ in timed}
    shared = [executed for executed in counted if executed[0] in own]
    if not traced and (others := {code for code, _ in _since(timed, counted)} - own):
        return " and ".join(sorted(_place((code, 0)) for code in others))
    for expected, found in zip(cycle(timed), shared, strict=False):
        if expected != found:
            return _place(expected)
    return _place(timed[0]) if timed and (not shared or len(shared) % len(timed)) else None


def _since(timed: Sequence[Instruction], counted: Sequence[Instruction]) -> Sequence[Instruction]:
    """Return what was counted from the first instruction on that is timed: all before is ``prepare``."""
    return counted[counted.index(timed[0]) :] if timed and timed[0] in counted else ()


def _place(instruction: Instruction) -> str:
    code, _ = instruction
    return f"{code.co_qualname} in {Path(code.co_filename).name}"
