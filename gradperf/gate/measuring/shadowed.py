"""Finds out whether two environments were compared where they differ.

The folder in which pytest starts, and those that it adds for the tests, come before installed packages. Where they
hold the sources of a package that differs, both sides run these sources, and the difference has no effect.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gradperf.gate.measuring.provenance import Origins, listed
from gradperf.gate.measuring.worker.modules import is_test
from gradperf.pairs.process import SideError
from gradperf.text.patterns import means


@dataclass(frozen=True)
class Shadow:
    """A module that both sides took from the same place, though the distribution that brings it differs."""

    distribution: str
    module: str
    place: str


def check(distributions: Sequence[str], origins: Mapping[str, Origins], accepted: Mapping[str, str]) -> list[str]:
    """Return warnings; raise SideError if a distribution that differs was not compared, and is not accepted.

    ``distributions`` are those that differ between the two environments; ``origins`` are those of both sides.
    """
    told, left = [], []
    for shadow in find(distributions, origins):
        reason = next((reason for key, reason in accepted.items() if means(key, shadow.distribution)), None)
        if reason is None:
            left.append(shadow)
        else:
            told.append(f"{shadow.distribution} differs and was not compared, but accepted: {reason}")
    if left:
        raise SideError(_explain(left[0]))
    if distributions and not _imported(distributions, origins):
        told.append(f"no benchmark imported in its own process anything of what differs: {listed(distributions)}")
    return list(dict.fromkeys(told))


def find(distributions: Sequence[str], origins: Mapping[str, Origins]) -> list[Shadow]:
    """Return the modules of ``distributions`` that both sides took from the same place."""
    base, head = origins["base"], origins["head"]
    found = []
    for name in distributions:
        for module in sorted({*base.brought.get(name, ()), *head.brought.get(name, ())}):
            place = _shared(module, base, head)
            if place is not None and not _is_of_tests(name, module, place, base):
                found.append(Shadow(name, module, place))
    return found


def _shared(module: str, base: Origins, head: Origins) -> str | None:
    """Return the place from which both sides import a module, or would in a process of their own."""
    ours, theirs = (side.loaded.get(module) for side in (base, head))
    if ours is None and theirs is None:
        ours, theirs = (next(iter(side.found.get(module, ())), None) for side in (base, head))
        # A folder without an `__init__.py` comes after an installed package, and may be anything.
        if ours is not None and os.path.isdir(ours) and not os.path.exists(os.path.join(ours, "__init__.py")):
            return None
    return ours if ours == theirs else None


def _is_of_tests(distribution: str, module: str, place: str, side: Origins) -> bool:
    """Whether a package holds the user's tests: some distributions bring a package called ``tests`` too."""
    if module == distribution.lower().replace("-", "_").replace(".", "_"):
        return False
    if is_test(place):
        return True
    path = Path(place)
    folder = path.parent if path.name == "__init__.py" else path
    return any(is_test(file) and Path(file).is_relative_to(folder) for file in side.loaded.values())


def _imported(distributions: Sequence[str], origins: Mapping[str, Origins]) -> bool:
    return any(
        module in side.loaded
        for side in origins.values()
        for name in distributions
        for module in side.brought.get(name, ())
    )


def _explain(shadow: Shadow) -> str:
    place = Path(shadow.place)
    folder = place.parent if place.name == "__init__.py" else place
    return (
        f"{shadow.distribution} differs between the two environments, but both sides import {shadow.module} from "
        f"{folder}, so the difference was not timed. That folder comes before installed packages, because pytest "
        "starts there or its tests lie there. Copy the tests to a folder without it, and start there. "
        f"If no benchmark depends on {shadow.distribution}: --accept {shadow.distribution} --reason TEXT"
    )
