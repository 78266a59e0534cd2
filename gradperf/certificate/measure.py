"""How often the gate alarms without a reason, and what it catches: measured end to end, on the machine at hand.

Each run is a whole ``gradperf gate``, started as a user starts it, on a checkout without any change:

- **unchanged**: nothing is planted, so whatever it calls regressed is a false alarm;
- **planted**: work is added to the head of cases drawn at random, in each group to one 3 % of its time, to one 5 %
  and to one 10 %, as long as most cases stay as they are;
- **group**: 2 % of work is added to every case of one group, each group in its turn.

Every run is one line of a store, written when the run ends, so that a certificate may be made in parts, at
different hours, and on a machine that has other things to do. What they showed is told by :mod:`.certified`.
"""

import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from gradperf.certificate.runs import Kind, Run, page, read
from gradperf.doctor.examination import plural
from gradperf.errors import UserError
from gradperf.gate.report import record
from gradperf.gate.sides import checkout, copies
from gradperf.machine import facts
from gradperf.suite import storage

SHARES = (0.03, 0.05, 0.10)
"""Slowdowns of single cases."""

GROUP_SHARE = 0.02


def measure(
    kind: Kind, count: int, arguments: Sequence[str], store: Path, sides: Sequence[str], tell: Callable[[str], None]
) -> None:
    """Run the gate ``count`` times and append each run to the store."""
    coin = random.Random()  # noqa: S311 - a choice of cases, not a secret
    for number in range(1, count + 1):
        known = _known(store, arguments)
        if kind != "unchanged" and not known:
            measure("unchanged", 1, arguments, store, sides, tell)
            known = _known(store, arguments)
        groups = known[-1].case_groups if known else {}
        planted: dict[str, float] = {}
        group = ""
        if kind == "planted":
            planted = slowdowns(groups, coin)
        elif kind == "group":
            made = Counter(run.group for run in known if run.kind == "group")
            group = min(sorted(set(groups.values())), key=lambda name: made[name])
            planted = {case: GROUP_SHARE for case, its in groups.items() if its == group}
        run = _run(kind, arguments, planted, group, sides, groups)
        with store.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(run), ensure_ascii=False) + "\n")
        caught = ", ".join(f"{share:.0%} {run.cases.get(case)}" for case, share in planted.items())
        if group:
            caught = f"{GROUP_SHARE:.0%} of {group} {run.groups.get(group)}"
        tell(f"{kind} {number} of {count}: {run.verdict}, {run.seconds:.0f} s{'; ' if caught else ''}{caught}")


def _known(store: Path, arguments: Sequence[str]) -> list[Run]:
    """Give the runs of this suite; the first of them compared something, or else there would be none."""
    return [run for run in read(store) if run.arguments == tuple(arguments)]


def slowdowns(groups: Mapping[str, str], coin: random.Random) -> dict[str, float]:
    """Draw the cases to slow down, from ``groups`` by case: one for each share in each group.

    In as many groups as leave two thirds of all cases alone, but in one at least.
    """
    members: dict[str, list[str]] = defaultdict(list)
    for case, group in sorted(groups.items()):
        members[group].append(case)
    planted: dict[str, float] = {}
    for group in coin.sample(sorted(members), len(members)):
        chosen = coin.sample(members[group], min(len(SHARES), len(members[group])))
        if not planted or 3 * (len(planted) + len(chosen)) <= len(groups):
            planted |= zip(chosen, coin.sample(SHARES, len(chosen)), strict=True)
    return planted


def _run(
    kind: Kind,
    arguments: Sequence[str],
    planted: Mapping[str, float],
    group: str,
    sides: Sequence[str],
    groups: Mapping[str, str],
) -> Run:
    """Run the gate; ``groups`` of an earlier run, by case, tell that this suite can be compared.

    So a run that compares nothing is one that failed, and is kept as that. Without any, it is the user's mistake.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "gate.json"
        plants = [word for case, share in planted.items() for word in ("--plant", f"{case}={share}")]
        command = ["gate", *sides, "--even-if-identical", "--json", str(file), *plants, "--", *arguments]
        before = facts.cpu_times(), _children_s(), time.monotonic()
        done = subprocess.run(  # noqa: S603 - this very program
            [sys.executable, "-m", "gradperf", *command], capture_output=True, text=True, check=False
        )
        after = facts.cpu_times(), _children_s(), time.monotonic()
        found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"cases": []}
    if not found["cases"] and not (groups and "verdict" in found):
        told = f"{done.stderr.strip()}\n{done.stdout.strip()}".strip()
        raise UserError(f"a run of the gate compared nothing, with exit code {done.returncode}:\n{told}")
    cases = {case["id"]: case for case in found["cases"]}
    environment = found["environment"]
    return Run(
        kind=kind,
        arguments=tuple(arguments),
        planted=planted,
        group=group,
        cases={id_: case["verdict"] for id_, case in cases.items()},
        case_groups={id_: case["group"] for id_, case in cases.items()} or groups,
        groups={name["id"]: name["verdict"] for name in found["groups"]},
        visible={
            id_: change for id_, case in cases.items() if (change := case["smallest_visible_change"]) is not None
        },
        verdict=found["verdict"],
        exit_code=found["exit_code"],
        seed=found["seed"],
        commit=environment["head_commit"],
        started=environment.get("started", ""),
        seconds=environment.get("seconds", math.nan),
        others=_others(before, after),
        steal=environment.get("steal"),
        cpu_model=environment.get("cpu_model"),
        cpus=environment.get("effective_cpus"),
        gradperf=version("gradperf"),
        controls={
            control["name"]: [control["result"], control["ratio"], control["p"], len(control["values"])]
            for control in found["controls"]
        },
    )


Account = tuple[facts.CpuTimes | None, float, float]
"""The system's CPU time, that of ended children in seconds, and the clock's."""


def _others(before: Account, after: Account) -> float | None:
    """CPUs that were used, on average, by others than ended children."""
    used_s = facts.used_s(before[0], after[0])
    if used_s is None:
        return None
    return max(0.0, used_s - (after[1] - before[1])) / (after[2] - before[2])


def _children_s() -> float:
    """CPU time of ended children, and theirs, in seconds."""
    times = os.times()
    return times.children_user + times.children_system


def certify(parsed: Any, arguments: Sequence[str]) -> int:
    """Measure what was asked for, and write the page; asked for nothing, only write it."""
    asked: list[tuple[Kind, int]] = [
        ("unchanged", parsed.unchanged),
        ("planted", parsed.planted),
        ("group", parsed.group),
    ]
    repo = checkout.repository(Path.cwd())
    own = {os.path.relpath(file.resolve(), repo.resolve()) for file in (parsed.store, parsed.page)}
    unclean = sorted(set(copies.uncommitted(repo)) - own)
    if unclean and any(count for _, count in asked):
        raise UserError(
            f"unchanged code is measured: {unclean[0]} is uncommitted, of {len(unclean)}: commit or stash"
        )
    for option, file in (("--store", parsed.store), ("--page", parsed.page)):
        storage.check_can_write(option, file)
    sides = ("--base", "HEAD")
    try:
        for kind, count in asked:
            measure(kind, count, arguments, parsed.store, sides, lambda text: print(text, flush=True))
    finally:
        # After Ctrl-C too: what was measured stands.
        if runs := read(parsed.store):
            record.write(parsed.page, page(runs))
            print(f"{plural(len(runs), 'run')} so far, in {parsed.store}; written to {parsed.page}")
    return 0
