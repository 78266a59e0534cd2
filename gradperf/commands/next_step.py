"""What to do next in a folder: for ``gradperf`` without a command."""

from contextlib import suppress
from pathlib import Path

from gradperf.errors import UserError
from gradperf.records import history, storage

GATE = "`gradperf gate` compares the speed of this branch with the one that it began from"
FIRST = "`pytest perf --framework numpy` times numpy's styles, in about half a minute"
ANYWHERE = (
    "`gradperf list` lists all cases; in a git repository with benchmarks of pytest-benchmark, "
    "`gradperf gate` compares a branch"
)


def next_step(folder: Path) -> str:
    """Return a sentence on the first thing to do in a folder that has runs, benchmarks, or neither."""
    with suppress(UserError):  # no run, or none that can be read
        run, _ = history.newest(folder / storage.FOLDER)
        return (
            f"{run.file.name} is the newest run here: `gradperf show` for its numbers, `gradperf report` for "
            "pictures; after a change, `pytest perf --benchmark-compare`"
        )
    if (folder / "perf" / "test_training.py").exists():
        return FIRST
    return GATE if (folder / ".git").exists() else ANYWHERE
