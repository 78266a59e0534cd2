"""Says why a case has no time in a run."""

from collections.abc import Iterator

from gradperf import frameworks
from gradperf.records.storage import Run
from gradperf.text.quantities import plural

NOT_KNOWN = "not timed; the record does not say why"
_MOST = 60
"""So many reasons of a run are listed."""


class Untimed:
    """Why cases have no time in ``run``."""

    def __init__(self, run: Run) -> None:
        self._recorded = run.facts.cannot_run is not None
        self._cut_short = run.facts.cut_short == "interrupted"
        self._by_reason = {
            **{f"cannot run here: {reason}": ids for reason, ids in (run.facts.cannot_run or {}).items()},
            **{f"failed: {reason}": ids for reason, ids in (run.facts.failed or {}).items()},
        }
        self._reasons = {id_: reason for reason, ids in self._by_reason.items() for id_ in ids}

    def reason(self, problem: str, family: str, label: str, device: str, dtype: str) -> str:
        """Return why a case has no time; its problem is one of ``family``."""
        if known := self._reasons.get(f"{problem}-{label}-{device}-{dtype}"):
            return known
        framework, _, style = label.partition(".")
        if family and framework in frameworks.names():
            if style not in frameworks.styles(framework, family):
                return f"the style computes no problem of the family {family}"
            if device and device not in frameworks.devices(framework):
                return f"{framework} does not run on {device}"
        if not self._recorded:
            return NOT_KNOWN
        return "not selected, or the run was interrupted before" if self._cut_short else "not selected"

    def lists(self) -> Iterator[tuple[str, list[str]]]:
        """Yield each recorded reason with its cases, those that failed first."""
        ordered = sorted(self._by_reason.items(), key=lambda one: (not one[0].startswith("failed"), -len(one[1])))
        for reason, ids in ordered[:_MOST]:
            yield reason, [*ids]
        if left := ordered[_MOST:]:
            yield plural(len(left), "more reason"), [id_ for _, ids in left for id_ in ids]
