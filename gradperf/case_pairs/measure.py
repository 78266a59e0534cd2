"""Times cases against each other in pairs of fresh processes, and returns the ratio with its interval.

Each pair yields one value per comparison. The interval is that of the gate's test over the pairs, so it includes
what differs from process to process, such as the layout of memory. A 95 % interval from the turns of a single pair
does not: on identical code it is wrong in 11 to 14 of 100 comparisons.
"""

import math
import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from gradperf.case_pairs.second import NoMoment, SecondProcess, WrongResult
from gradperf.cases import Settings
from gradperf.errors import UserError
from gradperf.pairs.child.cpu import usable_cpus
from gradperf.pairs.meeting import collected, failure, together
from gradperf.pairs.process import Process, SideError, WorkerLost, padding, same_modules
from gradperf.pairs.turns import Value, take_turns
from gradperf.progress.steps import Steps
from gradperf.stats import interval, location
from gradperf.timing.lengths import Lengths
from gradperf.timing.moment import Moment

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Role:
    """The task of one of the two processes of a pair."""

    cases: tuple[str, ...]
    beside: tuple[str, ...] = ()
    """Frameworks that it imports and uses before."""


@dataclass(frozen=True)
class Ratio:
    """Time of a call in the first role, as a multiple of that in the second."""

    ratio: float
    low: float
    high: float
    """Bounds of the 95 % interval; 0 and infinity for fewer than 6 pairs."""
    first_s: float
    second_s: float
    """Seconds of one call: medians over the pairs."""


def ratios(
    first: Role, second: Role, settings: Settings, pairs: int, steps: Steps, *, equal_calls: bool
) -> list[Ratio]:
    """Compare the cases of two roles, one by one, in ``pairs`` pairs of processes, each a step of ``steps``.

    Raise UserError if a process cannot run a case, or is lost.
    """
    coin = random.Random()  # noqa: S311 - an order, not a secret
    measured = []
    for _ in range(pairs):
        measured.append(measure(first, second, settings, coin, equal_calls=equal_calls, show=steps.show))
        steps.end_of_step()
    return [_ratio(values) for values in zip(*measured, strict=True)]


def _ratio(values: Sequence[Value]) -> Ratio:
    log_ratios = [-value.log_ratio for value in values]  # the first role is the base of a value
    low, high = interval(log_ratios, CONFIDENCE)
    return Ratio(
        math.exp(location(log_ratios, CONFIDENCE)),
        math.exp(low),
        math.exp(high),
        median(value.base_s for value in values),
        median(value.head_s for value in values),
    )


def measure(
    first: Role,
    second: Role,
    settings: Settings,
    coin: random.Random,
    *,
    equal_calls: bool,
    show: Callable[[str], None] = lambda now: None,
) -> list[Value]:
    """Measure one fresh pair of processes; return one value for each case of the roles. Raise as :func:`ratios`.

    ``show`` gets the case that is next, while both processes still prepare it.
    """
    roles = {"first": first, "second": second}
    show("starting two processes")
    order = coin.sample(sorted(roles), 2)
    with started(order, coin) as processes:
        for name, role in roles.items():
            processes[name].send(do="turns", **asdict(role), **asdict(settings))
        collected(processes.values())
        values = []
        for one, other in zip(first.cases, second.cases, strict=True):
            cases = {"first": one, "second": other}
            show(f"timing {one}" if one == other else "timing both")
            value, ended = together(
                cases,
                processes,
                lambda ready: take_turns(ready["first"], ready["second"], coin, equal_calls=equal_calls),
            )
            reason = failure(ended, {name: f"process of {cases[name]}" for name in roles})
            if value is None or reason:
                raise UserError(reason)
            values.append(value)
    return values


def moments(
    cases: Sequence[str], settings: Settings, lengths: Mapping[str, Lengths], coin: random.Random
) -> dict[str, Moment]:
    """Take a moment of each case in one fresh process, as ``pytest perf`` does, half of it on a CPU that is drawn.

    Raise UserError if the process cannot run a case, or is lost.
    """
    cpus = usable_cpus()
    cpu = coin.choice(cpus) if cpus and settings.threads == 1 else None
    process = SecondProcess(settings)
    try:
        for case in cases:
            process.prepare(case)
        return {case: process.moment(case, lengths[case], cpu, planted_units=0.0) for case in cases}
    except (NoMoment, WrongResult) as error:
        raise UserError(str(error)) from None
    finally:
        process.close()


def busy_cpus(count: int, seconds: float) -> float:
    """Return the CPU seconds per second that ``count`` busy processes get together."""
    with started([f"{number}" for number in range(count)]) as processes:
        for process in processes.values():
            process.ask(do="count")
        for process in processes.values():
            process.send(seconds=seconds)
        answers = [process.answer() for process in processes.values()]
    return float(sum(answer["cpu_s"] / answer["wall_s"] for answer in answers))


@contextmanager
def started(names: Sequence[str], coin: random.Random | None = None) -> Iterator[Mapping[str, Process]]:
    """Start a worker for each name, in this order; end them all at the end of ``with``.

    With ``coin``, the sizes of their environments are drawn. A lost worker raises UserError.
    """
    with tempfile.TemporaryDirectory(prefix="gradperf-") as folder, ExitStack() as stack:
        processes = {}
        for name in names:
            # -P: a file in the working directory must not shadow numpy.
            program = [sys.executable, "-P", "-m", "gradperf.case_pairs.worker"]
            output = Path(folder, f"{name}.txt")
            environment = {**os.environ, **same_modules(), **(padding(coin) if coin else {})}
            processes[name] = Process("measurement", program, [], output=output, environment=environment)
            stack.callback(processes[name].close)
        try:
            yield processes
        except (WorkerLost, SideError) as error:
            raise UserError(str(error)) from None
