"""Plans the moments of the cases: several for each, spread over the whole run, one of them in another process."""

import heapq
from collections.abc import Iterator
from typing import Generic, TypeVar

from gradperf.timing.moment import Process

LATER: tuple[tuple[float, Process], ...] = ((0.25, "second"), (0.5, "main"), (0.75, "second"))
"""The moments after the first, which is in the main process: how much later, as a share of the run, and where."""

Case = TypeVar("Case")


class Plan(Generic[Case]):
    """The moments that are still to come.

    Time is counted in cases: the tick of a case is the number of cases that were begun before it. The order of the
    cases is random, so the order of all moments is.
    """

    def __init__(self, cases: int) -> None:
        self._cases = cases
        self._begun = 0
        self._waiting: list[tuple[float, int, Process, Case]] = []

    def begin(self, case: Case) -> None:
        """Plan the later moments of a case whose first moment is now."""
        for share, process in LATER:
            heapq.heappush(self._waiting, (self._begun + share * self._cases, self._begun, process, case))
        self._begun += 1

    def due(self) -> Iterator[tuple[Case, Process]]:
        """Yield and remove what is due now."""
        while self._waiting and self._waiting[0][0] <= self._begun:
            _, _, process, case = heapq.heappop(self._waiting)
            yield case, process

    def rest(self) -> Iterator[tuple[Case, Process]]:
        """Yield and remove all that is left, in order: for the end of the run."""
        while self._waiting:
            _, _, process, case = heapq.heappop(self._waiting)
            yield case, process
