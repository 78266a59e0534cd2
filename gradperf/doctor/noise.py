"""Measures the noise of this machine by timing equal code against itself; smaller changes cannot be shown.

Two ways of comparing are tried, each with fresh processes. They alternate, so that both see the same minute.

- **Stored runs**: each time in another process, a moment of the cases is taken as ``pytest perf`` does. Moments
  that are as far apart as the time allows make a run, and two such runs are compared as stored runs are.
- **The gate**: two processes take turns, by the engine of the gate.
"""

import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean, median

from gradperf import frameworks
from gradperf.case_pairs.measure import Role, measure, moments
from gradperf.cases import Settings, find
from gradperf.comparison import changes
from gradperf.frameworks.contract import Run
from gradperf.gate.decision.trial import Plan
from gradperf.stats import detectable_effect
from gradperf.suite import gate_set
from gradperf.text.quantities import plural
from gradperf.timing.estimate import Estimate, estimate, unrest
from gradperf.timing.lengths import Lengths, choose
from gradperf.timing.moment import Moment
from gradperf.timing.plan import LATER

RUN_MOMENTS = 1 + len(LATER)
"""Moments of a case in one run of ``pytest perf``."""

RUN_CASES = len(gate_set.CASES)
"""Cases of the two runs of which the doctor speaks: the more cases, the larger a change must be."""

PLAN = Plan()
"""The gate's default number of pairs, its alpha and its margin."""

POWER = 0.95
"""Probability with which the gate should reach its alpha."""

LEAST = 2
"""Least number of processes, and of pairs, whatever the time: a single one has no spread."""


@dataclass(frozen=True)
class Noise:
    """The differences of one case from itself."""

    case: str
    lengths: Lengths
    moments: tuple[Moment, ...]
    """One for each process."""
    gate_log_ratios: tuple[float, ...]
    """One value per pair of processes."""

    @property
    def runs(self) -> tuple[Estimate, ...]:
        """What each run of these moments would have recorded; with fewer than two runs' moments, a single run."""
        count = max(1, len(self.moments) // RUN_MOMENTS)
        long, short = self.lengths.long, self.lengths.short
        return tuple(
            estimate(self.moments[first::count], long=long, short=short, unrest=unrest(self.moments))
            for first in range(count)
        )

    @property
    def stored_error(self) -> float:
        """Relative standard error of a time in such a run, in the median."""
        return median(run.error for run in self.runs)

    @property
    def gate_sigma(self) -> float:
        """Root mean square of the values: equal code has the mean 0, which need not be estimated."""
        return math.sqrt(fmean(value**2 for value in self.gate_log_ratios))

    @property
    def smallest_stored(self) -> float:
        """Smallest slowdown, as a share, that a comparison of two stored runs of :data:`RUN_CASES` could show."""
        return changes.visible(math.sqrt(2) * self.stored_error, RUN_CASES)

    @property
    def smallest_gate(self) -> float:
        """Smallest slowdown, as a share, that the gate can show beyond its margin, in one case.

        With many cases the gate corrects for their number: then the slowdown must be larger.
        """
        degrees = min(PLAN.confirm - 1, len(self.gate_log_ratios))
        effect = detectable_effect(self.gate_sigma, PLAN.confirm, degrees, level=PLAN.alpha, power=POWER)
        return math.expm1(PLAN.margin + effect)


def measure_noise(
    cases: Sequence[str], threads: int, seconds: float, show: Callable[[str], None] = lambda now: None
) -> list[Noise]:
    """Time each of ``cases`` against itself for about ``seconds``, but at least :data:`LEAST` times each way.

    ``show`` gets what is measured next.
    """
    settings = Settings(threads=threads)
    coin = random.Random()  # noqa: S311 - an order, not a secret
    role = Role(tuple(cases))
    show("choosing how many steps a call has")
    lengths = {case: choose(*_prepared(case, settings)) for case in cases}
    stored: dict[str, list[Moment]] = {case: [] for case in cases}
    gated: dict[str, list[float]] = {case: [] for case in cases}

    def as_gate(pair: int, now: str) -> None:
        show(f"as the gate does, pair {pair}: {now}")

    for number in _repeat(seconds):
        show(f"as stored runs do, process {number + 1}: timing {plural(len(cases), 'case')}")
        for case, moment in moments(cases, settings, lengths, coin).items():
            stored[case].append(moment)
        values = measure(role, role, settings, coin, equal_calls=True, show=partial(as_gate, number + 1))
        for case, value in zip(cases, values, strict=True):
            gated[case].append(value.log_ratio)
    return [Noise(case, lengths[case], tuple(stored[case]), tuple(gated[case])) for case in cases]


def _prepared(id_: str, settings: Settings) -> tuple[Run, int]:
    """Return the call of a case, and its most steps."""
    case = find(id_, settings)
    frameworks.load(case.framework, settings.threads)
    inputs = case.problem.inputs(settings.seed, case.dtype)
    return case.implementation.prepare(case.problem, inputs, case.device, case.dtype), case.problem.steps


def _repeat(seconds: float) -> Iterator[int]:
    """Count while one more repetition of the same length fits into ``seconds``."""
    start_s, done = time.perf_counter(), 0
    while done < LEAST or (time.perf_counter() - start_s) * (done + 1) / done <= seconds:
        yield done
        done += 1
