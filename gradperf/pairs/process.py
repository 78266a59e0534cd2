"""One worker process, seen from the gate: orders go in, answers come out, and neither is ever waited for in vain.

A worker may crash, hang, or end by itself, at any moment. Each of these is a :class:`Lost`, whose message says what
happened and shows the last lines that the process wrote; the process is then gone, with all that it started.
"""

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from gradperf.gate.janitor import Janitor
from gradperf.gate.sides.prepare import Side

WORKER = Path(__file__).parents[1] / "gate" / "measuring" / "worker.py"

_SHOWN = 1500
"""Characters of a lost worker's output that its message shows."""


_LOOK_S = 1.0
"""A process that is waited for is looked after so often."""


class Lost(Exception):
    """A worker that crashed, hung, or ended before it answered."""


class Process:
    """A worker of one side. It has its own session: Ctrl-C is for the gate, which then ends it."""

    def __init__(
        self,
        side: Side,
        arguments: Sequence[str],
        output: Path,
        janitor: Janitor,
        environment: Mapping[str, str],
        patience_s: float,
    ) -> None:
        """Start it in the side's folder; what it prints goes to the file ``output``."""
        self.side = side
        self._output, self._janitor, self._patience_s = output, janitor, patience_s
        orders, self._orders = os.pipe()
        self._answers, answers = os.pipe()
        self._read = b""
        try:
            with output.open("wb") as printed:
                self._process = subprocess.Popen(  # noqa: S603 - pytest, on the user's own suite
                    [side.python, WORKER, str(orders), str(answers), *arguments],
                    cwd=side.folder,
                    env={**side.environment, **environment},
                    stdin=subprocess.DEVNULL,
                    stdout=printed,
                    stderr=subprocess.STDOUT,
                    pass_fds=(orders, answers),
                    start_new_session=True,
                )
        finally:
            os.close(orders)
            os.close(answers)
        janitor.process(self._process.pid)

    def tell(self, **order: Any) -> None:
        """Give an order, without waiting; if nobody is there to take it, waiting for the answer tells so."""
        line = json.dumps(order).encode() + b"\n"
        with suppress(BrokenPipeError):
            while line:  # A pipe may not take all of it at once.
                line = line[os.write(self._orders, line) :]

    def answer(self) -> dict[str, Any]:
        """Wait for the next answer; raises :class:`Lost`."""
        deadline_s = time.monotonic() + self._patience_s
        while b"\n" not in self._read:
            # A child that it left behind may hold the pipe open, so that the pipe alone does not tell.
            has_ended = self._process.poll() is not None
            left_s = max(0.0, deadline_s - time.monotonic())
            ready, _, _ = select.select([self._answers], [], [], min(_LOOK_S, left_s))
            if not ready:
                if has_ended:
                    raise self._lost("ended by itself")
                if not left_s:
                    raise self._lost(f"said nothing for {self._patience_s:g} s, and was taken for hung")
                continue
            if not (more := os.read(self._answers, 1 << 16)):
                raise self._lost("ended by itself")
            self._read += more
        line, _, self._read = self._read.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found

    def ask(self, **order: Any) -> dict[str, Any]:
        """Give an order and wait for its answer."""
        self.tell(**order)
        return self.answer()

    def _lost(self, what: str) -> Lost:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=2)  # It closed its end: it is about to be gone.
        code = self._process.poll()
        if code is not None and code < 0:
            what += f" ({signal.Signals(-code).name})" if -code in set(signal.Signals) else f" (signal {-code})"
        elif code is not None:
            what += f" (exit code {code})"
        self.close()
        printed = f"; its last lines:\n{text}" if (text := self.printed()) else ""
        return Lost(f"a process of the {self.side.name} {what}{printed}")

    def printed(self) -> str:
        """Give the end of what the process printed."""
        with suppress(OSError):
            return self._output.read_text(errors="replace").strip()[-_SHOWN:]
        return ""

    def close(self) -> None:
        """End it now, with everything that it started; safe to call twice."""
        if self._orders < 0:
            return
        for number in (self._orders, self._answers):
            os.close(number)
        self._orders = self._answers = -1
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._janitor.forget(self._process.pid)
