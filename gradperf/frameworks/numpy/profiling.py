"""Profiles by ``line_profiler``: each line of the style's own file, and of the files of this folder that it calls.

A line that calls another of these functions would have the time of its lines too, and all lines together more than
the whole. So that is taken away from it: a line has the time that is its own.

Functions that are made while a style runs, such as the update of a training, are profiled as well. For that, the
code of the functions that make them is replaced until the profile ends.
"""

import gc
import io
import linecache
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import CellType, CodeType, FrameType, FunctionType
from typing import Any

from gradperf.frameworks.contract import Run, Style
from gradperf.frameworks.profiling import Line, LineTime, NoProfile, Recording, Session, ViewerFile, Words

TOOL = "line_profiler"
KIND = "line"
WORDS = Words(unseen="between the lines: calls of functions, and line_profiler itself")

_FOLDER = Path(__file__).parent

Block = tuple[str, int, str]
"""The file of a function, the line in which it begins, and its name."""
Place = tuple[Block, int]
"""A line of a function."""
Times = Mapping[Place, tuple[int, float]]
"""How often each line ran, and its seconds, with those of all that it calls."""


def missing() -> str | None:
    if find_spec("line_profiler") is None:
        return "line_profiler is not installed, which profiles lines: pip install 'gradperf[profile]'"
    return None


@contextmanager
def session(run: Run, style: Style, device: str) -> Iterator[Session]:
    """Find the functions that a step runs, have their lines profiled, and count which line calls which function."""
    import line_profiler

    files = {str(_FOLDER), *filter(None, map(_file, (run, style.prepare)))}
    codes = [code for code, _ in _called(run, files)]
    if not codes:
        raise NoProfile("no function of the style's own file runs in a step, so there are no lines to profile")
    profiler = line_profiler.LineProfiler()
    so_far: dict[Place, tuple[int, float]] = {}

    def record(call: Callable[[], Any]) -> Recording:
        times, wall_s = _timed(profiler, call, so_far)
        return Recording(wall_s, lines=own(times, calls))

    def written() -> Sequence[ViewerFile]:
        text = io.StringIO()
        profiler.print_stats(stream=text, stripzeros=True)
        with tempfile.TemporaryDirectory() as folder:
            profiler.dump_stats(f"{folder}/it.lprof")
            stats = Path(folder, "it.lprof").read_bytes()
        return [
            ViewerFile("{case}.lprof", stats, "`python -m line_profiler` prints it"),
            ViewerFile("{case}.txt", text.getvalue().encode(), "the same as text"),
        ]

    with _profiled(profiler, codes):
        # One step, with the hits of its lines: so often does each line call what it calls.
        counted: list[tuple[CodeType, Place | None]] = []
        hits, _ = _timed(profiler, lambda: counted.extend(_called(run, files)), so_far)
        sites = Counter((_block(code), caller) for code, caller in counted)
        calls = {(block, caller): count / _runs(hits, caller) for (block, caller), count in sites.items()}
        yield Session(record, written)


def _file(function: Any) -> str | None:
    """Return the file of a function of Python, or of the one that a partial calls."""
    code = getattr(getattr(function, "func", function), "__code__", None)
    return None if code is None else str(code.co_filename)


def _block(code: CodeType) -> Block:
    return code.co_filename, code.co_firstlineno, code.co_qualname


def _called(run: Run, files: set[str]) -> list[tuple[CodeType, Place | None]]:
    """Return each call of a function of these files and folders in one step, with the line of them that made it."""
    found: list[tuple[CodeType, Place | None]] = []
    known: dict[CodeType, bool] = {}

    def seen(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event != "call":
            return
        if code not in known:
            path = Path(code.co_filename)
            known[code] = not files.isdisjoint(map(str, (path, *path.parents)))
        if known[code]:
            caller = frame.f_back
            while caller is not None and not known.get(caller.f_code):
                caller = caller.f_back
            found.append((code, None if caller is None else (_block(caller.f_code), caller.f_lineno)))

    before = sys.getprofile()
    sys.setprofile(seen)
    try:
        run(1)
    finally:
        sys.setprofile(before)
    return found


@contextmanager
def _profiled(profiler: Any, codes: Iterable[CodeType]) -> Iterator[None]:
    """Replace the code of all functions that have or make one of these codes by code that is profiled."""
    known: dict[CodeType, CodeType] = {}

    def added(code: CodeType) -> CodeType:
        if code not in known:
            inner = tuple(added(one) if isinstance(one, CodeType) else one for one in code.co_consts)
            cells = tuple(CellType() for _ in code.co_freevars)
            # The profiler changes the code of the function that it is given, and knows it by that.
            stands_in = FunctionType(code.replace(co_consts=inner), {}, code.co_name, None, cells)
            profiler.add_function(stands_in)
            known[code] = stands_in.__code__
        return known[code]

    wanted = set(codes)
    functions = [
        one for one in gc.get_referrers(*wanted) if isinstance(one, FunctionType) and one.__code__ in wanted
    ]
    originals = [(function, function.__code__) for function in functions]
    try:
        for function, code in originals:
            function.__code__ = added(code)
        yield
    finally:
        for function, code in originals:
            function.__code__ = code


def _timed(profiler: Any, call: Callable[[], Any], so_far: dict[Place, tuple[int, float]]) -> tuple[Times, float]:
    """Call with the profiler; return what it added to the times ``so_far``, and the seconds by the clock."""
    profiler.enable_by_count()
    try:
        start_s = time.perf_counter()
        call()
        wall_s = time.perf_counter() - start_s
    finally:
        profiler.disable_by_count()
    stats = profiler.get_stats()
    new = {}
    for block, lines in stats.timings.items():
        for number, hits, ticks in lines:
            old_hits, old_s = so_far.get((block, number), (0, 0.0))
            so_far[block, number] = hits, ticks * stats.unit
            if hits > old_hits:
                new[block, number] = hits - old_hits, ticks * stats.unit - old_s
    return new, wall_s


def _runs(times: Times, place: Place | None) -> int:
    """Return how often a line ran; 1 for what is outside of all lines, and for a line that was not timed."""
    return times[place][0] if place is not None and place in times else 1


def own(times: Times, calls: Mapping[tuple[Block, Place | None], float]) -> list[LineTime]:
    """Return the lines with the time that is their own.

    ``calls`` says how often a function is called each time a line runs. If several lines call it, each of them has
    called it for its part of all calls.
    """
    whole_s: defaultdict[Block, float] = defaultdict(float)
    for (block, _), (_, seconds) in times.items():
        whole_s[block] += seconds
    made: defaultdict[Block, dict[Place | None, float]] = defaultdict(dict)
    for (block, caller), count in calls.items():
        made[block][caller] = count * _runs(times, caller)
    own_s = {place: seconds for place, (_, seconds) in times.items()}
    for block, callers in made.items():
        all_calls = sum(callers.values())
        for caller, count in callers.items():
            if caller is not None and caller in own_s and all_calls:
                own_s[caller] -= whole_s[block] * count / all_calls
    # Where calls of one function take different times, a line may have lost too much, and another too little.
    kept = {place: max(0.0, seconds) for place, seconds in own_s.items()}
    excess = sum(own_s.values()) / (sum(kept.values()) or 1.0)
    return _merged({place: (times[place][0], seconds * excess) for place, seconds in kept.items()})


_IN_LINE = ("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>")


def _merged(times: Times) -> list[LineTime]:
    """Return each line once: a comprehension is a function of its own for Python 3.11, and no line of its own."""
    found: dict[tuple[str, int, str], tuple[int, float, int]] = {}
    for ((file, first, name), number), (hits, seconds) in sorted(times.items(), key=lambda one: -len(one[0][0][2])):
        inside = name.endswith(_IN_LINE)
        while name.endswith(_IN_LINE):
            name = name.rpartition(".")[0].removesuffix(".<locals>")
        function = name.replace(".<locals>", "")
        _, before_s, before_hits = found.get((file, number, function), (first, 0.0, 0))
        runs = (before_hits or hits) if inside else hits
        found[file, number, function] = first, before_s + seconds, runs
    return [
        LineTime(
            Line(_shown(file), number, function, first, linecache.getline(file, number).rstrip()), seconds, hits
        )
        for (file, number, function), (first, seconds, hits) in found.items()
    ]


def _shown(file: str) -> str:
    """Return the path of a file below the folder of the package, or whole."""
    path, package = Path(file), _FOLDER.parents[1]
    return str(path.relative_to(package.parent)) if package in path.parents else file
