"""Makes child processes wait for each other at each benchmark."""

from collections.abc import Iterable, Mapping
from typing import Any

from gradperf.pairs.process import Process, SideError

Answers = dict[str, Mapping[str, Any]]
"""What the children answered, by their roles."""


def meet(cases: Mapping[str, str], processes: Mapping[str, Process]) -> tuple[Answers, Answers]:
    """Wait until each child is ready at the benchmark of its case, or has ended the case.

    ``cases`` and ``processes`` are by role. Return the answers of those that are ready, and of those that ended.
    Raise :class:`SideError` for any other answer, and :class:`~gradperf.pairs.process.WorkerLost`.
    """
    ready: Answers = {}
    ended: Answers = {}
    for role, process in processes.items():
        answer = process.answer()
        if answer.get("ready") == cases[role]:
            ready[role] = answer
        else:
            ended[role] = _check_ended(cases[role], process, answer)
    return ready, ended


def leave(cases: Mapping[str, str], processes: Mapping[str, Process], ready: Iterable[str]) -> Answers:
    """Let the children with the roles ``ready`` go on; return their answers at the end. Raise as :func:`meet`."""
    roles = list(ready)
    for role in roles:
        processes[role].send(leave=True)
    return {role: _check_ended(cases[role], processes[role], processes[role].answer()) for role in roles}


def failure(ended: Answers, descriptions: Mapping[str, str]) -> str:
    """Return the outcome of each child that did not pass, by ``descriptions`` of roles; empty if all passed."""
    return "; ".join(
        f"{answer['outcome']} on the {descriptions[role]}: {answer['reason']}"
        for role, answer in ended.items()
        if answer["outcome"] != "passed"
    )


def _check_ended(case: str, process: Process, answer: Mapping[str, Any]) -> Mapping[str, Any]:
    if answer.get("ended") == case:
        return answer
    if "bye" in answer:
        reason = "\n".join(answer["errors"]) or process.printed()
        raise SideError(f"the {process.name} does not run {case}: {reason}")
    raise SideError(f"the {process.name} ran {answer} instead of {case}")
