"""Finds the case that a user means by its id, or by enough parts of it: ``tiny_3x2x1 torch.autograd``."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from gradperf.errors import UnknownName, UserError, nearest

if TYPE_CHECKING:  # it imports numpy, which must wait until the threads are bound
    from gradperf.cases import Case, Settings

HELP = "a case: an id that `gradperf list` shows, or enough parts of it, such as tiny_3x2x1 torch.autograd"
_MOST_SHOWN = 6


def find(words: Iterable[str], settings: "Settings", like: "Case | None" = None) -> "Case":
    """Return the case that these parts of an id mean.

    A part may be cut where its beginning is enough. What is left out is that of ``like``; without it, the CPU and
    the dtype that the problem was published in. Raises UserError, with the candidates or the nearest names.
    """
    from gradperf import cases, problems

    id_ = "-".join(words)
    parts = id_.split("-")
    if len(parts) == 4 and "." in parts[1]:
        return cases.find(id_, settings)
    sizes = []
    for part in parts:
        with suppress(UnknownName):
            sizes.append(problems.find(part).name)  # it may be one of any size, which no list has
    everything = cases.chosen(cases.Choice(problem=(*cases.existing("problem"), *sizes)), settings)
    found = [*dict.fromkeys(everything)]
    for part in parts:
        with_part = set(_with_part(part, everything, id_))
        found = [case for case in found if case in with_part]
    if not found:
        raise UserError(f"no case has all of {', '.join(map(repr, parts))}; `gradperf list` shows what there is")
    for is_usual in _usual(like):
        found = [case for case in found if is_usual(case)] or found
    if len(found) > 1:
        ids = [case.id for case in found]
        more = f" and {len(ids) - _MOST_SHOWN} more" if len(ids) > _MOST_SHOWN else ""
        raise UserError(f"{id_!r} means {len(ids)} cases: {', '.join(ids[:_MOST_SHOWN])}{more}; name one of them")
    return found[0]


def _usual(like: "Case | None") -> "tuple[Callable[[Case], bool], ...]":
    """Return what to prefer on each axis, one after the other."""
    if like is None:
        return (lambda case: case.device == "cpu", lambda case: case.dtype == case.problem.dtype)
    return (
        lambda case: case.problem == like.problem,
        lambda case: case.device == like.device,
        lambda case: case.dtype == like.dtype,
    )


def _with_part(part: str, everything: "list[Case]", id_: str) -> "list[Case]":
    """Return the cases that have this part, or else those with a part that begins so."""
    named = {case: _parts(case) for case in everything}
    found = [case for case, names in named.items() if part in names]
    found = found or [case for case, names in named.items() if part and any(n.startswith(part) for n in names)]
    if not found:
        guess = nearest(part, {name for names in named.values() for name in names})
        raise UserError(
            f"{id_!r} is not a case id. An id is <problem>-<framework>.<style>-<device>-<dtype>, or enough of its "
            f"parts, and no case has {part!r}.{guess} `gradperf list` shows all."
        )
    return found


def _parts(case: "Case") -> tuple[str, ...]:
    """Return all names by which a part of an id can be meant."""
    style = f"{case.framework}.{case.style}"
    return (case.problem.name, style, case.style, case.framework, case.device, case.dtype)
