"""Saves runs from many processes at once, and kills savers at random moments; counts what was lost.

``python -m tests.saving_trial`` does it at full size: 8 savers with 50 runs each, and 100 kills.
"""

import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from gradperf.records import numbered
from tests.conftest import ROOT

_SAVER = """
import json, sys
from pathlib import Path
from gradperf.records import numbered
folder, name, count, length = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
sys.stdin.readline()  # all begin together
for place in range(count):
    print(numbered.add(folder, name, json.dumps({"saver": name, "place": place, "text": "x" * length})), flush=True)
"""


def saver(folder, name, count, length=50_000):
    """Start a process that saves ``count`` runs once a line is written to it."""
    command = [sys.executable, "-c", _SAVER, str(folder), name, str(count), str(length)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def begin(process):
    process.stdin.write("\n")
    process.stdin.flush()


def save_at_once(folder, savers, each):
    """Return how many whole runs with a number of their own there are, and which files do not belong there."""
    processes = [saver(folder, f"saver{place}", each) for place in range(savers)]
    for process in processes:
        begin(process)
    said = [line for process in processes for line in process.communicate(timeout=300)[0].splitlines()]
    whole = {(run["saver"], run["place"]) for run in read_all(folder)}
    numbers = {numbered.number(Path(path)) for path in said}
    assert len(said) == len(whole)
    return len(whole & {(f"saver{s}", p) for s in range(savers) for p in range(each)}), len(numbers), strays(folder)


def kill_savers(folder, kills, seed=0):
    """Kill a saver at a random moment, ``kills`` times. Return the runs that were saved, and that are there.

    Each saver had said that the former are saved.
    """
    draw, said = random.Random(seed), set()  # noqa: S311 - no secret
    for place in range(kills):
        process = saver(folder, f"killed{place}", 1_000, 200_000)
        begin(process)
        said.add(process.stdout.readline().strip())
        time.sleep(draw.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        said |= {line for line in process.communicate()[0].splitlines() if line.endswith(".json")}
    return said, {str(file) for file in folder.glob("*.json") if json.loads(file.read_text())["text"]}


def read_all(folder):
    """Return all runs; fails if one is not whole."""
    return [json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))]


def strays(folder):
    return sorted(
        file.name for file in folder.iterdir() if not numbered.number(file) and file.name != numbered.LOCK
    )


def main():
    with tempfile.TemporaryDirectory() as name:
        whole, numbers, left = save_at_once(Path(name) / "at once", 8, 50)
        print(f"8 savers at once, 50 runs each: {whole} of 400 whole, {numbers} numbers, left over: {left}")
        folder = Path(name) / "killed"
        said, there = kill_savers(folder, 100)
        left = strays(folder)
        numbered.add(folder, "after", "{}")
        print(f"100 savers killed: {len(said)} runs reported as saved, {len(said & there)} of them whole and there")
        print(f"{len(there - said)} more, saved and not reported; all whole")
        print(f"temporary files left: {len(left)}, after the next save {len(strays(folder))}")


if __name__ == "__main__":
    main()
