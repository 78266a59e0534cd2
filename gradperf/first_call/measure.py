"""The first call of a case and its peak memory, measured apart from the steady state, in processes of their own.

A user waits for the first call from data in numpy to the first result: transfer, tracing, compilation, allocation
and one whole call, with no compile cache from before. Imports are not in it, nor what a machine does once for all
cases (``install`` in :mod:`gradperf.frameworks.contract`). It is measured once, in a process that never used the
framework (:mod:`gradperf.first_call.fresh_process`). Memory is measured in a second such process, untimed, over
``prepare`` and one call.

Its outputs are held to the reference like those of any other call: a first call that computed something else is
none.
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
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from gradperf import frameworks
from gradperf.cases import Case, Settings
from gradperf.checks import agreement
from gradperf.first_call import fresh_process
from gradperf.first_call.fresh_process import Purpose, Request
from gradperf.problems import Arrays

LIMIT_S = 120.0
"""How long a child may take; torch.compile takes a fifth of it."""

START_LIMIT_S = 120.0
"""How long a nursery may take, beside that, to import its framework."""

CACHE_FLAGS = {
    "TF_XLA_FLAGS": ("--tf_xla_persistent_cache_directory",),
    "XLA_FLAGS": ("--xla_gpu_per_fusion_autotune_cache_dir", "--xla_gpu_kernel_cache_file"),
}
"""Words that switch a persistent cache on, which a user may have set."""

CACHE_VARIABLES = (
    "JAX_COMPILATION_CACHE_DIR",
    "TORCHINDUCTOR_FX_GRAPH_REMOTE_CACHE",
    "TORCHINDUCTOR_AUTOGRAD_REMOTE_CACHE",
    "TORCHINDUCTOR_AUTOTUNE_REMOTE_CACHE",
)


class NotMeasured(Exception):
    """A first call that could not be measured; the message is the reason, on one line."""


@dataclass(frozen=True)
class FirstCall:
    """What a case costs before its steady state."""

    prepare_s: float
    call_s: float
    memory_peak_bytes: int
    """How far the process grew, at most, over ``prepare`` and one call. Compilers run in processes of their own
    and are not in it; what torch.compile compiled for the timed call is there already."""
    device_memory_peak_bytes: int | None
    """What the framework had allocated on the device, at most; None for the CPU."""
    forked: bool
    """Whether the process was forked after the import, or a new interpreter."""
    outputs: Arrays
    """Of the first call."""

    @property
    def first_call_s(self) -> float:
        """From data in numpy to the first result."""
        return self.prepare_s + self.call_s


class FreshProcesses:
    """The nurseries of a run: each is started when it is first needed, and ended by :meth:`close`."""

    def __init__(self, *, fork: bool = True) -> None:
        """``fork=False`` takes a new interpreter for every measurement."""
        self.fork = fork
        self._nurseries: dict[tuple[str, int], _Nursery] = {}

    def __enter__(self) -> Self:
        """Start nothing yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all."""
        self.close()

    def close(self) -> None:
        """End all nurseries, and what runs in them."""
        while self._nurseries:
            self._nurseries.popitem()[1].close()

    def nursery(self, framework: str, threads: int) -> "_Nursery":
        """Give the nursery of ``framework``, a new one where the last one ended."""
        key = (framework, threads)
        if key not in self._nurseries or self._nurseries[key].closed:
            self._nurseries[key] = _Nursery(threads)
        return self._nurseries[key]


def measure(
    case: Case,
    settings: Settings,
    processes: FreshProcesses,
    *,
    style_module: str | None = None,
    paths: Sequence[str] = (),
    limit_s: float = LIMIT_S,
) -> FirstCall:
    """Measure the first call of ``case``, and its memory, each in a process of its own.

    ``style_module``, found in ``paths`` or where modules are found here, stands in for the case's own. Raises
    :class:`NotMeasured` with the reason, and ``agreement.Disagreement`` where the first call's outputs are wrong.
    """
    nursery = processes.nursery(case.framework, settings.threads)
    folder = tempfile.mkdtemp(prefix="case-", dir=nursery.home)
    installed = None if style_module else nursery.installed(case, settings, limit_s, fork=processes.fork)
    try:

        def ask(purpose: Purpose) -> tuple[dict[str, Any], Request]:
            request = Request(
                folder,
                purpose,
                case,
                settings,
                limit_s,
                processes.fork,
                style_module,
                tuple(map(str, paths)),
                installed,
            )
            return nursery.ask(request), request

        timed, request = ask("time")
        with np.load(request.file("outputs"), allow_pickle=False) as saved:
            outputs = dict(saved)
        check(case, settings, outputs)
        weighed, _ = ask("memory")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return FirstCall(
        prepare_s=timed["prepare_s"],
        call_s=timed["call_s"],
        memory_peak_bytes=weighed["memory_peak_bytes"],
        device_memory_peak_bytes=weighed["device_memory_peak_bytes"],
        forked=timed["forked"],
        outputs=outputs,
    )


def check(case: Case, settings: Settings, outputs: Arrays) -> None:
    """Hold what the first call returned to the reference, as ``agreement`` does with later ones."""
    where = " of the first call in a fresh process"
    inputs, _ = agreement.drawn(case.problem, settings.seed, case.dtype)
    reference = agreement.truth(case.problem, case.problem, settings.seed, case.dtype)
    found = agreement.to_numpy(case, frameworks.load("numpy", settings.threads), outputs, reference, where)
    agreement.check_entries(case, found, reference, where)
    agreement.check_way(case, case.problem.steps, inputs, found, reference)


class _Nursery:
    """The parent's end of one nursery."""

    def __init__(self, threads: int) -> None:
        # In the nursery's folder, which it removes when its socket closes, even where this process was killed.
        self.home = Path(tempfile.mkdtemp(prefix="gradperf-first-call-"))
        self.closed = False
        self._installed: dict[str, str] = {}
        self._control, theirs = socket.socketpair()
        with theirs, (self.home / "log").open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - gradperf's own module
                [
                    *(sys.executable, "-P", "-m", fresh_process.__name__),
                    *("nursery", str(threads), str(theirs.fileno()), str(self.home)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(theirs.fileno(),),
                env=environment(),
                # Ctrl-C is this process's to handle: the nursery ends with the socket.
                start_new_session=True,
            )

    def installed(self, case: Case, settings: Settings, limit_s: float, *, fork: bool) -> str | None:
        """Have the style of ``case`` do what a machine does once, where there is such a thing; give its folder."""
        if not hasattr(case.module, "install"):
            return None
        if case.style not in self._installed:
            folder = tempfile.mkdtemp(prefix="installed-", dir=self.home)
            self.ask(Request(folder, "install", case, settings, limit_s, fork))
            self._installed[case.style] = folder
        return self._installed[case.style]

    def ask(self, request: Request) -> dict[str, Any]:
        """Have one request answered; raises :class:`NotMeasured` with the reason."""
        name = f"{request.case.id}: {_PURPOSES[request.purpose]}"
        try:
            request.file("request").write_bytes(pickle.dumps(request))
            ended = self._exchange(f"{request.file('request')}\n", request.limit_s + START_LIMIT_S)
        except BaseException:
            # KeyboardInterrupt too: the answer, once it comes, would be taken for that to the next request.
            self.close()
            raise
        if ended is None:
            told = _last_line(self.home / "log")
            self.close()
            raise NotMeasured(f"{name}: the process that starts others ended, or hangs{told}")
        if "reason" in ended:
            raise NotMeasured(f"{name}: {request.case.framework}: {ended['reason']}")
        if ended["timed_out"]:
            raise NotMeasured(f"{name} took longer than {request.limit_s:g} s and was stopped")
        if ended["code"] != 0 or not request.file("answer").exists():
            raise NotMeasured(f"{name} {_how(ended['code'])}{_last_line(request.file('log'))}")
        found: dict[str, Any] = json.loads(request.file("answer").read_text())
        if "reason" in found:
            raise NotMeasured(f"{name} {found['reason']}")
        return {**ended, **found}

    def _exchange(self, line: str, limit_s: float) -> dict[str, Any] | None:
        """Send a line and give the answer; None when there is none to come."""
        self._control.settimeout(limit_s)
        received = b""
        try:
            self._control.sendall(line.encode())
            while not received.endswith(b"\n"):
                if not (part := self._control.recv(4096)):
                    return None
                received += part
        except (TimeoutError, BrokenPipeError, ConnectionResetError):
            return None
        found: dict[str, Any] = json.loads(received)
        return found

    def close(self) -> None:
        """End the nursery, its child, and its folder."""
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
    """Give this process's environment, with its modules to be found and no compile cache from before."""
    found = {name: value for name, value in os.environ.items() if name not in CACHE_VARIABLES}
    for name, starts in CACHE_FLAGS.items():
        if name in found:
            found[name] = " ".join(word for word in found[name].split() if not word.startswith(starts))
    found["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    # Whatever can be imported here can be imported there, from the same files.
    found["PYTHONPATH"] = os.pathsep.join(path or os.getcwd() for path in sys.path)
    return found


def _how(code: int) -> str:
    if code < 0:
        return f"ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code} and no answer"


def _last_line(log: Path) -> str:
    """Give the end of what was printed, as part of a reason."""
    try:
        lines = log.read_text(errors="replace").split("\n")
    except OSError:
        return ""
    told = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f"; its last words: {told[:200]}" if told else ""
