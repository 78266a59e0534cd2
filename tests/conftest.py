"""Runs the software as a user does: a process of its own, from any directory."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import hypothesis
import pytest

from gradperf.stage import PROCESS

ROOT = Path(__file__).parent.parent

# A shell starts background jobs of a script with Ctrl-C ignored, and all processes of a test would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A slow machine is no failure.
hypothesis.settings.register_profile(
    "patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("patient")


@pytest.fixture
def run_pytest(tmp_path):
    """Return ``run_pytest(*arguments)``: pytest on the suite, started elsewhere, its results kept elsewhere."""

    def run(*arguments, cwd=tmp_path, storage=True, extra_path="", **environment):
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *map(str, arguments)]
        if storage:
            command.append(f"--benchmark-storage=file://{tmp_path / 'results'}")
        return run_process(command, cwd, extra_path, environment)

    return run


@pytest.fixture
def run_gradperf(tmp_path):
    """Return ``run_gradperf(*arguments)``: the command line, started elsewhere."""

    def run(*arguments, extra_path="", **environment):
        return run_process(
            [sys.executable, "-m", "gradperf", *map(str, arguments)], tmp_path, extra_path, environment
        )

    return run


def run_process(command, cwd, extra_path, environment):
    """Run to the end, with thread variables unset and ``extra_path`` before what is installed."""
    # Nor what a framework in this process set for itself, nor what hides that output waits in a buffer.
    own = {"NPROC", "XLA_FLAGS", "PYTHONUNBUFFERED"}
    inherited = {n: value for n, value in os.environ.items() if not n.endswith("_NUM_THREADS") and n not in own}
    path = os.pathsep.join(filter(None, (str(extra_path), inherited.get("PYTHONPATH", ""))))
    if "GRADPERF_GATE" in environment:  # then the process is one of the gate, which says so by its own id
        command = ["/bin/sh", "-c", f'{PROCESS}=$$ exec "$@"', "sh", *command]
    return subprocess.run(
        command,
        cwd=cwd,
        # A lock of their own: tests must not wait for a user's run.
        env={**inherited, "PYTHONPATH": path, "GRADPERF_LOCK": str(Path(cwd) / "gradperf.lock"), **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def soon(fact, patience_s=20):
    """Wait until ``fact()`` holds; return whether it did in time."""
    deadline_s = time.monotonic() + patience_s
    while not fact():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture
def stand_in(tmp_path):
    """Return ``stand_in(name, source)``: a folder with a module that shadows an installed framework."""

    def write(name, source):
        folder = tmp_path / "shadows"
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(source)
        return folder

    return write
