"""The conditions of a run: what must be equal for two runs to be compared."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from gradperf.records.storage import Run
from gradperf.text.printable import clean

MUST_BE_EQUAL = (
    *("cpu_model", "logical_cpus", "affinity_cpus", "effective_cpus", "governor", "gpus", "blas"),
    *("versions", "python_version", "settings"),
)
"""What must be equal for a run to be taken as the last one. A comparison warns of all other differences."""


@dataclass(frozen=True)
class Conditions:
    """What must be equal for two runs to be compared."""

    selection: Mapping[str, Any] | None
    """None if it is not known: such a run can be compared with none."""
    settings: Mapping[str, Any]
    """Tier, threads, seed."""
    machine: Mapping[str, Any]
    versions: Mapping[str, Any]

    @classmethod
    def of(cls, run: Run) -> Self:
        """Return those of a recorded run."""
        return cls.described(run.machine, run.facts.selection)

    @classmethod
    def described(cls, machine: Mapping[str, Any], selection: Mapping[str, Any] | None) -> Self:
        """Return those of a run with this machine info, as it is recorded, and this selection."""
        compared = {name: machine.get(name) for name in MUST_BE_EQUAL}
        settings, versions = compared.pop("settings"), compared.pop("versions")
        versions = {"versions": versions, "python_version": compared.pop("python_version")}
        return cls(selection, {"settings": settings}, compared, versions)


@dataclass(frozen=True)
class Unlike:
    """Why a run cannot be compared with another."""

    how: str
    """Such as "of another selection"; completes "2 runs are"."""
    differences: tuple[str, ...] = ()


UNRECORDED = Unlike("without a record of what was selected")
"""Another tool's run, or an older gradperf's."""


def unlike(run: Run, wanted: Conditions) -> Unlike | None:
    """Return why ``run`` is no complete run under the ``wanted`` conditions; None if it is."""
    own = Conditions.of(run)
    if run.partial:
        return Unlike("partial")
    if own.selection is None:
        return UNRECORDED
    if own.selection != wanted.selection:
        return Unlike("of another selection")
    for how, theirs, ours in (
        ("at other settings", own.settings, wanted.settings),
        ("on another machine", own.machine, wanted.machine),
        ("under other versions", own.versions, wanted.versions),
    ):
        if lines := differences(ours, theirs):
            return Unlike(how, tuple(lines))
    return None


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any], path: str = "") -> list[str]:
    """Return each value in which two machine infos differ: ``versions.torch: 2.12.0 then, 2.13.0 now``."""
    lines = []
    for key in sorted(ours.keys() | theirs.keys()):
        now, then = ours.get(key), theirs.get(key)
        if isinstance(now, Mapping) and isinstance(then, Mapping):
            lines += differences(now, then, f"{path}{key}.")
        elif now != then:
            was, is_now = ("not recorded" if value is None else value for value in (then, now))
            lines.append(clean(f"{path}{key}: {_brief(was)} then, {_brief(is_now)} now", 200))
    return lines


def _brief(value: Any) -> str:
    """Return a value of a file as text; it may be long, or nested too deeply."""
    try:
        return clean(str(value), 60)
    except RecursionError:
        return "unreadable"
