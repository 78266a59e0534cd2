"""The child's end of the channel to its parent: orders come in, answers go out, one line of JSON each."""

from __future__ import annotations

import json
import os
from typing import Any


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
        if os.getpid() != self._pid:
            os._exit(1)  # A benchmark forked this process. The orders are for its parent.
        line = self._orders.readline()
        if not line:
            os._exit(0)  # The parent is gone.
        order: dict[str, Any] = json.loads(line)
        return order

    def answer(self, **answer: Any) -> None:
        """Send an answer. Does nothing in a process that a benchmark forked."""
        if os.getpid() != self._pid:
            return
        try:
            print(json.dumps(answer), file=self._answers, flush=True)
        except BrokenPipeError:
            os._exit(0)
