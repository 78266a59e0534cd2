"""Measures the first call of a case and its peak memory, apart from the steady state, in processes of their own.

The first call is the time from data in numpy to the first result: transfer, tracing, compilation, allocation and
one whole call, with empty compile caches. It excludes imports, and what a machine does once for all cases
(``install`` in :mod:`gradperf.frameworks.contract`). It is measured once, in a process that never used the
framework (:mod:`gradperf.first_call.fresh_process`). Memory is measured in a second such process, untimed, over
``prepare`` and one call. Other work does not change it, so it may go on beside something else that is not timed.
"""

import json
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from gradperf import frameworks
from gradperf.cases import Case, Settings
from gradperf.checks import agreement
from gradperf.first_call import fresh_process
from gradperf.first_call.fresh_process import Purpose, Request, StandIn
from gradperf.machine import children
from gradperf.pairs.process import exit_text, same_modules
from gradperf.problems import Arrays

LIMIT_S = 120.0
"""Longest time of a child; torch.compile takes a fifth of it."""

START_LIMIT_S = 120.0
"""Longest additional time for a launcher to import its framework."""

CACHE_FLAGS = {
    "TF_XLA_FLAGS": ("--tf_xla_persistent_cache_directory",),
    "XLA_FLAGS": ("--xla_gpu_per_fusion_autotune_cache_dir", "--xla_gpu_kernel_cache_file"),
}
"""Flags with which a user may have switched on a persistent cache."""

CACHE_VARIABLES = (
    "JAX_COMPILATION_CACHE_DIR",
    "TORCHINDUCTOR_FX_GRAPH_REMOTE_CACHE",
    "TORCHINDUCTOR_AUTOGRAD_REMOTE_CACHE",
    "TORCHINDUCTOR_AUTOTUNE_REMOTE_CACHE",
)


class NotMeasured(Exception):
    """A first call could not be measured; the message is the reason, on one line."""


@dataclass(frozen=True)
class FirstCall:
    """Time and memory of a case before its steady state."""

    prepare_s: float
    call_s: float
    waited_s: float
    """How long the process had to wait for a CPU meanwhile."""
    memory_peak_bytes: int
    """How much the process grew, at most, over ``prepare`` and one call. It excludes compilers, which run in
    processes of their own, and uses what torch.compile compiled for the timed call."""
    device_memory_peak_bytes: int | None
    """The most that the framework had allocated on the device; None for the CPU."""
    forked: bool
    """Whether the process was forked after the import; otherwise it was a new interpreter."""
    outputs: Arrays

    @property
    def first_call_s(self) -> float:
        """Return the seconds from data in numpy to the first result."""
        return self.prepare_s + self.call_s

    @property
    def disturbed(self) -> bool:
        """Whether it waited for a CPU for more than a tenth of its time."""
        return self.waited_s > self.first_call_s / 10


@dataclass(frozen=True)
class Timed:
    """A first call that was timed. Its memory comes later, with what its compilers left in the caches."""

    request: Request
    launcher: "_Launcher"
    reply: dict[str, Any]
    outputs: Arrays

    def start_memory(self) -> None:
        """Have its memory measured, without waiting. The launcher must be asked nothing else until the end."""
        self.launcher.send(self._for_memory)

    def finish(self) -> FirstCall:
        """Wait for the memory, and return all; raises :class:`NotMeasured`."""
        try:
            replies = {**self.launcher.receive(self._for_memory), **self.reply, "outputs": self.outputs}
        finally:
            shutil.rmtree(self.request.folder, ignore_errors=True)
        return FirstCall(**{field.name: replies[field.name] for field in fields(FirstCall)})

    @property
    def _for_memory(self) -> Request:
        return replace(self.request, purpose="memory")


class FreshProcesses:
    """The launchers of a run: each starts when it is first needed, and ends with :meth:`close`.

    With ``fork=False`` every measurement takes a new interpreter.
    """

    def __init__(self, *, fork: bool = True) -> None:
        self.fork = fork
        self._launchers: dict[tuple[str, int], _Launcher] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all launchers, and what runs in them."""
        while self._launchers:
            self._launchers.popitem()[1].close()

    def launcher(self, framework: str, threads: int) -> "_Launcher":
        """Return the launcher of ``framework``, a new one if the last one ended."""
        key = (framework, threads)
        if key not in self._launchers or self._launchers[key].closed:
            self._launchers[key] = _Launcher(threads)
        return self._launchers[key]


def measure(
    case: Case,
    settings: Settings,
    processes: FreshProcesses,
    *,
    stand_in: StandIn | None = None,
    limit_s: float = LIMIT_S,
) -> FirstCall:
    """Measure the first call of ``case``, and its memory; raises as :func:`time_call`."""
    timed = time_call(case, settings, processes, stand_in=stand_in, limit_s=limit_s)
    timed.start_memory()
    return timed.finish()


def time_call(
    case: Case,
    settings: Settings,
    processes: FreshProcesses,
    *,
    stand_in: StandIn | None = None,
    limit_s: float = LIMIT_S,
) -> Timed:
    """Time the first call of ``case``, and check its outputs.

    ``stand_in`` replaces the style of the case. Raises :class:`NotMeasured` with the reason, and
    ``agreement.Disagreement`` if the outputs of the first call are wrong.
    """
    launcher = processes.launcher(case.framework, settings.threads)
    folder = tempfile.mkdtemp(prefix="case-", dir=launcher.home)
    installed = None if stand_in else launcher.installed(case, settings, limit_s, fork=processes.fork)
    request = Request(folder, "time", case, settings, limit_s, processes.fork, stand_in, installed)
    try:
        reply = launcher.ask(request)
        with np.load(request.file("outputs"), allow_pickle=False) as saved:
            outputs = dict(saved)
        check(case, settings, outputs)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Timed(request, launcher, reply, outputs)


def check(case: Case, settings: Settings, outputs: Arrays) -> None:
    """Check the outputs of the first call as those of any other."""
    where = " of the first call in a fresh process"
    inputs, _ = agreement.drawn(case.problem, settings.seed, case.dtype)
    reference = agreement.truth(case.problem, case.problem, settings.seed, case.dtype)
    found = agreement.to_numpy(case, frameworks.load("numpy", settings.threads), outputs, reference, where)
    agreement.check_entries(case, found, reference, where)
    agreement.check_way(case, case.problem.steps, inputs, found, reference)


class _Launcher:
    """The process that starts others, as its parent sees it."""

    def __init__(self, threads: int) -> None:
        # The launcher removes this folder when its socket closes, even if this process was killed.
        self.home = Path(tempfile.mkdtemp(prefix="gradperf-first-call-"))
        self.closed = False
        self._installed: dict[str, str] = {}
        self._control, theirs = socket.socketpair()
        with theirs, (self.home / "log").open("wb") as log:
            arguments = ["launcher", str(threads), str(theirs.fileno()), str(self.home)]
            self._process = subprocess.Popen(  # noqa: S603 - gradperf's own module
                [sys.executable, "-P", "-m", fresh_process.__name__, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(theirs.fileno(),),
                env=environment(),
                # Ctrl-C must reach only this process: the launcher ends with the socket.
                start_new_session=True,
            )
        children.OURS.add(self._process.pid)

    def installed(self, case: Case, settings: Settings, limit_s: float, *, fork: bool) -> str | None:
        """Call ``install`` of the style once in a run, if it has one; return the folder of its caches."""
        if case.implementation.install is None:
            return None
        if case.style not in self._installed:
            folder = tempfile.mkdtemp(prefix="installed-", dir=self.home)
            self.ask(Request(folder, "install", case, settings, limit_s, fork))
            self._installed[case.style] = folder
        return self._installed[case.style]

    def ask(self, request: Request) -> dict[str, Any]:
        """Return the answer to one request; raises :class:`NotMeasured` with the reason."""
        self.send(request)
        return self.receive(request)

    def send(self, request: Request) -> None:
        """Send a request, without waiting. The next thing to do is to receive its answer."""
        with self._closed_if_interrupted():
            try:
                request.file("request").write_bytes(pickle.dumps(request))
                self._control.sendall(f"{request.file('request')}\n".encode())
            except OSError:  # it has ended, or the disk is full: there is no answer, and that is reported
                with suppress(OSError):
                    self._control.shutdown(socket.SHUT_RDWR)

    def receive(self, request: Request) -> dict[str, Any]:
        """Wait for the answer to the request that was sent; raises :class:`NotMeasured` with the reason."""
        name = f"{request.case.id}: {_PURPOSES[request.purpose]}"
        with self._closed_if_interrupted():
            line = self._line(request.limit_s + START_LIMIT_S)
        if not line.endswith("\n"):
            last_line = _last_line(self.home / "log")
            self.close()
            raise NotMeasured(f"{name}: the process that starts others ended, or hangs{last_line}")
        ended: dict[str, Any] = json.loads(line)
        if "reason" in ended:
            raise NotMeasured(f"{name}: {request.case.framework}: {ended['reason']}")
        if ended["timed_out"]:
            raise NotMeasured(f"{name} took longer than {request.limit_s:g} s and was stopped")
        if ended["code"] != 0 or not request.file("answer").exists():
            last_line = _last_line(request.file("log"))
            raise NotMeasured(f"{name} ended without an answer ({exit_text(ended['code'])}){last_line}")
        reply: dict[str, Any] = json.loads(request.file("answer").read_text())
        if "reason" in reply:
            raise NotMeasured(f"{name} {reply['reason']}")
        return {**ended, **reply}

    @contextmanager
    def _closed_if_interrupted(self) -> Iterator[None]:
        """Close it on any exception: the answer would otherwise be taken for that to the next request."""
        try:
            yield
        except BaseException:  # KeyboardInterrupt too
            self.close()
            raise

    def _line(self, limit_s: float) -> str:
        """Return the line of the answer, without its end if the launcher hangs or has ended."""
        try:
            self._control.settimeout(limit_s)
            with self._control.makefile("r") as answers:
                return answers.readline()
        except OSError:  # it took too long, it is gone, or it was closed
            return ""

    def close(self) -> None:
        """End the launcher and its child, and remove its folder."""
        self.closed = True
        self._control.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:  # it is importing, or hangs
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        shutil.rmtree(self.home, ignore_errors=True)


_PURPOSES: dict[Purpose, str] = {
    "install": "the installation",
    "time": "the first call",
    "memory": "the process that measures memory",
}


def environment() -> dict[str, str]:
    """Return the environment of a launcher: the modules of this process, and no persistent compile cache."""
    variables = {name: value for name, value in os.environ.items() if name not in CACHE_VARIABLES}
    for name, starts in CACHE_FLAGS.items():
        if name in variables:
            variables[name] = " ".join(word for word in variables[name].split() if not word.startswith(starts))
    variables["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    return variables | same_modules()


def _last_line(log: Path) -> str:
    """Return the last printed line, as part of a reason."""
    with suppress(OSError):
        for line in reversed(log.read_text(errors="replace").split("\n")):
            if line.strip():
                return f"; its last output: {line.strip()[:200]}"
    return ""
