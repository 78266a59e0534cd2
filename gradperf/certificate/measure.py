"""Runs the whole gate many times: how often it raises a false alarm, and what it catches on this machine.

Each run is a whole ``gradperf gate``, started as a user starts it, on a checkout without changes:

- **unchanged**: nothing is planted, so every "regressed" is a false alarm;
- **planted**: work is added to the head of cases drawn at random: in each group 3 % of its time to one case, 5 % to
  another and 10 % to a third, as long as most cases stay as they are;
- **group**: 2 % of work is added to every case of one group, each group in turn.

Each run is stored as one line when it ends. So a certificate may be made in parts, at different hours, and beside
other work.
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
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from gradperf import __version__, files
from gradperf.certificate.page import markdown
from gradperf.certificate.runs import Kind, Run, read
from gradperf.errors import UserError
from gradperf.gate.sides import checkout, copies
from gradperf.machine import load
from gradperf.progress.display import Display
from gradperf.progress.steps import Series
from gradperf.text.quantities import plural

SHARES = (0.03, 0.05, 0.10)
"""Slowdowns of single cases."""

GROUP_SHARE = 0.02


def certify(
    counts: Mapping[Kind, int], arguments: Sequence[str], *, store: Path, page: Path, display: Display
) -> None:
    """Measure this many runs of each kind with these arguments of pytest; add them to ``store``, write ``page``."""
    repo = checkout.repository(Path.cwd())
    own = {os.path.relpath(file.resolve(), repo.resolve()) for file in (store, page)}
    unclean = sorted(set(copies.uncommitted(repo)) - own)
    if unclean and any(counts.values()):
        raise UserError(
            "the certificate measures unchanged code: "
            f"{unclean[0]} is uncommitted, one of {plural(len(unclean), 'file')}; commit or stash first"
        )
    for option, file in (("--store", store), ("--page", page)):
        files.check_can_write(option, file)
    if not any(counts.values()) and not read(store):
        raise UserError(f"no run was asked for, and {store} has none: give a number of them, such as --unchanged 1")
    known = _known(store, arguments)
    needs_first = not known and not counts.get("unchanged") and any(counts.values())
    series = Series(
        display, sum(counts.values()) + needs_first, [run.seconds for run in known if math.isfinite(run.seconds)]
    )
    try:
        for kind, count in counts.items():
            measure(kind, count, arguments, store, series)
    finally:
        # After Ctrl-C too: the runs made so far count.
        display.clear()
        if runs := read(store):
            files.write(page, markdown(runs))
            print(f"{plural(len(runs), 'run')} so far, in {store}; written to {page}")


def measure(kind: Kind, count: int, arguments: Sequence[str], store: Path, series: Series) -> None:
    """Run the gate ``count`` times, append each run to the store and print a line for it."""
    coin = random.Random()  # noqa: S311 - a choice of cases, not a secret
    for number in range(1, count + 1):
        known = _known(store, arguments)
        if kind != "unchanged" and not known:
            measure("unchanged", 1, arguments, store, series)
            known = _known(store, arguments)
        case_groups = known[-1].case_groups if known else {}
        planted: dict[str, float] = {}
        group = ""
        if kind == "planted":
            planted = slowdowns(case_groups, coin)
        elif kind == "group":
            made = Counter(run.group for run in known if run.kind == "group")
            group = min(sorted(set(case_groups.values())), key=made.__getitem__)
            planted = {case: GROUP_SHARE for case, name in case_groups.items() if name == group}
        series.begin(f"{kind} {number} of {count}")
        run = _run(kind, arguments, planted, group, case_groups)
        files.append(store, asdict(run))
        caught = ", ".join(f"{share:.0%} {run.cases.get(case)}" for case, share in planted.items())
        if group:
            caught = f"{GROUP_SHARE:.0%} of {group} {run.groups.get(group)}"
        end = f"; {caught}" if caught else ""
        series.display.clear()
        print(f"{kind} {number} of {count}: {run.verdict}, {run.seconds:.0f} s{end}", flush=True)


def _known(store: Path, arguments: Sequence[str]) -> list[Run]:
    """Return the stored runs of this suite. The first compared something, or it would not be stored."""
    return [run for run in read(store) if run.arguments == tuple(arguments)]


def slowdowns(case_groups: Mapping[str, str], coin: random.Random) -> dict[str, float]:
    """Draw the cases to slow down: one for each share in each group.

    Groups are left out until two thirds of all cases are as they were, but at least one group is slowed.
    """
    members: dict[str, list[str]] = defaultdict(list)
    for case, group in sorted(case_groups.items()):
        members[group].append(case)
    planted: dict[str, float] = {}
    for group in coin.sample(sorted(members), len(members)):
        chosen = coin.sample(members[group], min(len(SHARES), len(members[group])))
        if not planted or 3 * (len(planted) + len(chosen)) <= len(case_groups):
            planted |= zip(chosen, coin.sample(SHARES, len(chosen)), strict=True)
    return planted


def _run(
    kind: Kind, arguments: Sequence[str], planted: Mapping[str, float], group: str, case_groups: Mapping[str, str]
) -> Run:
    """Run the gate once. ``case_groups`` are those of an earlier run, empty in the first.

    Raises UserError if the first run compares nothing. A later one that does so is a failure of the gate, and kept.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "gate.json"
        plants = [word for case, share in planted.items() for word in ("--plant", f"{case}={share}")]
        command = ["gate", "--base", "HEAD", "--even-if-identical", "--json", str(file), *plants, "--", *arguments]
        before = _account()
        done = subprocess.run(  # noqa: S603 - this very program
            [sys.executable, "-m", "gradperf", *command], capture_output=True, text=True, check=False
        )
        after = _account()
        record = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"cases": []}
    if not record["cases"] and not (case_groups and "verdict" in record):
        output = f"{done.stderr.strip()}\n{done.stdout.strip()}".strip()
        raise UserError(f"a run of the gate compared nothing, with exit code {done.returncode}:\n{output}")
    cases = {case["id"]: case for case in record["cases"]}
    visible = {id_: case["smallest_visible_change"] for id_, case in cases.items()}
    environment = record["environment"]
    return Run(
        kind=kind,
        arguments=tuple(arguments),
        planted=planted,
        group=group,
        cases={id_: case["verdict"] for id_, case in cases.items()},
        case_groups={id_: case["group"] for id_, case in cases.items()} or case_groups,
        groups={one["id"]: one["verdict"] for one in record["groups"]},
        visible={id_: change for id_, change in visible.items() if change is not None},
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
        gradperf=__version__,
        controls={
            control["name"]: [control["result"], control["ratio"], control["p"], len(control["values"])]
            for control in record["controls"]
        },
    )


Account = tuple[load.CpuTimes | None, float, float]
"""CPU time of the system, CPU seconds of ended children and of their children, and seconds of the clock."""


def _account() -> Account:
    times = os.times()
    return load.cpu_times(), times.children_user + times.children_system, time.monotonic()


def _others(before: Account, after: Account) -> float | None:
    """Return how many CPUs other processes used on average, ended children excepted."""
    used_s = load.used_s(before[0], after[0])
    if used_s is None:
        return None
    return max(0.0, used_s - (after[1] - before[1])) / (after[2] - before[2])
