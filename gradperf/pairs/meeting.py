"""Makes child processes wait for each other at each benchmark."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from gradperf.pairs.process import OutOfStep, Process, SideError, WorkerLost
from gradperf.pairs.turns import Waiting

Answers = dict[str, Mapping[str, Any]]
"""What the children answered, by their roles."""

NOTHING_TIMED = frozenset({"skipped", "unused"})
"""The outcomes of a case that ran as its author wanted, but did not have anything timed."""

Found = TypeVar("Found")


def collected(processes: Iterable[Process]) -> list[list[Any]]:
    """Return the cases that each child found; raise :class:`SideError` if one cannot run any."""
    found = []
    for process in processes:
        try:
            answer = process.answer()
        except WorkerLost as lost:
            raise SideError(f"before its first case {lost}") from None
        check_collected(process, answer)
        if "collected" not in answer:
            raise SideError(
                f"pytest did not get as far as collecting on the {process.name} "
                f"(exit code {answer['bye']}):\n{process.printed()}"
            )
        found.append(answer["collected"])
    return found


def check_collected(process: Process, answer: Mapping[str, Any]) -> None:
    """Raise :class:`SideError` if a child reports that modules of its tests cannot be imported."""
    if answer["errors"]:
        raise SideError(f"the tests of the {process.name} cannot be collected:\n" + "\n".join(answer["errors"]))


def together(
    cases: Mapping[str, str], processes: Mapping[str, Process], act: Callable[[Mapping[str, Waiting]], Found]
) -> tuple[Found | None, Answers]:
    """Have each child run its case up to its benchmark; ``act`` if all wait there; then have them finish the case.

    ``cases``, ``processes`` and the argument of ``act`` are by role. Return what ``act`` returned, None if a child
    did not get there or left too early, and how the case ended in each child. Raise
    :class:`~gradperf.pairs.process.WorkerLost`.
    """
    ready: dict[str, Waiting] = {}
    ended: Answers = {}
    for role, process in processes.items():
        answer = process.answer()
        if answer.get("ready") == cases[role]:
            ready[role] = Waiting(process, answer)
        else:
            ended[role] = _check_ended(cases[role], process, answer)
    found = None
    if not ended:
        try:
            found = act(ready)
        except OutOfStep as early:
            (role,) = (role for role, process in processes.items() if process is early.process)
            ended[role] = _check_ended(cases[role], early.process, early.answer)
            del ready[role]
    for waiting in ready.values():
        waiting.process.send(leave=True)
    for role, waiting in ready.items():
        ended[role] = _check_ended(cases[role], waiting.process, waiting.process.answer())
    return found, ended


def failure(ended: Answers, descriptions: Mapping[str, str]) -> str:
    """Return how the case ended in each child that did not pass, by ``descriptions`` of roles; empty if all passed.

    A reason that several children share stands once: ``failed on the base, failed on the head: no such file``.
    """
    by_reason: dict[str, list[str]] = {}
    for role, description in descriptions.items():  # not in the order of launch, which is drawn
        if role in ended and ended[role]["outcome"] != "passed":
            by_reason.setdefault(ended[role]["reason"], []).append(f"{ended[role]['outcome']} on the {description}")
    return "; ".join(f"{', '.join(dict.fromkeys(where))}: {reason}" for reason, where in by_reason.items())


def _check_ended(case: str, process: Process, answer: Mapping[str, Any]) -> Mapping[str, Any]:
    if answer.get("ended") == case:
        return answer
    if "bye" in answer:
        reason = "\n".join(answer["errors"]) or process.printed()
        raise WorkerLost(f"a process of the {process.name} ended its tests without running it: {reason}")
    raise WorkerLost(f"a process of the {process.name} ran {answer} instead of it")
