"""Runs the whole suite many times, as a user would, and stores what each run measured when it ends.

Three kinds of runs, in a random order: **quiet**, with nothing beside them; **busy**, beside two busy processes;
**planted**, with 10 % of work added to a third of the cases, 5 % to another third, and nothing to the rest, drawn
anew for each run.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from gradperf.errors import UserError
from gradperf.progress.display import Display
from gradperf.progress.steps import Series
from gradperf.records.facts import Benchmark, read_benchmark, read_run
from gradperf.stability import runs
from gradperf.stability.runs import Case, Kind, Run
from gradperf.text.quantities import plural
from gradperf.timing.moment import Moment

ARGUMENTS = ("perf", "-m", "gate", "--no-first-calls")
"""What is run if nothing else is given: the cases that the gate times."""

SHARES = (0.10, 0.05)
"""Work that is added, each to a third of the cases."""

BUSY_PROCESSES = 2

_BUSY = "import os, sys\nwhile os.getppid() == int(sys.argv[1]):\n    sum(range(100_000))"
"""A busy process. It ends when its parent, whose process id it is given, is gone."""

_LAST_LINES = 15


def measure(
    counts: Mapping[Kind, int], arguments: Sequence[str], store: Path, page: Path, display: Display
) -> None:
    """Run the suite as often as ``counts`` says, in a random order; add each run to the store when it ends.

    ``page`` is the file of the page: that it differs does not make the code another one. Raises UserError if the
    first run measures nothing; a later one that does is reported and left out.
    """
    coin = random.Random()  # noqa: S311 - an order, not a secret
    todo = [kind for kind, count in counts.items() for _ in range(count)]
    coin.shuffle(todo)
    known = [run for run in runs.read(store) if run.arguments == tuple(arguments)]
    if todo and not known and todo[0] == "planted":
        todo.insert(0, "quiet")  # it tells which cases there are
    series = Series(display, len(todo), [run.seconds for run in known])
    for number, kind in enumerate(todo, 1):
        series.begin(kind)
        planted = slowdowns(known[-1].cases, coin) if kind == "planted" else {}
        with busy_processes() if kind == "busy" else nullcontext():
            stored, output = _recorded(arguments, planted)
        display.clear()
        name = f"{number} of {len(todo)}, {kind}"
        if stored is None:
            if not known:
                raise UserError(f"a run measured nothing:\n{output}")
            print(f"{name}: measured nothing and is left out:\n{output}", flush=True)
            continue
        run = read_record(stored, kind, planted, arguments, dirty=_dirty(store, page))
        runs.add(store, run)
        known.append(run)
        lost = f", {run.failed} failed" if run.failed else ""
        print(f"{name}: {plural(len(run.cases), 'case')} in {run.seconds:.0f} s{lost}", flush=True)


def slowdowns(cases: Iterable[str], coin: random.Random) -> dict[str, float]:
    """Draw the cases to slow down: a third of them for each share."""
    ids = sorted(cases)
    third = round(len(ids) / (len(SHARES) + 1))
    drawn = coin.sample(ids, third * len(SHARES))
    return {id_: share for place, share in enumerate(SHARES) for id_ in drawn[place :: len(SHARES)]}


@contextmanager
def busy_processes() -> Iterator[Sequence[subprocess.Popen[bytes]]]:
    """Keep two CPUs busy."""
    command = [sys.executable, "-c", _BUSY, str(os.getpid())]
    started = [subprocess.Popen(command) for _ in range(BUSY_PROCESSES)]  # noqa: S603 - the program above
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()


def _recorded(arguments: Sequence[str], planted: Mapping[str, float]) -> tuple[dict[str, Any] | None, str]:
    """Run pytest in a new process; return the record, None if there is none, and the last lines of the output."""
    plants = [word for case, share in planted.items() for word in ("--plant", f"{case}={share}")]
    with tempfile.TemporaryDirectory(prefix="gradperf-") as folder:
        own = ["-p", "no:cacheprovider", "--benchmark-quiet", f"--benchmark-storage=file://{folder}"]
        done = subprocess.run(  # noqa: S603 - pytest, with the user's arguments
            [sys.executable, "-m", "pytest", *arguments, *own, *plants],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        records = [json.loads(file.read_bytes()) for file in Path(folder).rglob("*.json")]
    return (records[0] if records else None), "\n".join(done.stdout.splitlines()[-_LAST_LINES:])


def read_record(
    stored: Mapping[str, Any],
    kind: Kind,
    planted: Mapping[str, float],
    arguments: Sequence[str],
    *,
    dirty: bool | None,
) -> Run:
    """Return the run that pytest-benchmark stored."""
    facts, machine = read_run(stored), stored["machine_info"]
    assert facts.started is not None
    assert facts.finished is not None
    cases = [one for one in map(read_benchmark, stored["benchmarks"]) if one.is_compared and one.facts.moments]
    return Run(
        started=facts.started,
        finished=facts.finished,
        kind=kind,
        planted=planted,
        arguments=tuple(arguments),
        cases={one.case: _case(one) for one in cases},
        failed=(facts.benchmarks_selected or 0) - (facts.benchmarks_finished or 0),
        load=facts.load,
        steal=facts.steal,
        cpu_model=machine.get("cpu_model"),
        versions=machine.get("versions", {}),
        commit=str(stored.get("commit_info", {}).get("id")),
        dirty=dirty,
    )


def _case(measured: Benchmark) -> Case:
    facts = measured.facts
    assert facts.steps
    assert facts.step_s
    return Case(
        steps=facts.steps,
        short_steps=facts.short_steps,
        step_s=facts.step_s,
        step_error=facts.step_error or 0.0,
        call_s=facts.call_s,
        reference_s=measured.reference_s or 0.0,
        disturbed=facts.disturbed or 0.0,
        moments=tuple(Moment(**moment) for moment in facts.moments),
    )


def _dirty(*own: Path) -> bool | None:
    """Return whether files differ from the commit, others than ``own``; None if git does not know."""
    command = ["git", "status", "--porcelain", "--untracked-files=no", "-z", "--", ":/"]
    done = subprocess.run(  # noqa: S603 - git is found as in every shell
        [*command, *(f":(exclude,literal){os.path.relpath(file)}" for file in own)],
        capture_output=True,
        check=False,
    )
    return bool(done.stdout) if done.returncode == 0 else None
