"""Selects the cases of each test: those that the user chose, and the order in which they run."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Self

import pytest

from gradperf.suite import duties
from gradperf.text.printable import clean
from gradperf.text.quantities import plural

if TYPE_CHECKING:  # it imports numpy, which must wait until the threads are bound
    from gradperf.cases import Case, Choice, Settings

CHOICE: "pytest.StashKey[Choice]" = pytest.StashKey()
SETTINGS: "pytest.StashKey[Settings]" = pytest.StashKey()
_CANNOT_RUN: "pytest.StashKey[Mapping[str, list[str]]]" = pytest.StashKey()
"""By reason: ids of the cases that cannot run here."""

MARKERS = (
    "family(name, offers, problem, always, published): the family of problems whose cases a test takes",
    "without_case: a test to which the options leave no case; it is deselected",
    "gate(group, control): timed by `gradperf gate` by default",
)


def selected(config: pytest.Config, root: Path) -> dict[str, Any]:
    """Return what the user selected, ready for JSON: equal for two runs that were asked for the same benchmarks.

    The paths are relative to ``root``. What stops a run early, or runs again what failed, is not in it: such a run
    has only a part of what was selected.
    """
    option = config.option
    return {
        "paths": sorted({_relative(config.invocation_params.dir, argument, root) for argument in config.args}),
        "keyword": " ".join(option.keyword.split()) or None,
        "markers": " ".join(option.markexpr.split()) or None,
        "deselected": sorted(set(option.deselect or ())),
        "ignored": sorted({str(pattern) for pattern in (*(option.ignore or ()), *(option.ignore_glob or ()))}),
        **{axis: sorted(names) for axis, names in config.stash[CHOICE].items()},
    }


def _relative(start: Path, argument: str, root: Path) -> str:
    name, separator, test = argument.partition("::")
    path = (start / name).resolve()
    within = path.relative_to(root.resolve()) if path.is_relative_to(root.resolve()) else path
    return f"{within.as_posix()}{separator}{test}"


@dataclass(frozen=True)
class Family:
    """The ``family`` marker of a test: ``pytest.mark.family("training", offers="phases")``."""

    name: str
    offers: str = "prepare"
    """With ``"phases"`` only the styles that have phases."""
    problem: str | None = None
    """Only this problem."""
    always: bool = False
    """All cases, also those that the user did not choose."""
    published: bool = False
    """Only the dtype that each problem was published in."""

    @classmethod
    def of(cls, item: pytest.Item | pytest.Function) -> Self:
        """Read the marker of a test that takes a case."""
        marker = item.get_closest_marker("family")
        assert marker is not None, f"{item.nodeid} takes a case and names no family"
        return cls(*marker.args, **marker.kwargs)

    def has(self, case: "Case") -> bool:
        """Return whether the problem of ``case`` is one of this family."""
        return case.problem.family == self.name and self.problem in (None, case.problem.name)

    def lacks(self, case: "Case") -> str | None:
        """Return why the style of ``case`` is left out, or None. Imports its framework."""
        if self.offers == "phases" and case.implementation.phases is None:
            return f"{case.framework}.{case.style} has no phases"
        return None


def times_whole_steps(item: pytest.Item) -> bool:
    """Return whether the test takes a case with all of a step; a benchmark of another suite takes none."""
    return "case" in getattr(item, "fixturenames", ()) and Family.of(item).offers == "prepare"


def takes_case(item: pytest.Item) -> bool:
    """Return whether the test runs once for each case."""
    return "case" in getattr(getattr(item, "callspec", None), "params", ())


def case_id(item: pytest.Item) -> str:
    """Return the id of the case that a test takes."""
    id_: str = item.callspec.params["case"]  # type: ignore[attr-defined]
    return id_


def parametrize(metafunc: pytest.Metafunc, *, all_dtypes: bool) -> None:
    """Run a test that takes the fixture ``case`` once for each case of its family; skip those that cannot run here.

    ``all_dtypes=False`` takes only the dtype that each problem was published in, unless the user names one.
    """
    if "case" not in metafunc.fixturenames:
        return
    from gradperf import cases
    from gradperf.suite import gate_set

    config = metafunc.config
    family, settings = Family.of(metafunc.definition), config.stash[SETTINGS]
    choice = cases.Choice() if family.always else config.stash[CHOICE]
    parameters = []
    for case in cases.chosen(choice, settings, all_dtypes=all_dtypes and not family.published):
        if not family.has(case):
            continue
        marks = []
        if config.stash[duties.KEY].skips_at_collection:
            if reason := cases.obstacle(case, settings.threads):
                marks.append(pytest.mark.skip(reason=reason))
            elif family.lacks(case):
                continue
        if family.offers == "prepare" and (gate_mark := gate_set.mark(case)):
            marks.append(gate_mark)
        # The id alone is the parameter: pytest-benchmark would store any other object by its address.
        parameters.append(pytest.param(case.id, id=case.id, marks=marks))
    if not parameters:
        parameters = [pytest.param("", id="none", marks=pytest.mark.without_case)]
    metafunc.parametrize("case", parameters, indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put all tests of one case together, so that it is prepared and checked once.

    If moments are taken, the cases are in a random order, which the seed repeats: then no style of a problem always
    meets the same minute of the run. Tests to which the user's choice leaves no case are deselected, not skipped.
    So are those of a timed run that cannot run here, if others can.
    """
    empty = [item for item in items if item.get_closest_marker("without_case")]
    if config.stash[duties.KEY].is_recorded:
        empty += _cannot_run(config, [item for item in items if item not in empty])
    if empty:
        config.hook.pytest_deselected(items=empty)
    first: dict[str, int] = {}
    places = {}
    for place, item in enumerate(items):
        case = getattr(item, "callspec", None) and item.callspec.params.get("case")  # type: ignore[attr-defined]
        places[item] = first.setdefault(case, place) if case else place
    if config.stash[duties.KEY].is_recorded:
        shuffled = sorted(set(places.values()))
        Random(config.stash[SETTINGS].seed).shuffle(shuffled)  # noqa: S311 - an order, not a secret
        new = dict(zip(sorted(set(places.values())), shuffled, strict=True))
        places = {item: new[place] for item, place in places.items()}
    items[:] = sorted((item for item in items if item not in empty), key=places.__getitem__)


def _cannot_run(config: pytest.Config, items: list[pytest.Item]) -> list[pytest.Item]:
    """Return the tests whose cases cannot run here, and remember their cases; none if no other test is left."""
    reasons = {
        item: str(marker.kwargs["reason"])
        for item in items
        if takes_case(item) and (marker := item.get_closest_marker("skip"))
    }
    if len(reasons) == len(items):
        return []
    by_case = {case_id(item): reason for item, reason in reasons.items()}
    config.stash[_CANNOT_RUN] = ids_by(by_case)
    return [*reasons]


def pytest_report_collectionfinish(config: pytest.Config) -> list[str]:
    """Return how many cases cannot run here, by reason."""
    most_first = sorted(cannot_run(config).items(), key=lambda one: -len(one[1]))
    return [f"gradperf: cannot run here: {plural(len(ids), 'case')}: {clean(reason)}" for reason, ids in most_first]


def cannot_run(config: pytest.Config) -> Mapping[str, list[str]]:
    """Return by reason the ids of the cases that cannot run here, and were left out."""
    return config.stash.get(_CANNOT_RUN, {})


def ids_by(reasons: Mapping[str, str]) -> Mapping[str, list[str]]:
    """Return by reason the ids that have it."""
    found: dict[str, list[str]] = {}
    for id_, reason in reasons.items():
        found.setdefault(reason, []).append(id_)
    return found
