"""What a record holds: the facts beside each timing and those of the whole run, as they are written and read.

pytest-benchmark stores the timings. The facts of a benchmark are in its ``extra_info``, those of the run under
``gradperf``. A fact that is not known is None, in JSON null.

:data:`SCHEMA` changes when a fact is removed or means something else, not when one is added. Records without a
schema are from before it was written, and mean the same as schema 1. In schema 1 a call did all steps of the tier,
and nothing but the statistics of pytest-benchmark told the time of a step.

A file may hold anything. Reading never raises: a fact that is missing, or cannot be true, is None.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from itertools import islice
from numbers import Integral, Real
from typing import Any, Literal, TypeVar

from gradperf.text.printable import NONE, clean
from gradperf.text.quantities import plural

SCHEMA = 2

DISTURBED = 0.1
"""From this relative error on, a time was disturbed too much to be ranked."""

HARNESS = "nothing"
"""The problem whose style is empty: its time is what the harness itself takes."""

_MOST_REASONS, _MOST_IDS, _LONGEST = 200, 2_000, 300
"""So many reasons, ids for each, and characters of a text are read."""


def _name(value: Any) -> str | None:
    """Return a name as it was recorded. It may hold control characters."""
    if value is None or value == NONE:
        return None
    try:
        return str(value) or None
    except (ValueError, RecursionError):  # a number with too many digits, or lists nested too deeply
        return None


def _number(value: Any, least: float = -math.inf) -> float | None:
    """Return a finite number of at least ``least``."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) and number >= least else None


def _size(value: Any) -> float | None:
    return _number(value, least=0)


def _positive(value: Any) -> float | None:
    return _size(value) or None


def _whole(value: Any) -> int | None:
    """Return a whole number that is at least 0, and that a float can hold."""
    return int(value) if isinstance(value, Integral) and _size(value) is not None else None


def _count(value: Any) -> int | None:
    return _whole(value) or None


def _moment(value: Any) -> str | None:
    """Return a time with its zone as one in UTC, such as ``2026-11-20T08:30:00+00:00``; texts are in its order."""
    try:
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC).isoformat(timespec="seconds") if moment.tzinfo else None
    except (TypeError, ValueError, OverflowError):
        return None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, list | tuple) else ()


def _interval(value: Any) -> tuple[float, float] | None:
    bounds = [_positive(bound) for bound in _tuple(value)]
    match bounds:
        case [float(low), float(high)] if low <= high:
            return low, high
    return None


def ids_by_reason(value: Any) -> Mapping[str, tuple[str, ...]] | None:
    """Return ids of cases by reason, all as clean texts of some length; None if there is no such fact."""
    if not isinstance(value, Mapping):
        return None
    found: dict[str, tuple[str, ...]] = {}
    for reason, ids in islice(value.items(), _MOST_REASONS):
        name = _cleaned(reason)
        found[name] = (*found.get(name, ()), *map(_cleaned, _tuple(ids)[:_MOST_IDS]))
    return found


def _cleaned(value: Any) -> str:
    return clean(_name(value) or NONE, _LONGEST)


def _fact(read: Callable[[Any], Any], **default: Any) -> Any:
    """Return the field of a fact; ``read`` checks what a file holds, and returns the fact."""
    return field(metadata={"read": read}, **(default or {"default": None}))


@dataclass(frozen=True)
class Facts:
    """The facts beside one timing, as stored in its ``extra_info``."""

    problem: str | None = _fact(_name)
    framework: str | None = _fact(_name)
    style: str | None = _fact(_name)
    device: str | None = _fact(_name)
    dtype: str | None = _fact(_name)
    part: str = _fact(lambda value: _name(value or None) or "all", default="all")
    """The part of a step that was timed: "all", "forward" or "backward"."""
    steps: int | None = _fact(_count)
    """Steps in one call, as pytest-benchmark timed it; of a case with moments, in a long call."""
    short_steps: int | None = _fact(_count)
    """Steps in a short call; None if calls of one length were timed."""
    step_s: float | None = _fact(_positive)
    """Time of a step (:mod:`gradperf.timing.estimate`)."""
    step_interval_s: tuple[float, float] | None = _fact(_interval)
    """Its interval over the moments."""
    step_error: float | None = _fact(_size)
    """Its standard error, relative."""
    own_error: float | None = _fact(_size)
    """The part of it that the case's own moments show."""
    unrest: float | None = _fact(_size)
    """How much slower than at its best the machine was, in the mean of the run (a logarithm): the other part."""
    call_s: float | None = _fact(_size)
    """What a call pays once, before its first step and after its last."""
    disturbed: float | None = _fact(_size)
    """Share of the timed calls in which the system took the CPU away; they are left out."""
    moments: tuple[Mapping[str, Any], ...] = _fact(
        lambda value: tuple(filter(None, map(_mapping, _tuple(value)))), default=()
    )
    """Each with the fields of :class:`gradperf.timing.moment.Moment`."""
    took_s: float | None = _fact(_positive)
    """Seconds that the run spent on the tests of the case: with its checks and its first call."""
    tier: str | None = _fact(_name)
    threads: int | None = _fact(_count)
    seed: int | None = _fact(_whole)
    inputs_sha256: str | None = _fact(_name)
    framework_version: str | None = _fact(_name)
    final_loss: float | None = _fact(_number)
    gradient_error: float | None = _fact(_size)
    """Of the first gradients."""
    trajectory_error: float | None = _fact(_size)
    """Of all that the call returned."""
    first_call_steps: int | None = _fact(_count)
    """Steps in the first call."""
    first_call_s: float | None = _fact(_positive)
    """Preparing and the first call, in a fresh process."""
    memory_peak_bytes: float | None = _fact(_size)
    """Growth of the fresh process."""
    device_memory_peak_bytes: float | None = _fact(_size)
    first_call_at: str | None = _fact(_moment)
    """When first call and memory were measured: in this run, or in an earlier one."""
    first_call_key: str | None = _fact(_name)
    """What they depend on (:mod:`gradperf.first_call.key`); None if they were disturbed, and are not to be kept."""
    flops_per_step: float | None = _fact(_size)
    bytes_per_step: float | None = _fact(_size)
    product_flops_per_step: float | None = _fact(_size)
    """Operations in matrix products, by the problem's formulas."""
    product_flops_counted: float | None = _fact(_size)
    """The same, counted in the framework."""
    uncounted: str | None = _fact(_name)
    """Why they were not counted."""
    cpu_per_wall: float | None = _fact(_size)
    """CPU seconds per second while the case was timed."""
    wait_per_wall: float | None = _fact(_size)
    """Seconds per second that ready threads waited for a CPU, added over all threads."""
    peak_fraction: float | None = _fact(_size)
    """Share of this machine's best speed."""
    ratio_to_baseline: float | None = _fact(_positive)
    """Time per step, as a multiple of the baseline's."""
    break_even_steps: int | Literal["never"] | None = _fact(
        lambda value: value if value == "never" else _count(value)
    )
    """Steps from which the style stays ahead of the baseline."""


@dataclass(frozen=True)
class RunFacts:
    """The facts of a whole run, as stored under ``gradperf``; the commit is in ``commit_info``."""

    schema: int | None = _fact(_count)
    command: tuple[str, ...] = _fact(_tuple, default=())
    started: str | None = _fact(_name)
    finished: str | None = _fact(_name)
    load: Mapping[str, float | None] = _fact(_mapping, default_factory=dict)
    """At the start and at the end."""
    steal: float | None = _fact(_size)
    """Share of the wanted CPU time that the host gave to others."""
    benchmarks_selected: int | None = _fact(_whole)
    """Benchmarks that were to be timed."""
    benchmarks_finished: int | None = _fact(_whole)
    """Benchmarks that were timed and kept; those that failed are not."""
    selection: Mapping[str, Any] | None = _fact(lambda value: _mapping(value) or None)
    """What the user selected: equal for equal selections."""
    cut_short: str | None = _fact(_name)
    """What kept the run from being complete, other than benchmarks that did not finish."""
    planted: Mapping[str, float] = _fact(_mapping, default_factory=dict)
    """By the id of a case: work that was added to it on purpose, as a share of its time."""
    cannot_run: Mapping[str, tuple[str, ...]] | None = _fact(ids_by_reason)
    """By reason: ids of the cases that could not run there, and so were not selected."""
    failed: Mapping[str, tuple[str, ...]] | None = _fact(ids_by_reason)
    """By reason: ids of the cases of which a test failed."""
    tier: str | None = _fact(_name)
    threads: int | None = _fact(_count)
    seed: int | None = _fact(_whole)
    pools: Mapping[str, int] = _fact(_mapping, default_factory=dict)
    """Threads of each pool."""
    environment: Mapping[str, str] = _fact(_mapping, default_factory=dict)
    """Variables that change what numerical libraries do."""
    ceilings: tuple[Mapping[str, Any], ...] = _fact(_tuple, default=())
    """The best speed of each device and dtype."""

    @property
    def partial(self) -> str | None:
        """Why it is no run of all that was selected, unchanged; None if it is, or that was not recorded."""
        selected, finished = self.benchmarks_selected, self.benchmarks_finished
        missing = None
        if selected is not None and finished is not None and finished < selected:
            missing = f"{finished} of {selected} benchmarks"
        planted = f"work planted in {plural(len(self.planted), 'case')}" if self.planted else None
        return ", ".join(filter(None, (missing, self.cut_short, planted))) or None


@dataclass(frozen=True)
class Benchmark:
    """One benchmark of a record: its facts and its times."""

    facts: Facts
    label: str
    """``framework.style``, or the test's name if neither was recorded."""
    median_call_s: float | None
    """Median of the calls, by pytest-benchmark."""
    iqr_s: float | None
    """Interquartile range of a call."""

    @property
    def case(self) -> str:
        """Id of the case."""
        facts = self.facts
        return "-".join((facts.problem or NONE, self.label, facts.device or NONE, facts.dtype or NONE))

    @property
    def table(self) -> tuple[str | None, ...]:
        """Problem, device and dtype: what the styles of a table have in common."""
        return self.facts.problem, self.facts.device, self.facts.dtype

    @property
    def is_compared(self) -> bool:
        """Whether a table shows it: a whole step, not a half of one or the harness."""
        return self.facts.part == "all" and self.facts.problem != HARNESS

    @property
    def step_s(self) -> float | None:
        """Time of a step, by the moments; in an older record, the median call divided by its steps."""
        if self.facts.step_s:
            return self.facts.step_s
        return self.median_call_s / self.facts.steps or None if self.median_call_s and self.facts.steps else None

    @property
    def is_disturbed(self) -> bool:
        """Whether its own moments differ too much; the unrest of the machine affects all cases alike."""
        error = self.facts.own_error if self.facts.own_error is not None else self.facts.step_error
        return error is not None and error >= DISTURBED

    @property
    def reference_s(self) -> float | None:
        """Time of the reference computation at the fastest moment of the case."""
        times_s = [_positive(moment.get("reference_s")) for moment in self.facts.moments]
        return min((time_s for time_s in times_s if time_s), default=None)

    @property
    def spread(self) -> float | None:
        """Half the width of the interval, as a fraction of the time; of older records, of the quartiles."""
        if self.facts.step_s and self.facts.step_interval_s:
            low_s, high_s = self.facts.step_interval_s
            return (high_s - low_s) / 2 / self.facts.step_s
        return self.iqr_s / 2 / self.median_call_s if self.median_call_s and self.iqr_s is not None else None


_Facts = TypeVar("_Facts", Facts, RunFacts)


def _read(kind: type[_Facts], stored: Mapping[str, Any]) -> _Facts:
    return kind(**{fact.name: fact.metadata["read"](stored.get(fact.name)) for fact in fields(kind)})


def read_benchmark(stored: Mapping[str, Any]) -> Benchmark:
    """Return one of the ``benchmarks`` in pytest-benchmark's JSON."""
    facts, stats = _read(Facts, _mapping(stored.get("extra_info"))), _mapping(stored.get("stats"))
    if facts.framework is None and facts.style is None:  # another suite's, or an older version's
        label = _name(str(stored.get("fullname") or NONE).rpartition("::")[2]) or NONE
    else:
        label = f"{facts.framework or NONE}.{facts.style or NONE}"
    return Benchmark(
        facts=facts,
        label=label,
        median_call_s=_positive(stats.get("median")),
        iqr_s=_size(stats.get("iqr")),
    )


def read_run(stored: Mapping[str, Any]) -> RunFacts:
    """Return the facts of the run that pytest-benchmark stored."""
    return _read(RunFacts, _mapping(stored.get("gradperf")))
