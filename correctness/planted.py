"""Plants faults for the tests: each is one wrong line in a copy of the code.

The changed line is quoted, so a fault that no longer fits the code fails. There are two kinds of copy: a
framework's folder, imported into this process under another name (``planted``), and the whole package, run in a
process of its own as a user runs it (``planted_package``, ``time_as_a_user``).
"""

import hashlib
import importlib
import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

import gradperf
from correctness.networks import DEEP, KINK, SQUARE
from gradperf import cases, frameworks, problems
from gradperf.checks import agreement, conduct
from gradperf.checks.misconduct import Misconduct
from gradperf.frameworks.contract import Style
from gradperf.machine import threads

ROOT = Path(__file__).parent.parent
_COUNT = itertools.count()


@dataclass(frozen=True)
class Fault:
    """One wrong line, and the problem on which it has an effect."""

    what: str
    framework: str
    style: str
    file: str
    right: str
    wrong: str
    problem: str = "tiny_bias_3x2x1"
    dtype: str = "float64"
    family: str = "training"
    caught_by: str = ""
    """A pattern for the message of the check, for faults that only one check can catch."""
    cpus: int = 1
    """CPUs that are needed to see the fault."""
    in_seconds: bool = False
    """Whether only times show it, so that its CPUs must be free."""
    options: tuple = ()
    """Command-line options beside the case; for faults in the whole package."""
    spares: tuple = ()
    """Benchmarks of the case that the fault does not affect, which are recorded."""

    @property
    def id(self):
        """Return its name in a test id."""
        return f"{self.framework}.{self.style}: {self.what}"


def in_runs(faults):
    """Return the parameters of a test that plants each fault in a whole run, which a framework makes slow."""
    return [
        pytest.param(fault, id=fault.id, marks=[] if fault.framework == "numpy" else [pytest.mark.slow])
        for fault in faults
    ]


def _change(root, fault):
    changed = root / fault.file
    source = changed.read_text()
    assert source.count(fault.right) == 1, f"{fault.id}: not exactly once in {fault.file}:\n{fault.right}"
    changed.write_text(source.replace(fault.right, fault.wrong))


@contextmanager
def planted(fault, folder):
    """Yield the style and the runtime of a copy of the framework with the fault in it."""
    name = f"planted{next(_COUNT)}"
    root = folder / name
    shutil.copytree(Path(gradperf.__file__).parent / "frameworks" / fault.framework, root / fault.framework)
    (root / "__init__.py").write_text("")
    _change(root / fault.framework, fault)
    for file in root.rglob("*.py"):
        file.write_text(
            file.read_text().replace(f"gradperf.frameworks.{fault.framework}", f"{name}.{fault.framework}")
        )
    sys.path.insert(0, str(folder))
    try:
        package = f"{name}.{fault.framework}"
        yield (
            Style.of(importlib.import_module(f"{package}.{fault.family}.{fault.style}")),
            importlib.import_module(f"{package}.runtime"),
        )
    finally:
        sys.path.remove(str(folder))
        for module in [module for module in sys.modules if module.split(".")[0] == name]:
            del sys.modules[module]


def _problem(name):
    others = {
        "square": SQUARE,
        "at_the_kink": KINK,
        "deep": DEEP,
        "long": problems.find("two_layer_1000x100x10"),
        "two_steps": replace(problems.find("tiny_bias_3x2x1"), steps=2),
    }
    return others[name] if name in others else problems.find(name).at_tier("quick")


@contextmanager
def prepared(fault, choice, settings, folder):
    """Yield the case, the faulty style and its runtime; skip if the user's options leave them out."""
    case = cases.Case(_problem(fault.problem), fault.framework, fault.style, "cpu", fault.dtype)
    skip_unless_chosen(fault, choice)
    if reason := cases.obstacle(case, settings.threads):
        pytest.skip(reason)
    with planted(fault, folder) as (style, runtime):
        yield case, style, runtime


def skip_unless_chosen(fault, choice):
    """Skip the test if the user's options leave out its style."""
    for axis in ("framework", "style"):
        if (named := getattr(choice, axis)) and getattr(fault, axis) not in named:
            pytest.skip(f"--{axis} leaves it out")


def planted_package(fault, folder):
    """Copy the whole package into ``folder`` with the fault in it; ``fault.file`` is a path inside the package."""
    shutil.copytree(Path(gradperf.__file__).parent, folder / "gradperf")
    _change(folder / "gradperf", fault)


def time_as_a_user(folder, family, *options, timeout_s=300):
    """Time with the package in ``folder`` instead of the installed one; return the exit code and what was printed.

    As short as possible: the files of one family, no fresh processes, few rounds. The results are written to
    ``folder``, not to the checkout, and those of an earlier run are removed.
    """
    shutil.rmtree(folder / "results", ignore_errors=True)
    files = [ROOT / "perf" / f"test_{family}.py", *([ROOT / "perf/test_phases.py"] if family == "training" else [])]
    command = [sys.executable, "-m", "pytest", *files, *options, "--device", "cpu", "--no-first-calls"]
    # Only the messages: a traceback would quote the source of the checks with all their messages.
    command += ["--tb=line", "--benchmark-max-time=0.01", "-p", "no:cacheprovider"]
    # The suite's own setting would put the checkout's package before the copy.
    first = [str(folder), str(Path(gradperf.__file__).parent.parent)]
    command += [f"--benchmark-storage=file://{folder / 'results'}", "-o", f"pythonpath={shlex.join(first)}"]
    # The new process must bind the threads itself.
    bound = {*threads.VARIABLES, *threads.WAITING, "NPROC", "XLA_FLAGS"}
    environment = {name: value for name, value in os.environ.items() if name not in bound}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (*first, environment.get("PYTHONPATH", ""))))
    # A lock of its own: a test must not wait for a user's run.
    environment["GRADPERF_LOCK"] = str(folder / "gradperf.lock")
    ran = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    return ran.returncode, ran.stdout + ran.stderr


def recorded(folder, problem):
    """Return the names of the benchmarks of ``problem`` that a run recorded in ``folder``."""
    runs = [json.loads(file.read_text()) for file in (folder / "results").rglob("*.json")]
    return [
        benchmark["name"]
        for run in runs
        for benchmark in run["benchmarks"]
        if benchmark["extra_info"]["problem"] == problem
    ]


def seen(fault, look):
    """Return what ``look()`` found, or None if it found nothing although the fault could show.

    A fault that only times show may be hidden while other processes use the CPUs. So ``look`` is called up to four
    times. The fault is missed only if it never showed although its CPUs were free before and after each call.
    """
    if len(os.sched_getaffinity(0)) < fault.cpus:
        pytest.skip(f"needs {fault.cpus} CPUs")
    if not fault.in_seconds:
        return look()
    missed = 0
    for _ in range(4):
        if _free(fault.cpus):
            if (found := look()) is not None:
                return found
            missed += _free(fault.cpus)
    if missed < 4:
        pytest.skip(f"needs {fault.cpus} CPUs that are free")
    return None


def _free(count):
    """Return whether ``count`` busy threads of this process get most of a CPU each at this moment."""
    data, stop = bytes(2**20), threading.Event()

    def work():
        while not stop.is_set():
            hashlib.sha256(data).digest()  # without the interpreter's lock

    workers = [threading.Thread(target=work) for _ in range(count)]
    start_s, cpu_start_s = time.perf_counter(), time.process_time()
    for worker in workers:
        worker.start()
    time.sleep(0.2)
    stop.set()
    for worker in workers:
        worker.join()
    return time.process_time() - cpu_start_s > 0.85 * count * (time.perf_counter() - start_s)


def check_examined(fault, choice, settings, folder):
    """Check that the checks before a timing fail on the faulty copy, and state what is wrong."""
    with prepared(fault, choice, settings, folder) as (case, style, runtime):

        def look():
            try:
                conduct.examine(agreement.agree(case, settings, style, runtime), settings, style)
            except (agreement.Disagreement, Misconduct) as caught:
                return str(caught)
            return None

        message = seen(fault, look)
    assert message is not None, "it was not caught"
    assert re.search(f"(?s){case.problem.name}.*{fault.caught_by}", message), message


def time_case(fault, folder, *options):
    """Time one case as a user does; return the exit code and all that was printed."""
    case = ["--framework", fault.framework, "--style", fault.style, "--problem", fault.problem]
    return time_as_a_user(folder, fault.family, *case, *options)


def check_caught(fault, folder, *options):
    """Check that the run fails with the expected message, and records nothing of the faulty case."""

    def look():
        code, printed = time_case(fault, folder, *options)
        # CPU seconds may show the fault in another benchmark than the one with the fault: then look again.
        shown = code and (not fault.in_seconds or re.search(fault.caught_by, printed))
        return printed if shown else None

    printed = seen(fault, look)
    assert printed is not None, "it was not caught"
    assert re.search(fault.caught_by, printed), printed
    assert [name for name in recorded(folder, fault.problem) if not name.startswith(fault.spares)] == []


def skip_unless_possible(fault, choice):
    """Skip the test if the user's options leave out its style, or if its framework cannot run here."""
    skip_unless_chosen(fault, choice)
    try:
        frameworks.load(fault.framework, 1)
    except frameworks.Unavailable as reason:
        pytest.skip(str(reason))


def check_run(fault, choice, folder):
    """Check that a user's run of the whole package with the fault in it fails, and states what is wrong."""
    skip_unless_possible(fault, choice)
    planted_package(fault, folder)
    check_caught(fault, folder, *fault.options)
