"""Times styles of a problem: ``gradperf.bench``."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gradperf import cases, problems
from gradperf.api.notebook import Table
from gradperf.cases import Choice, Settings
from gradperf.errors import UserError, unknown
from gradperf.fresh.measure import Timed, times
from gradperf.text import quantities
from gradperf.timing.estimate import WIDTH


@dataclass(frozen=True, repr=False)
class Benched(Table):
    """The times of a step of some styles, the fastest first."""

    problem: str
    device: str
    dtype: str
    baseline: str
    """The style, with its framework, whose time is 1: the problem's own, or the fastest without it."""
    timed: tuple[Timed, ...]

    @property
    def title(self) -> str:
        """What was timed, and how."""
        moments = sum(one.moments for one in self.timed)
        return (
            f"{self.problem}, {self.device}, {self.dtype}: time of a step, and as a multiple of {self.baseline}'s; "
            f"{moments} moments in fresh processes"
        )

    def records(self) -> list[dict[str, Any]]:
        """Return a row for each style; the ratio with an interval of two standard errors."""
        base = next(one for one in self.timed if style_of(one) == self.baseline)
        return [
            {
                "style": style_of(one),
                "step": quantities.duration(one.estimate.step_s),
                "step_s": one.estimate.step_s,
                **_ratio(one, base),
                "gradient_error": one.gradient_error,
            }
            for one in self.timed
        ]


def style_of(timed: Timed) -> str:
    """Return the framework and the style of a case."""
    return timed.case.split("-")[1]


def _ratio(timed: Timed, base: Timed) -> dict[str, float | None]:
    ratio = timed.estimate.step_s / base.estimate.step_s
    if timed is base:
        return {"ratio": 1.0, "low": None, "high": None}
    width = math.exp(WIDTH * math.hypot(timed.estimate.error, base.estimate.error))
    return {"ratio": ratio, "low": ratio / width, "high": ratio * width}


def bench(
    problem: str,
    styles: Sequence[str] = (),
    *,
    device: str = "cpu",
    dtype: str | None = None,
    threads: int = 1,
    seed: int = 0,
) -> Benched:
    """Check and time styles such as ``"torch.autograd"`` on a problem, in two fresh processes.

    Without ``styles``, all that can run here. Raises UserError for a name that does not exist, and for a style that
    is wrong or cannot run here.
    """
    settings = Settings(threads=threads, seed=seed)
    choice = Choice(problem=(problem,), device=(device,), dtype=(dtype,) if dtype else ())
    cases.check_names(choice)
    found = {f"{case.framework}.{case.style}": case for case in cases.chosen(choice, settings, all_dtypes=False)}
    for name in styles:
        if name not in found:
            raise UserError(str(unknown("style", name, found)))
    picked = [found[name] for name in styles] or [
        case for case in found.values() if cases.obstacle(case, threads) is None
    ]
    if not picked:
        raise UserError(f"no style of {problem} can run on {device} here")
    timed = sorted(times([case.id for case in picked], settings), key=lambda one: one.estimate.step_s)
    usual = problems.baseline_of(problem)
    named = [style_of(one) for one in timed]
    baseline = usual if usual in named else named[0]
    return Benched(problem, device, picked[0].dtype, baseline, tuple(timed))
