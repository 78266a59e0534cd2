"""Starts a process in which one case is called for the first time: the framework is imported, but was never used.

Importing TensorFlow takes seconds, and a suite has hundreds of cases. So one *launcher* per framework binds the
threads, imports the framework, and forks a child for each request. The launcher never configures the framework,
uses no device and computes nothing. So a child is like a new interpreter after the same imports: one thread, no
pools, no devices. If :func:`forks` finds that this does not hold, the child is a new interpreter.

The output of a child goes to one file and its answer to another, because a framework may print anything. Each child
leads a session, which is killed as a whole, with the compilers that torch starts, when the child has ended or its
time is up. When the socket to the parent closes, the launcher ends, kills its child and removes its folder.
"""

import gc
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
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gradperf.machine import load, threads

if TYPE_CHECKING:  # they import numpy, which must wait until the threads are bound
    from gradperf.cases import Case, Settings
    from gradperf.frameworks.contract import Outputs, Style

Purpose = Literal["install", "time", "memory"]

CACHES = {"TORCHINDUCTOR_CACHE_DIR": "inductor", "TRITON_CACHE_DIR": "triton", "CUDA_CACHE_PATH": "cuda"}
"""Caches of compilers. Each case has its own folders, empty before its first call."""

_GRACE_S = 5.0
"""A child whose launcher is gone ends itself this many seconds after its limit."""


@dataclass(frozen=True)
class StandIn:
    """A module that replaces the style of a case."""

    module: str
    paths: tuple[str, ...] = ()
    """Where to find the module: put before ``sys.path``."""


@dataclass(frozen=True)
class Request:
    """The task of a child."""

    folder: str
    """The folder of this case, for its caches and files."""
    purpose: Purpose
    """Time and memory are measured in two processes, as one would disturb the other. ``install`` comes before both,
    once in a run."""
    case: "Case"
    settings: "Settings"
    limit_s: float
    fork: bool = True
    """False: always a new interpreter."""
    stand_in: StandIn | None = None
    installed: str | None = None
    """The folder of the ``install`` request of this style. The caches start as copies of those in it."""

    def file(self, kind: Literal["request", "answer", "outputs", "log"]) -> Path:
        """Return the path of the request itself, or of a file that its child writes."""
        return Path(self.folder, f"{self.purpose}.{kind}")


def forks(request: Request) -> bool:
    """Import the framework, and return whether a fork of this process is as good as a new interpreter.

    Only on Linux and for the CPU: the system libraries of macOS and a started CUDA driver do not survive a fork.
    Only with one thread: a fork keeps one, and the locks of the others stay locked. OpenBLAS starts threads when it
    is loaded, ends them before a fork, and starts them again when they are needed; so a fork is tried first.
    """
    if not request.fork or sys.platform != "linux" or request.case.device != "cpu":
        return False
    _import(request.case.framework)
    if _thread_count() > 1:
        if (pid := os.fork()) == 0:
            os._exit(0)
        os.waitpid(pid, 0)
    return _thread_count() == 1


def _thread_count() -> int:
    return len(os.listdir("/proc/self/task"))


@cache
def _import(framework: str) -> None:
    """Import everything but the style; configure nothing. Leave no garbage: each fork would have to collect it."""
    import_module("gradperf.checks.agreement")
    import_module(f"gradperf.frameworks.{framework}.runtime")
    gc.collect()


Child = tuple[int, Callable[[], int]]
"""Its process id, and a function that waits for it and returns its exit code."""


def serve(control: socket.socket, home: Path) -> None:
    """Answer requests until the socket closes; each is a line with the path of a pickled :class:`Request`."""
    try:
        with suppress(BrokenPipeError, ConnectionResetError), control, control.makefile("r") as lines:
            for line in lines:
                request: Request = pickle.loads(Path(line.rstrip("\n")).read_bytes())  # noqa: S301 - our parent's
                if (ended := _ended(request, control)) is None:
                    return
                control.sendall(json.dumps(ended).encode() + b"\n")
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _ended(request: Request, control: socket.socket) -> dict[str, Any] | None:
    """Start a child, wait for its end, and return how it ended; None if the parent is gone."""
    try:
        forked = forks(request)
    except Exception as error:
        return {"reason": f"importing it in a new process raised {type(error).__name__}: {error}"}
    # The pipe is readable when the last process that holds its other end, the child, has ended.
    alive, held = os.pipe()
    pid, reap = _forked(request, control) if forked else _started(request, held)
    os.close(held)
    parent = control.fileno()
    readable, _, _ = select.select([alive, parent], [], [], request.limit_s)
    os.close(alive)
    if alive not in readable:
        _kill_session(pid)
    # Reaped only after its session is killed: until then no other process can get its id.
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    _kill_session(pid)
    code = reap()
    if parent in readable:
        return None
    return {"code": code, "timed_out": not readable, "forked": forked}


def _kill_session(pid: int) -> None:
    for kill in (os.kill, os.killpg):
        with suppress(ProcessLookupError, PermissionError):  # it has ended, or leads no session yet
            kill(pid, signal.SIGKILL)


def _forked(request: Request, control: socket.socket) -> Child:
    """Fork a child, which keeps the other end of the pipe open."""
    from gradperf.first_call import memory

    pages = memory.touched()
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
            # Not sys.exit: exit handlers of the framework may wait for threads.
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


def answer(request: Request) -> int:
    """Do what the request asks, write the answer, and return the exit code."""
    signal.setitimer(signal.ITIMER_REAL, request.limit_s + _GRACE_S)
    try:
        reply = measured(request)
    except BaseException as error:  # SystemExit too: it is the reason for a missing number
        traceback.print_exc()
        message = " ".join(str(error).split())
        reply = {"reason": f"raised {type(error).__name__}" + (f": {message}" if message else "")}
    sys.stdout.flush()
    sys.stderr.flush()
    request.file("answer").write_text(json.dumps(reply))
    return 0


def measured(request: Request) -> dict[str, Any]:
    """Configure the framework and import the style, untimed; then measure their first use."""
    for name, folder in CACHES.items():
        os.environ[name] = str(Path(request.folder, folder))
        if request.installed and request.purpose == "time" and Path(request.installed, folder).exists():
            shutil.copytree(Path(request.installed, folder), Path(request.folder, folder))
    # A folder of this run: compilers write files there, and so does ``install``.
    os.environ["TMPDIR"] = tempfile.tempdir = str(Path(request.folder).parent)

    import numpy as np

    from gradperf import frameworks
    from gradperf.checks import agreement
    from gradperf.first_call import memory

    case, settings = request.case, request.settings
    runtime = frameworks.load(case.framework, settings.threads)
    style = _style(request)
    if sys.platform == "linux" and case.device == "cpu" and settings.threads == 1 and _thread_count() > 1:
        raise RuntimeError("its framework was used before its first call: it has started threads")
    if request.purpose == "install":
        assert style.install is not None
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

    caches = [Path(request.folder, folder) for folder in CACHES.values()]
    kept = _files(caches)
    waited_s = load.waited()
    start_s = time.perf_counter()
    run = style.prepare(case.problem, inputs, case.device, case.dtype)
    prepared_s = time.perf_counter()
    returned: Outputs = run()
    end_s = time.perf_counter()  # Copying the results to numpy is not part of the call.
    waiting_s = waited_s()
    agreement.check_ready(case, runtime, returned, " of the first call")
    with request.file("outputs").open("wb") as file:
        np.savez(file, allow_pickle=False, **{name: runtime.to_numpy(array) for name, array in returned.items()})
    agreement.check_unchanged(case, inputs, digest)
    if kept and _files(caches) == kept:
        raise RuntimeError("its install() compiled all that its first call needs, so that no time was taken for it")
    return {"prepare_s": prepared_s - start_s, "call_s": end_s - prepared_s, "waited_s": waiting_s}


def _files(folders: Sequence[Path]) -> set[Path]:
    return {file for folder in folders for file in folder.rglob("*")}


def _style(request: Request) -> "Style":
    from gradperf.frameworks.contract import Style

    if request.stand_in is None:
        return request.case.implementation
    sys.path[:0] = request.stand_in.paths
    return Style.of(import_module(request.stand_in.module))


def main(arguments: list[str]) -> int:
    """Run ``launcher THREADS SOCKET FOLDER`` or ``child REQUEST PIPE``; return the exit code."""
    match arguments:
        case ["launcher", count, fd, home]:
            threads.bind(int(count))
            serve(socket.socket(fileno=int(fd)), Path(home))
            # An orderly exit of TensorFlow would take a second, and the parent waits.
            os._exit(0)
        case ["child", path, held]:
            os.set_inheritable(int(held), False)
            # The launcher bound the threads in the environment. Reading the request imports numpy.
            request: Request = pickle.loads(Path(path).read_bytes())  # noqa: S301 - our parent's
            _import(request.case.framework)
            return answer(request)
    raise AssertionError(arguments)


if __name__ == "__main__":
    # Not main of this module, __main__: pickled objects refer to the module by its own name.
    sys.exit(import_module("gradperf.first_call.fresh_process").main(sys.argv[1:]))
