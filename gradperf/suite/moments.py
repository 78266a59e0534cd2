"""Takes the moments of the cases of a run: the first when a case is timed, the others after later tests.

The cases stay prepared until the run ends. After the last test the moments that are left are taken.
"""

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from gradperf.pairs import planting
from gradperf.pairs.child.cpu import usable_cpus

if TYPE_CHECKING:  # these import numpy, which must wait until the threads are bound
    from gradperf.case_pairs.second import SecondProcess
    from gradperf.cases import Case, Settings
    from gradperf.checks.agreement import Agreed
    from gradperf.timing.lengths import Lengths
    from gradperf.timing.moment import Moment, Process


SLOW_MACHINE = 1.05
"""A moment met a slow machine if its reference took this many times as long as a fast one of the run."""

FAST_MOMENTS = 2
"""A case needs this many fast moments: the machine may have been fast just while the reference was timed."""

MOST_AGAIN = 4
"""Moments that a case gets beside the planned ones, if it met fewer fast ones."""

AGAIN_S = 15.0
"""All of those together end after this many seconds."""

_LOOK_S = 0.05
"""How often it is looked whether the machine is fast again."""


@dataclass(frozen=True)
class Ready:
    """A case that was examined and can be timed."""

    agreed: "Agreed"
    """With all its steps."""
    timed: "Agreed"
    """With calls of the long length."""
    lengths: "Lengths"
    planted_units: float = 0.0
    """Work that was added to each step of the timed calls (:mod:`gradperf.pairs.planting`)."""

    @property
    def call(self) -> Callable[[int], Any]:
        """What is timed at a moment, ``call(steps)``."""
        return planting.with_work(self.agreed.run, self.planted_units)

    @property
    def id(self) -> str:
        """Id of the case."""
        return self.agreed.case.id


class Moments:
    """The moments of the cases of a run; ``cases`` are the ids of those whose whole steps are to be timed."""

    def __init__(self, settings: "Settings", second: "SecondProcess", cases: Collection[str]) -> None:
        from gradperf.timing.plan import Plan

        self._settings, self._second = settings, second
        self._plan: Plan[Ready] = Plan(len(cases))
        self._unannounced = set(cases)
        self._coin = Random(settings.seed)  # noqa: S311 - an order, not a secret
        self._announced: set[str] = set()
        self._begun: list[Ready] = []
        self.taken: dict[str, list[Moment]] = {}
        """By the id of the case."""
        self.missed: list[str] = []
        """Why a moment in the second process has no time."""
        self.wrong: dict[str, str] = {}
        """Cases that returned something else at a later moment, and what."""

    def announce(self, case: "Case") -> None:
        """Have the second process prepare a case at its first test, if its whole steps will be timed."""
        if case.id in self._unannounced:
            self._unannounced.remove(case.id)
            self._announced.add(case.id)
            self._second.prepare(case.id)

    def check(self, case: "Case", lengths: "Lengths") -> None:
        """Have the second process check the calls that will be timed, if the case was announced."""
        if case.id in self._announced:
            self._second.check(case.id, lengths)

    def settle(self) -> None:
        """Wait until the second process rests, so that it disturbs no timing."""
        self._second.wait()

    def begin(self, ready: Ready) -> None:
        """Take the first moment of a case, and plan the others. Raises ``agreement.Disagreement``."""
        self.taken[ready.id] = []
        self._begun.append(ready)
        self._take(ready, "main")
        self._plan.begin(ready)

    def due(self) -> None:
        """Take the moments that are due after a test."""
        self._take_all(self._plan.due())

    def rest(self, tell: Callable[[int, int], None]) -> None:
        """Take the moments that are left after the last test; ``tell`` gets how many were taken, of how many."""
        left = list(self._plan.rest())
        for taken, due in enumerate(left):
            tell(taken, len(left))
            self._take_all([due])

    def again(self) -> None:
        """Take more moments of the cases that met too few fast ones, while the machine is fast.

        Other machines on the same host may take half of its speed, for seconds at a time. A case whose moments all
        fell into such seconds would look twice as slow.
        """
        from gradperf.timing.estimate import fast_reference_s
        from gradperf.timing.reference import reference_s

        references_s = [moment.reference_s for taken in self.taken.values() for moment in taken]
        if not references_s:
            return
        most_s, end_s = SLOW_MACHINE * fast_reference_s(references_s), time.monotonic() + AGAIN_S
        for _ in range(MOST_AGAIN):
            for ready in [one for one in self._begun if self._fast_moments(one, most_s) < FAST_MOMENTS]:
                while reference_s() > most_s and time.monotonic() < end_s:
                    time.sleep(_LOOK_S)
                if time.monotonic() >= end_s:
                    return
                self._take_all([(ready, "main")])

    def _fast_moments(self, ready: Ready, most_s: float) -> int:
        """Return how many moments of a case met a fast machine: their references took ``most_s`` at most."""
        return sum(moment.reference_s <= most_s for moment in self.taken[ready.id])

    def lines(self) -> list[str]:
        """Return which cases are not recorded although their test passed, and which moments have no time."""
        wrong = [f"NOT RECORDED, as it went wrong at a later moment: {reason}" for reason in self.wrong.values()]
        return wrong + [f"a moment is missing: {reason}" for reason in dict.fromkeys(self.missed)]

    def _take_all(self, due: "Iterable[tuple[Ready, Process]]") -> None:
        from gradperf.case_pairs.second import NoMoment, WrongResult
        from gradperf.checks.agreement import Disagreement

        for ready, process in due:
            if ready.id in self.wrong:
                continue
            try:
                self._take(ready, process)
            except NoMoment as reason:
                self.missed.append(str(reason))
            except (Disagreement, WrongResult) as error:
                self.wrong[ready.id] = str(error)
            except Exception as error:  # a framework may raise anything; the other cases go on
                self.wrong[ready.id] = f"{ready.id}: {type(error).__name__}: {error}"

    def _take(self, ready: Ready, process: "Process") -> None:
        from gradperf.checks import conduct
        from gradperf.checks.agreement import check_timed
        from gradperf.timing import moment

        cpu = self.cpu(ready.agreed)
        if process == "second":
            taken = self._second.moment(ready.id, ready.lengths, cpu, ready.planted_units)
        else:
            self.settle()
            taken = moment.take(ready.call, ready.lengths, process, cpu)
            check_timed(ready.timed, ready.timed.run())
            conduct.check_outside(ready.timed, ready.timed.case.implementation, taken.long_s)
        self.taken[ready.id].append(taken)

    def cpu(self, agreed: "Agreed") -> int | None:
        """Draw the CPU on which half of a moment is spent; None if the case may use several, or a GPU."""
        cpus = usable_cpus()
        alone = self._settings.threads == 1 and agreed.case.device == "cpu"
        return self._coin.choice(cpus) if cpus and alone else None
