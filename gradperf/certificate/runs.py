"""Reads the store of a certificate: each line is one whole run of the gate, as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from gradperf import files

Kind = Literal["unchanged", "planted", "group"]

BUSY = 0.5
"""A machine is busy if other processes use this many CPUs or more."""

_NOT_TIMED = ("identical", "new", "removed", "failed")


@dataclass(frozen=True)
class Run:
    """One whole run of the gate."""

    kind: Kind
    arguments: tuple[str, ...]
    """Arguments of pytest: the suite."""
    planted: Mapping[str, float]
    """By case: the slowdown of its head."""
    group: str
    """The group that was slowed down as a whole; empty if none was."""
    cases: Mapping[str, str]
    """By case: the verdict."""
    case_groups: Mapping[str, str]
    groups: Mapping[str, str]
    """By group: the verdict."""
    visible: Mapping[str, float]
    """By case: the smallest visible change."""
    verdict: str
    exit_code: int
    seed: int
    commit: str
    """The commit of both sides."""
    started: str
    seconds: float
    others: float | None
    """CPUs that other processes used during the run, on average."""
    steal: float | None
    """Share of the wanted CPU time that the host took."""
    cpu_model: str | None
    cpus: float | None
    gradperf: str = ""
    """The version of the gate; empty in the oldest runs."""
    controls: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """By control: its result, ratio, p and number of pairs; empty in the oldest runs."""

    @property
    def suite(self) -> str:
        """The name of the suite on the page."""
        return f"`{' '.join(self.arguments)}`" if self.arguments else "the default ones"

    @property
    def was_busy(self) -> bool:
        """Whether the machine had other work."""
        return self.others is not None and self.others >= BUSY

    @property
    def verdicts(self) -> dict[str, str]:
        """The cases that were timed, with their verdicts."""
        return {id_: verdict for id_, verdict in self.cases.items() if verdict not in _NOT_TIMED}

    @property
    def left_alone(self) -> list[str]:
        """The verdicts of timed cases without a planted slowdown, and of groups without a slowed case."""
        slowed = {self.case_groups[case] for case in self.planted}
        cases = [verdict for id_, verdict in self.verdicts.items() if id_ not in self.planted]
        # A slowed case belongs to its group and to the group of all cases.
        untouched = self.groups.keys() & set(self.case_groups.values()) - slowed if slowed else self.groups
        return cases + [self.groups[name] for name in untouched]

    def caught(self, case: str) -> bool:
        """Return whether this case's slowdown failed the run; a run with a failed control caught nothing."""
        return self.verdict == "regressed" and self.cases.get(case) == "regressed"

    @property
    def caught_group(self) -> bool:
        """Whether the slowdown of its group failed the run, seen in the group, in all cases, or in a member."""
        verdicts = {self.groups.get(self.group), self.groups.get("all"), *map(self.cases.get, self.planted)}
        return self.verdict == "regressed" and "regressed" in verdicts


def read(store: Path) -> list[Run]:
    """Return the runs in the store; none if it does not exist."""
    return files.entries(
        store, lambda fields: Run(**{**fields, "arguments": tuple(fields["arguments"])}), "a run of the gate"
    )
