"""Divides the time of recorded calls among operators, so that no time counts twice.

An operator has the time in which it is the innermost one of its thread: ``aten::matmul`` does not have that of
``aten::mm``, which it calls. Work of the framework within an operator is the operator's.

Threads overlap. While several of them compute, each operator has its part of that moment, such as a half. While one
computes and others wait for it, the moment is the operator's alone. So all parts together are never more than the
time on the clock.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from gradperf.frameworks.profiling import Span


@dataclass(frozen=True)
class Piece:
    """A stretch of one thread in which the innermost operator is the same; None is the framework itself."""

    start_s: float
    end_s: float
    operator: str | None


def divided(spans: Iterable[Span]) -> tuple[dict[str, float], float]:
    """Return the seconds of each operator, and those of the framework outside of all operators."""
    threads: defaultdict[str, list[Span]] = defaultdict(list)
    for span in spans:
        threads[span.thread].append(span)
    pieces = [piece for of_thread in threads.values() for piece in innermost(of_thread)]
    operators: defaultdict[str, float] = defaultdict(float)
    runtime_s = 0.0
    for seconds, running in _moments(pieces):
        computing = [operator for operator in running if operator is not None]
        for operator in computing:
            operators[operator] += seconds / len(computing)
        if not computing:
            runtime_s += seconds
    return dict(operators), runtime_s


def innermost(spans: Sequence[Span]) -> Iterator[Piece]:
    """Yield the pieces of one thread, in order. A span that outlasts the one around it is cut there."""
    around: list[tuple[float, str | None]] = []  # where each ends, and the operator that its time is of
    now_s = 0.0

    def until(end_s: float) -> Iterator[Piece]:
        nonlocal now_s
        while around and around[-1][0] <= end_s:
            last_s, operator = around.pop()
            if last_s > now_s:
                yield Piece(now_s, last_s, operator)
                now_s = last_s
        if around and end_s > now_s:
            yield Piece(now_s, end_s, around[-1][1])
        now_s = max(now_s, end_s)

    for span in sorted(spans, key=lambda span: (span.start_s, -span.end_s)):
        yield from until(span.start_s)
        outer_s, outer = around[-1] if around else (span.end_s, None)
        around.append((min(span.end_s, outer_s), span.operator or outer))
    yield from until(max((end_s for end_s, _ in around), default=now_s))


def _moments(pieces: Sequence[Piece]) -> Iterator[tuple[float, Iterable[str | None]]]:
    """Yield each stretch in which the same pieces run, with their operators."""
    changes = [(piece.start_s, 1, place) for place, piece in enumerate(pieces)]
    changes += [(piece.end_s, 0, place) for place, piece in enumerate(pieces)]
    running: dict[int, str | None] = {}
    before_s = 0.0
    for at_s, begins, place in sorted(changes):
        if running and at_s > before_s:
            yield at_s - before_s, running.values()
        before_s = at_s
        if begins:
            running[place] = pieces[place].operator
        else:
            running.pop(place, None)
