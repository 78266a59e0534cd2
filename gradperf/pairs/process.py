"""The parent's end of one child process: orders go out, answers come in, and no wait is without a limit.

A child may crash, hang or end by itself at any moment. Then :class:`WorkerLost` describes what happened and shows
the last lines that the child printed. By then the child is gone, with all that it started.
"""

import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from gradperf.machine import children

PATIENCE_S = 300.0
"""Seconds without an answer before a child counts as hung."""

_SHOWN = 1500
"""Characters of a lost child's output in its message."""

_POLL_S = 1.0
"""Seconds between two checks whether a silent child has ended."""

PADDING = 4096


def padding(coin: random.Random) -> dict[str, str]:
    """Return a variable of drawn length, less than :data:`PADDING` bytes, for a child's environment.

    The size of the environment shifts the stack, which alone can make a program some percent faster or slower
    (Mytkowicz et al., "Producing wrong data without doing anything obviously wrong", ASPLOS 2009).
    """
    return {"GRADPERF_GATE_PADDING": "x" * coin.randrange(PADDING)}


def same_modules() -> dict[str, str]:
    """Return the variable with which a child imports its modules from the same files as this process."""
    return {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}


def exit_text(code: int) -> str:
    """Return ``SIGKILL``, ``signal 34`` or ``exit code 1`` for the return code of a process."""
    if code >= 0:
        return f"exit code {code}"
    return signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"


class WorkerLost(Exception):
    """A child that crashed, hung, or ended before it answered."""


class SideError(Exception):
    """A child that cannot do what it was started for. No single case is to blame."""


class OutOfStep(Exception):
    """A child that answered something else than it was asked for: it has left its benchmark."""

    def __init__(self, process: "Process", answer: Mapping[str, Any]) -> None:
        super().__init__(f"the {process.name} answered {answer}")
        self.process, self.answer = process, answer


class Guard(Protocol):
    """Kills a child, and all that it started, even if this process is killed first."""

    def process(self, pid: int) -> None:
        """Take charge of the process group that ``pid`` leads."""

    def forget(self, pid: int) -> None:
        """Leave ``pid`` alone from now on."""


class Process:
    """A child process: ``program ORDERS ANSWERS arguments…`` in ``folder``.

    ORDERS and ANSWERS are file descriptors. What the child prints goes to the file ``output``. ``name`` is its name
    in messages. It has its own session: Ctrl-C reaches the parent alone, which then ends the child.
    """

    def __init__(
        self,
        name: str,
        program: Sequence[str | Path],
        arguments: Sequence[str],
        *,
        output: Path,
        environment: Mapping[str, str],
        folder: Path | None = None,
        guard: Guard | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.name = name
        self._output, self._guard, self._patience_s = output, guard, patience_s
        orders, self._orders = os.pipe()
        self._answers, answers = os.pipe()
        self._received = b""
        try:
            with output.open("wb") as printed:
                self._process = subprocess.Popen(  # noqa: S603 - gradperf's own child
                    [*program, str(orders), str(answers), *arguments],
                    cwd=folder,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=printed,
                    stderr=subprocess.STDOUT,
                    pass_fds=(orders, answers),
                    start_new_session=True,
                )
        finally:
            os.close(orders)
            os.close(answers)
        self.pid = self._process.pid
        children.OURS.add(self.pid)
        if guard is not None:
            guard.process(self.pid)

    def send(self, **order: Any) -> None:
        """Send an order, without waiting. If the child is gone, :meth:`answer` raises."""
        line = json.dumps(order).encode() + b"\n"
        with suppress(BrokenPipeError):
            while line:  # A pipe may not take all of it at once.
                line = line[os.write(self._orders, line) :]

    def answer(self) -> dict[str, Any]:
        """Wait for the next answer; raise :class:`WorkerLost` if none can come."""
        deadline_s = time.monotonic() + self._patience_s
        while b"\n" not in self._received:
            # The pipe alone does not show that the child has ended: its own children may hold it open.
            has_ended = self._process.poll() is not None
            left_s = max(0.0, deadline_s - time.monotonic())
            ready, _, _ = select.select([self._answers], [], [], min(_POLL_S, left_s))
            if not ready:
                if has_ended:
                    raise self._lost("ended by itself")
                if not left_s:
                    raise self._lost(f"gave no answer for {self._patience_s:g} s and counts as hung")
                continue
            if not (more := os.read(self._answers, 1 << 16)):
                raise self._lost("ended by itself")
            self._received += more
        line, _, self._received = self._received.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ask(self, **order: Any) -> dict[str, Any]:
        """Send an order and wait for its answer."""
        self.send(**order)
        return self.answer()

    def _lost(self, what: str) -> WorkerLost:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=2)  # It has closed its end, so it is about to end.
        code = self._process.poll()
        if code is not None:
            what += f" ({exit_text(code)})"
        self.close()
        last_lines = f"; its last lines:\n{text}" if (text := self.printed()) else ""
        return WorkerLost(f"a process of the {self.name} {what}{last_lines}")

    def finish(self) -> None:
        """Let the child end by itself after its last answer; how it ends does not matter."""
        with suppress(WorkerLost):
            self.answer()

    def printed(self) -> str:
        """Return the end of what the child printed."""
        with suppress(OSError):
            return self._output.read_text(errors="replace").strip()[-_SHOWN:]
        return ""

    def close(self) -> None:
        """End the child now, with everything that it started. A second call does nothing."""
        if self._orders < 0:
            return
        os.close(self._orders)
        os.close(self._answers)
        self._orders = self._answers = -1
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        if self._guard is not None:
            self._guard.forget(self.pid)
