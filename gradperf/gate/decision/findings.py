"""The findings of the gate as dataclasses: :mod:`.judge` makes them, the report shows them.

Ratios are head over base: 1.05 took 5 % longer. Changes are shares: 0.03 is 3 %.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal[
    "regressed",
    "suspect",
    "improved",
    "unchanged",
    "inconclusive",
    "unstable",
    "identical",
    "new",
    "removed",
    "failed",
    "different",
]
"""On a case or a group. :data:`MEANING` says what each means."""

Overall = Literal[
    "regressed",
    "untrusted",
    "incomplete",
    "suspect",
    "inconclusive",
    "improved",
    "unchanged",
    "identical",
]

MEANING: Mapping[str, str] = {
    "regressed": "slower by more than the smallest effect of interest, proven",
    "suspect": "its interval lies above the smallest effect of interest, but more pairs did not prove it",
    "improved": "faster by more than the smallest effect of interest, proven in the same way",
    "unchanged": "the whole interval lies within the bounds of equivalence",
    "inconclusive": "none of these could be shown",
    "unstable": "too noisy to show even a change of 10 %",
    "identical": "the same bytes on both sides, so it was not timed",
    "new": "the base does not have it",
    "removed": "the head does not have it",
    "failed": "it raised, crashed, hung or was skipped on one side or both",
    "different": "the two sides return different results",
    "untrusted": "a control failed, or the two sides' results differ, so no verdict of the run may be believed",
    "incomplete": "nothing was compared, or a case vanished, crashed or hung",
}
"""By verdict, on a case or on the whole run."""

ControlName = Literal["base against base", "planted slowdown"]
ControlResult = Literal[
    "passed",
    "not seen",  # the run shows nothing: the planted slowdown is lost in noise, or far from what was planted
    "failed",  # no verdict may be believed
]


@dataclass(frozen=True)
class Finding:
    """The verdict on one case, or on one group of cases."""

    id: str
    verdict: Verdict
    group: str = ""
    """The group of a case; empty for a group."""
    ratio: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    """Bounds of the 95 % interval of the ratio."""
    p_adjusted: float | None = None
    """p-value of a slowdown larger than the smallest effect of interest; 1 if none was suspected."""
    pairs: int = 0
    """Pairs of processes that ratio and interval rest on."""
    smallest_visible_change: float | None = None
    """The smallest slowdown that this run would have called regressed with a probability of 80 %."""
    base_s: float | None = None
    head_s: float | None = None
    """Seconds of one call, the median over all pairs."""
    screened: tuple[float, ...] = ()
    confirmed: tuple[float, ...] = ()
    """Log-ratio of every pair of each phase, in the order measured."""
    modes: str = ""
    """What is known of several speeds of its processes; empty if nothing is."""
    reason: str = ""
    """Why it failed, or what differs; empty if it was measured."""
    accepted: str = ""
    """Why the user accepted it; empty if it was not accepted."""


@dataclass(frozen=True)
class Control:
    """A comparison with a known answer."""

    name: ControlName
    case: str
    effect: float
    """The true change: 0, or 0.05."""
    result: ControlResult
    ratio: float | None
    ci_low: float | None
    ci_high: float | None
    p: float | None
    """p-value of a slowdown larger than the smallest effect of interest."""
    values: tuple[float, ...]
    """Log-ratio of every pair."""


@dataclass(frozen=True)
class Outcome:
    """All findings of a run of the gate."""

    verdict: Overall
    exit_code: int
    cases: tuple[Finding, ...]
    groups: tuple[Finding, ...]
    controls: tuple[Control, ...]
    warnings: tuple[str, ...]
    """Sentences for the user."""
    plan: Mapping[str, Any]
    """The fields of :class:`~.trial.Plan`."""
    seed: int
    """Of the random choices."""
    environment: Mapping[str, Any]
    """Base, head, interpreters, versions, machine, start and end."""
