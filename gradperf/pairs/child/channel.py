"""The child's end of the channel to its parent: orders come in, answers go out, one line of JSON each."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .originals import Original


class Channel:
    """Receives orders and sends answers, over two file descriptors. Ends the process when the parent is gone."""

    def __init__(self, orders: int, answers: int) -> None:
        for descriptor in (orders, answers):
            os.set_inheritable(descriptor, False)  # A child of this process must not hold them open.
        self._orders = os.fdopen(orders, encoding="utf-8")
        self._answers = os.fdopen(answers, "w", encoding="utf-8")
        self._pid = os.getpid()

    def order(self) -> dict[str, Any]:
        """Wait for the next order."""
        if Original.getpid() != self._pid:
            Original.exit_now(1)  # A benchmark forked this process. The orders are for its parent.
        with _no_alarm():
            line = self._orders.readline()
        if not line:
            Original.exit_now(0)  # The parent is gone.
        order: dict[str, Any] = Original.from_json(line)
        return order

    def answer(self, **answer: Any) -> None:
        """Send an answer. Does nothing in a process that a benchmark forked."""
        if Original.getpid() != self._pid:
            return
        try:
            self._answers.write(Original.to_json(answer) + "\n")
            self._answers.flush()
        except BrokenPipeError:
            Original.exit_now(0)


@contextmanager
def _no_alarm() -> Iterator[None]:
    """Stop the alarm clock of this process meanwhile: the time limit of a test is not for a wait."""
    left_s, interval_s = Original.setitimer(signal.ITIMER_REAL, 0)
    try:
        yield
    finally:
        if left_s or interval_s:
            Original.setitimer(signal.ITIMER_REAL, left_s, interval_s)
