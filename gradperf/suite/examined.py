"""Examines a case before it is timed: chooses how long the timed calls are, and checks them and their conduct.

Meanwhile the second process of the run prepares the same case.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from gradperf.pairs import planting
from gradperf.suite import duties
from gradperf.suite.moments import Ready
from gradperf.suite.recording import KEY, Recording

if TYPE_CHECKING:  # these import numpy, which must wait until the threads are bound
    from gradperf.cases import Case, Settings
    from gradperf.checks.agreement import Agreed


@dataclass(frozen=True)
class Examined:
    """A case whose conduct was checked."""

    ready: Ready
    product_flops: int | None
    """Operations in matrix products, counted in one step."""


LAST: "pytest.StashKey[Examined]" = pytest.StashKey()
"""The last case that was examined; its other tests come next."""


@pytest.fixture
def announced(request: pytest.FixtureRequest, case: "Case") -> None:
    """Have the case prepared in the second process too, while this one checks it.

    Meanwhile the memory of the case before is measured. It must be known before the lengths of calls are chosen.
    """
    recording = request.config.stash[KEY]
    if recording.moments is not None:
        recording.moments.announce(case)
    if recording.first_calls is not None:
        recording.first_calls.go_on()


@pytest.fixture
def examined(request: pytest.FixtureRequest, announced: None, agreed: "Agreed", settings: "Settings") -> "Agreed":
    """Return the case with the calls to time, after its conduct was checked. If that fails, all its tests fail."""
    stash = request.config.stash
    if not stash[duties.KEY].checks_fully:
        return agreed
    last = stash.get(LAST, None)
    if last is None or last.ready.agreed is not agreed:
        stash[LAST] = last = _examine(agreed, settings, stash[KEY])
    return last.ready.timed


def _examine(agreed: "Agreed", settings: "Settings", recording: Recording) -> Examined:
    """Choose the calls to time, and check them. Work that is planted in the case is then added to them."""
    from gradperf.checks import agreement, conduct, work
    from gradperf.timing import lengths

    conduct.check_changes_nothing(agreed.case.id)
    most = agreed.case.problem.steps
    if recording.moments is None:
        return Examined(Ready(agreed, agreed, lengths.Lengths(most, None)), conduct.examine(agreed, settings))
    if recording.first_calls is not None:
        recording.first_calls.wait()
    chosen = lengths.choose(agreed.run, most, recording.moments.cpu(agreed))
    recording.moments.check(agreed.case, chosen)
    if chosen.short is not None:
        short = agreement.agree_at(agreed, settings, chosen.short)
        conduct.check_computes_anew(short)
        conduct.check_compiles_nothing(short)
        work.check(short, agreed.case.implementation, settings.seed)
    timed = agreement.agree_at(agreed, settings, chosen.long)
    ready = Ready(agreed, timed, chosen)
    product_flops = conduct.examine(timed, settings)
    if planted := recording.planted.get(agreed.case.id):
        recording.moments.settle()  # the time of a step is measured, to add a share of it
        ready = _slower(ready, planted)
    return Examined(ready, product_flops)


def _slower(ready: Ready, planted: float) -> Ready:
    """Return the case with this share of work added to the steps of its timed calls."""
    from gradperf.timing import moment
    from gradperf.timing.estimate import estimate

    lengths = ready.lengths
    taken = moment.take(ready.agreed.run, lengths, "main", None)
    step_s = estimate([taken], long=lengths.long, short=lengths.short).step_s
    slower = replace(ready, planted_units=planting.units(planted * step_s))
    return replace(slower, timed=replace(ready.timed, run=partial(slower.call, lengths.long)))
