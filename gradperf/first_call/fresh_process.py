"""A process in which one case is called for the first time: its framework was imported there, and never used.

Importing TensorFlow takes seconds, and a suite has hundreds of cases. So one *nursery* per framework binds the
threads, imports the framework, and forks a child for each request. It never configures the framework, asks for no
device and computes nothing: a child is what a new interpreter is after the same imports, with one thread, no pools
and no devices. :func:`forks` is the one place that decides whether this holds; where it does not, the nursery
starts a new interpreter for each request instead.

Nothing that a framework prints can be taken for an answer: the standard output and error of a child go to a file,
its answer goes to another, and nursery and parent talk over a socket.

Nothing is left running or lying about. Each child leads a session of its own, which is killed as a whole when the
child has ended or its time is up: torch's compile workers, compilers. When its socket closes, however the parent
ended, the nursery ends, and takes its child and its folder with it.
"""

import json
import os
import pickle
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gradperf.machine import threads

if TYPE_CHECKING:  # they import numpy, which must wait until the threads are bound
    from gradperf.cases import Case, Settings
    from gradperf.first_call.memory import Range
    from gradperf.frameworks.contract import Outputs

Purpose = Literal["install", "time", "memory"]

CACHES = {"TORCHINDUCTOR_CACHE_DIR": "inductor", "TRITON_CACHE_DIR": "triton", "CUDA_CACHE_PATH": "cuda"}
"""Where compilers keep what they compiled: folders of its own for each case, empty when it is first called."""

_GRACE_S = 5.0
"""How long after its limit a child ends itself, should the nursery that watches it be gone."""


@dataclass(frozen=True)
class Request:
    """What a child is to do."""

    folder: str
    """Of this case alone. The caches and all files lie in it."""
    purpose: Purpose
    """Time and memory are measured in two processes, as measuring the one would cost the other. ``install`` comes
    before both, once in a run."""
    case: "Case"
    settings: "Settings"
    limit_s: float
    fork: bool = True
    """False: always a new interpreter."""
    style_module: str | None = None
    """Stands in for the case's own module."""
    paths: tuple[str, ...] = ()
    """Where that module lies: put before ``sys.path``."""
    installed: str | None = None
    """The folder of the request that installed what all cases of a style share: from its caches they start."""

    def file(self, kind: Literal["request", "answer", "outputs", "log"]) -> Path:
        """Give the path of the request itself, or of what its child leaves behind."""
        return Path(self.folder, f"{self.purpose}.{kind}")


def forks(request: Request) -> bool:
    """Tell whether a fork of this process is as good as a new interpreter, for which it imports the framework.

    Only on Linux: the system libraries of macOS do not survive a fork. Only for the CPU, where it was measured: a
    CUDA driver does not survive one either, should an import have started it. And only while there is one thread
    here: of several, a fork keeps one, and the locks of the others for ever. OpenBLAS starts its threads when it is
    loaded, but ends them before a fork, and starts them again when they are needed; so that is tried first.
    """
    if not request.fork or sys.platform != "linux" or request.case.device != "cpu":
        return False
    _import(request.case.framework)
    if _thread_count() > 1:
        if (pid := os.fork()) == 0:
            os._exit(0)
        os.waitpid(pid, 0)
    return _thread_count() == 1


@cache
def _touched() -> "list[Range]":
    from gradperf.first_call import memory

    return memory.touched()


def _thread_count() -> int:
    return len(os.listdir("/proc/self/task"))


def _import(framework: str) -> None:
    """Import everything but the style, and configure nothing."""
    import_module("gradperf.checks.agreement")
    import_module(f"gradperf.frameworks.{framework}.runtime")


# The nursery

Child = tuple[int, Callable[[], int]]
"""Its number, and what waits for it and gives its exit code."""


def serve(control: socket.socket, home: Path) -> None:
    """Answer requests, each the path of a pickled :class:`Request` on a line, until the socket closes."""
    try:
        # A parent that is gone breaks the pipe.
        with suppress(BrokenPipeError, ConnectionResetError), control, control.makefile("r") as lines:
            for line in lines:
                request: Request = pickle.loads(Path(line.rstrip("\n")).read_bytes())  # noqa: S301 - our parent's
                if (ended := _ended(request, control)) is None:
                    return
                control.sendall(json.dumps(ended).encode() + b"\n")
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _ended(request: Request, control: socket.socket) -> dict[str, Any] | None:
    """Start a child, wait until it has ended, and say how; None when nobody is left who wants to know."""
    try:
        forked = forks(request)
    except Exception as error:
        return {"reason": f"importing it in a new process raised {type(error).__name__}: {error}"}
    # The pipe reads as ended when the last holder of its other end has: the child.
    alive, held = os.pipe()
    pid, reap = _forked(request, control) if forked else _started(request, held)
    os.close(held)
    parent = control.fileno()
    readable, _, _ = select.select([alive, parent], [], [], request.limit_s)
    os.close(alive)
    if alive not in readable:
        _kill_session(pid)
    # Reaped only after its session is killed: until then the number belongs to nobody else.
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    _kill_session(pid)
    code = reap()
    if parent in readable:
        return None
    return {"code": code, "timed_out": not readable, "forked": forked}


def _kill_session(pid: int) -> None:
    for kill in (os.kill, os.killpg):
        with suppress(ProcessLookupError, PermissionError):  # ended, or so young that it leads no session yet
            kill(pid, signal.SIGKILL)


def _forked(request: Request, control: socket.socket) -> Child:
    """Fork a child. It keeps the pipe's other end open by doing nothing about it."""
    from gradperf.first_call import memory

    pages = _touched()
    if (pid := os.fork()) == 0:
        code = 1
        try:
            os.setsid()
            os.close(control.detach())
            with request.file("log").open("wb") as log:
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
            memory.touch(pages)
            code = answer(request)
        finally:
            # Not sys.exit: handlers that the framework registered at exit may wait for threads.
            os._exit(code)
    return pid, lambda: os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _started(request: Request, held: int) -> Child:
    """Start a new interpreter."""
    with request.file("log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - this very file
            [sys.executable, "-P", "-m", __name__, "child", str(request.file("request")), str(held)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(held,),
            start_new_session=True,
        )
    return process.pid, process.wait


# The child


def answer(request: Request) -> int:
    """Do what is asked, and write the answer; returns the exit code."""
    signal.setitimer(signal.ITIMER_REAL, request.limit_s + _GRACE_S)
    try:
        found = measured(request)
    except BaseException as error:  # SystemExit too: whatever it is, it is the reason why there is no number
        traceback.print_exc()
        told = " ".join(str(error).split())
        found = {"reason": f"raised {type(error).__name__}: {told}" if told else f"raised {type(error).__name__}"}
    sys.stdout.flush()
    sys.stderr.flush()
    request.file("answer").write_text(json.dumps(found))
    return 0


def measured(request: Request) -> dict[str, Any]:
    """Configure the framework and import the style, untimed; then measure the first use of both."""
    for name, folder in CACHES.items():
        os.environ[name] = str(Path(request.folder, folder))
        if request.installed and request.purpose == "time" and Path(request.installed, folder).exists():
            shutil.copytree(Path(request.installed, folder), Path(request.folder, folder))
    # Of this run alone: compilers leave files there, and what ``install`` prepared.
    os.environ["TMPDIR"] = tempfile.tempdir = str(Path(request.folder).parent)

    from gradperf import frameworks
    from gradperf.checks import agreement
    from gradperf.first_call import memory

    case, settings = request.case, request.settings
    sys.path[:0] = request.paths
    runtime = frameworks.load(case.framework, settings.threads)
    style = import_module(request.style_module) if request.style_module else case.module
    if request.purpose == "install":
        style.install()
        return {}
    inputs, digest = agreement.drawn(case.problem, settings.seed, case.dtype)

    if request.purpose == "memory":
        grown_bytes = memory.growth()
        run = style.prepare(case.problem, inputs, case.device, case.dtype)
        run()
        return {
            "memory_peak_bytes": grown_bytes(),
            "device_memory_peak_bytes": runtime.device_peak_bytes(case.device),
        }

    start_s = time.perf_counter()
    run = style.prepare(case.problem, inputs, case.device, case.dtype)
    prepared_s = time.perf_counter()
    # A call ends when its results are ready, which is checked afterwards; bringing them to numpy belongs to no
    # call, first or later.
    returned: Outputs = run()
    end_s = time.perf_counter()
    agreement.check_ready(case, runtime, returned, " of the first call")
    _save({name: runtime.to_numpy(array) for name, array in returned.items()}, request.file("outputs"))
    agreement.check_unchanged(case, inputs, digest)
    return {"prepare_s": prepared_s - start_s, "call_s": end_s - prepared_s}


def _save(arrays: dict[str, Any], path: Path) -> None:
    import numpy as np

    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def main(arguments: list[str]) -> int:
    """``nursery THREADS SOCKET FOLDER``, or ``child REQUEST PIPE``."""
    match arguments:
        case ["nursery", count, fd, home]:
            threads.bind(int(count))
            serve(socket.socket(fileno=int(fd)), Path(home))
            # Taking TensorFlow apart in good order would last a second, and the parent waits.
            os._exit(0)
        case ["child", path, held]:
            os.set_inheritable(int(held), False)
            # The nursery bound the threads in the environment; numpy is imported by reading the request.
            request: Request = pickle.loads(Path(path).read_bytes())  # noqa: S301 - our parent's
            _import(request.case.framework)
            return answer(request)
    raise AssertionError(arguments)


if __name__ == "__main__":
    # Not the function here: what is pickled is of the module's own name.
    sys.exit(import_module("gradperf.first_call.fresh_process").main(sys.argv[1:]))
