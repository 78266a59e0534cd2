"""Measure the gate from outside: how often it raises a false alarm, and what it catches on this machine.

Each run is a whole ``gradperf gate``, started as a user starts it, on a checkout without changes:

- **unchanged**: nothing is planted, so every "regressed" is a false alarm;
- **planted**: work is added to the head of cases drawn at random: in each group 3 % of its time to one case, 5 % to
  another and 10 % to a third, as long as most cases stay as they are;
- **group**: 2 % of work is added to every case of one group, each group in turn.

Each run is one line of a store, written when the run ends. So a certificate may be made in parts, at different
hours, and on a busy machine.
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

from gradperf import files
from gradperf.certificate.page import markdown
from gradperf.certificate.runs import Kind, Run, read
from gradperf.errors import UserError
from gradperf.gate.sides import checkout, copies
from gradperf.machine import load
from gradperf.text.quantities import plural

SHARES = (0.03, 0.05, 0.10)
"""Slowdowns of single cases."""

GROUP_SHARE = 0.02


def measure(
    kind: Kind,
    count: int,
    arguments: Sequence[str],
    store: Path,
    sides: Sequence[str],
    report: Callable[[str], None],
) -> None:
    """Run the gate ``count`` times and append each run to the store; ``report`` gets a line for each."""
    coin = random.Random()  # noqa: S311 - a choice of cases, not a secret
    for number in range(1, count + 1):
        known = _known(store, arguments)
        if kind != "unchanged" and not known:
            measure("unchanged", 1, arguments, store, sides, report)
            known = _known(store, arguments)
        groups = known[-1].case_groups if known else {}
        planted: dict[str, float] = {}
        group = ""
        if kind == "planted":
            planted = slowdowns(groups, coin)
        elif kind == "group":
            made = Counter(run.group for run in known if run.kind == "group")
            group = min(sorted(set(groups.values())), key=lambda name: made[name])
            planted = {case: GROUP_SHARE for case, name in groups.items() if name == group}
        run = _run(kind, arguments, planted, group, sides, groups)
        with store.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(run), ensure_ascii=False) + "\n")
        caught = ", ".join(f"{share:.0%} {run.cases.get(case)}" for case, share in planted.items())
        if group:
            caught = f"{GROUP_SHARE:.0%} of {group} {run.groups.get(group)}"
        report(f"{kind} {number} of {count}: {run.verdict}, {run.seconds:.0f} s{'; ' if caught else ''}{caught}")


def _known(store: Path, arguments: Sequence[str]) -> list[Run]:
    """Return the runs of this suite. The first of them compared something: otherwise it would not be stored."""
    return [run for run in read(store) if run.arguments == tuple(arguments)]


def slowdowns(groups: Mapping[str, str], coin: random.Random) -> dict[str, float]:
    """Draw the cases to slow down, from the groups by case: one for each share in each group.

    As many groups are chosen as leave two thirds of all cases alone, but at least one.
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
    """Run the gate once. ``groups`` are those of an earlier run, by case; they are empty in the first run.

    Raises UserError if the first run compares nothing. A later one that compares nothing is a failure of the gate,
    and is kept.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "gate.json"
        plants = [word for case, share in planted.items() for word in ("--plant", f"{case}={share}")]
        command = ["gate", *sides, "--even-if-identical", "--json", str(file), *plants, "--", *arguments]
        before = load.cpu_times(), _children_s(), time.monotonic()
        done = subprocess.run(  # noqa: S603 - this very program
            [sys.executable, "-m", "gradperf", *command], capture_output=True, text=True, check=False
        )
        after = load.cpu_times(), _children_s(), time.monotonic()
        record = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"cases": []}
    if not record["cases"] and not (groups and "verdict" in record):
        output = f"{done.stderr.strip()}\n{done.stdout.strip()}".strip()
        raise UserError(f"a run of the gate compared nothing, with exit code {done.returncode}:\n{output}")
    cases = {case["id"]: case for case in record["cases"]}
    environment = record["environment"]
    return Run(
        kind=kind,
        arguments=tuple(arguments),
        planted=planted,
        group=group,
        cases={id_: case["verdict"] for id_, case in cases.items()},
        case_groups={id_: case["group"] for id_, case in cases.items()} or groups,
        groups={one["id"]: one["verdict"] for one in record["groups"]},
        visible={
            id_: change for id_, case in cases.items() if (change := case["smallest_visible_change"]) is not None
        },
        verdict=record["verdict"],
        exit_code=record["exit_code"],
        seed=record["seed"],
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
            for control in record["controls"]
        },
    )


Account = tuple[load.CpuTimes | None, float, float]
"""CPU time of the system, CPU seconds of ended children, and seconds of the clock."""


def _others(before: Account, after: Account) -> float | None:
    """Return how many CPUs other processes used on average, ended children excepted."""
    used_s = load.used_s(before[0], after[0])
    if used_s is None:
        return None
    return max(0.0, used_s - (after[1] - before[1])) / (after[2] - before[2])


def _children_s() -> float:
    """Return the CPU seconds of ended children and of their children."""
    times = os.times()
    return times.children_user + times.children_system


def certify(parsed: Any, arguments: Sequence[str]) -> int:
    """Measure as many runs as the options say, and write the page."""
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
            "the certificate measures unchanged code: "
            f"{unclean[0]} is uncommitted, one of {plural(len(unclean), 'file')}; commit or stash first"
        )
    for option, file in (("--store", parsed.store), ("--page", parsed.page)):
        files.check_can_write(option, file)
    sides = ("--base", "HEAD")
    try:
        for kind, count in asked:
            measure(kind, count, arguments, parsed.store, sides, lambda text: print(text, flush=True))
    finally:
        # After Ctrl-C too: the runs made so far count.
        if runs := read(parsed.store):
            files.write(parsed.page, markdown(runs))
            print(f"{plural(len(runs), 'run')} so far, in {parsed.store}; written to {parsed.page}")
    return 0
