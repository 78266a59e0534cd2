"""Cases: one problem × style × device × dtype each, and the user's choice among them."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from itertools import product

from gradperf import frameworks, problems
from gradperf.errors import UserError, unknown
from gradperf.frameworks.contract import Style
from gradperf.problems import Problem


@dataclass(frozen=True)
class Settings:
    """What all cases of a run have in common."""

    tier: str = "quick"
    threads: int = 1
    seed: int = 0


@dataclass(frozen=True)
class Choice:
    """What the user named on each axis; an empty axis means everything."""

    framework: tuple[str, ...] = ()
    style: tuple[str, ...] = ()
    problem: tuple[str, ...] = ()
    device: tuple[str, ...] = ()
    dtype: tuple[str, ...] = ()

    def items(self) -> Iterable[tuple[str, tuple[str, ...]]]:
        """Return each axis with the values named on it."""
        return vars(self).items()


@dataclass(frozen=True)
class Case:
    """One problem in one style on one device in one dtype."""

    problem: Problem
    framework: str
    style: str
    device: str
    dtype: str

    @property
    def id(self) -> str:
        """``<problem>-<framework>.<style>-<device>-<dtype>``."""
        return f"{self.problem.name}-{self.framework}.{self.style}-{self.device}-{self.dtype}"

    @property
    def group(self) -> str:
        """Return the name of its table: all styles of one problem, device and dtype."""
        return f"{self.problem.name} {self.device} {self.dtype}"

    @property
    def implementation(self) -> Style:
        """Import and return the style itself."""
        return frameworks.style(self.framework, self.problem.family, self.style)

    def value(self, axis: str) -> str:
        """Return the value of this case on an axis of :class:`Choice`."""
        return self.problem.name if axis == "problem" else str(getattr(self, axis))


@cache
def obstacle(case: Case, threads: int) -> str | None:
    """Return on one line why ``case`` cannot run here, or None. Imports its framework."""
    try:
        runtime = frameworks.load(case.framework, threads)
    except frameworks.Unavailable as error:
        return str(error)
    if reason := runtime.missing(case.device):
        return reason
    try:
        style = case.implementation
    except Exception as error:  # what a style imports beside its framework may be missing or broken
        return f"{case.framework}.{case.style} cannot be imported: {type(error).__name__}: {error}"
    return style.supports(case.problem, case.device, case.dtype)


def existing(axis: str) -> tuple[str, ...]:
    """Return every value that exists on ``axis``."""
    found: Iterable[str]
    match axis:
        case "framework":
            found = frameworks.names()
        case "style":
            both = product(frameworks.names(), problems.families())
            found = (style for framework, family in both for style in frameworks.styles(framework, family))
        case "problem":
            found = (problem.name for problem in problems.entries())
        case "device":
            found = (device for name in frameworks.names() for device in frameworks.devices(name))
        case "dtype":
            found = frameworks.DTYPES
        case _:
            raise AssertionError(axis)
    return tuple(dict.fromkeys(found))


def check_names(choice: Choice) -> None:
    """Raise ``UnknownName`` for the first value that does not exist."""
    for axis, values in choice.items():
        for value in values:
            if axis == "problem":
                problems.find(value)
            elif value not in existing(axis):
                raise unknown(axis, value, existing(axis))


def chosen(choice: Choice, settings: Settings, *, all_dtypes: bool = True) -> list[Case]:
    """Return every case that matches ``choice``, even if it cannot run here.

    If no dtype is named, ``all_dtypes=False`` takes the one that each problem was published in.
    """
    named = choice.problem or existing("problem")
    return [
        Case(problem, framework, style, device, dtype)
        for problem in (problems.find(name).at_tier(settings.tier) for name in named)
        for framework in choice.framework or frameworks.names()
        for style in frameworks.styles(framework, problem.family)
        if not choice.style or style in choice.style
        for device in frameworks.devices(framework)
        if not choice.device or device in choice.device
        for dtype in choice.dtype or (frameworks.DTYPES if all_dtypes else (problem.dtype,))
    ]


def check_named_can_run(cases: Iterable[Case], choice: Choice, threads: int) -> None:
    """Raise UserError if a value that the user named leads to no case that can run here."""
    cases = list(cases)
    for axis, values in choice.items():
        for value in values:
            with_value = [case for case in cases if case.value(axis) == value]
            reasons = [obstacle(case, threads) for case in with_value]
            if not with_value:
                raise UserError(f"--{axis} {value}: no case has it together with the other options")
            if None not in reasons:
                listed = "\n  ".join(dict.fromkeys(reason for reason in reasons if reason))
                raise UserError(f"--{axis} {value} was asked for, and cannot run here:\n  {listed}")


def find(id_: str, settings: Settings) -> Case:
    """Return the case with this id; raises UnknownName or UserError with what is wrong."""
    parts = id_.split("-")
    if len(parts) != 4 or "." not in parts[1]:
        raise UserError(
            f"{id_!r} is not a case id. An id is <problem>-<framework>.<style>-<device>-<dtype>, "
            "for example two_layer_784x30x10-torch.autograd-cpu-float64; `gradperf list` shows all."
        )
    problem, (framework, _, style), device, dtype = parts[0], parts[1].partition("."), parts[2], parts[3]
    choice = Choice((framework,), (style,), (problem,), (device,), (dtype,))
    check_names(choice)
    cases = chosen(choice, settings)
    if not cases:
        family = problems.find(problem).family
        if device not in frameworks.devices(framework):
            supported = " and ".join(frameworks.devices(framework))
            raise UserError(f"{id_}: {framework} runs only on {supported}, not on {device}")
        raise unknown(f"{framework} style for {family}", style, frameworks.styles(framework, family))
    return cases[0]
