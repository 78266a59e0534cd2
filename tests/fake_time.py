"""A clock that moves only when a fake call says so, and calls of known cost."""

import itertools
from types import SimpleNamespace


class Machine:
    """A machine on which time passes in calls alone; ``times`` replaces a module's ``time``."""

    def __init__(self):
        self.now_s = 100.0
        self.preempted = 0
        self.calls = []
        self.times = SimpleNamespace(
            perf_counter=lambda: self.now_s, process_time=lambda: self.now_s, time=lambda: self.now_s
        )

    def preemptions(self):
        """Return how often the CPU was taken away."""
        return self.preempted

    def call(self, step_s, once_s=0.0, noise=None, busy=lambda call: False):
        """Return ``call(steps)`` that takes ``once_s + steps * step_s``, and the next of ``noise``.

        ``noise`` is in seconds. The CPU is taken away from the calls whose number is ``busy``: they
        take twice as long.
        """
        extra = itertools.repeat(0.0) if noise is None else iter(noise)

        def run(steps):
            disturbed = busy(len(self.calls))
            self.calls.append(steps)
            self.now_s += (once_s + steps * step_s + next(extra)) * (2 if disturbed else 1)
            self.preempted += disturbed

        return run

    def replace(self, monkeypatch, *modules):
        """Make these modules read this clock and count these preemptions."""
        for module in modules:
            monkeypatch.setattr(module, "time", self.times)
            if hasattr(module, "preemptions"):
                monkeypatch.setattr(module, "preemptions", self.preemptions)
        return self
