"""Wrong clocks: the check before the timing, or the wall clock around it, must catch each in a user's run."""

from dataclasses import dataclass

import pytest

from correctness.planted import check_caught, skip_unless_chosen

_MANY_ROUNDS = ("--benchmark-min-rounds=100",)
_TINY = "tiny_3x2x1"


@dataclass(frozen=True)
class Clock:
    """A wrong clock, given as ``--benchmark-timer``."""

    what: str
    source: str
    caught_by: str
    options: tuple = ()
    problem: str = _TINY
    style: str = "by_hand"
    name: str = "clocks.clock"
    family: str = "training"
    framework = "numpy"
    cpus = 1
    in_seconds = False
    spares = ()


# The check reads it about 20,000 times; then each round reads it twice.
_AFTER_THE_CHECK = """import time

reads, last = 0, 0.0

def clock():
    global reads, last
    reads += 1
    now = time.perf_counter()
    if reads < 20_050:
        last = now
        return now
    return last + (now - last) * {speed}
"""

CLOCKS = [
    Clock(
        "milliseconds",
        "import time\n\ndef clock():\n    return time.perf_counter() * 1e3\n",
        "this clock does not count seconds: it moved by .* asleep",
    ),
    Clock("nanoseconds", "from time import perf_counter_ns as clock\n", "this clock does not count seconds"),
    Clock(
        "ten percent too fast",
        "import time\n\ndef clock():\n    return time.perf_counter() * 1.1\n",
        "this clock does not count seconds",
    ),
    Clock(
        "running backwards",
        "import time\n\ndef clock():\n    return -time.perf_counter()\n",
        "this clock goes back",
    ),
    Clock(
        "set back now and then",
        """import itertools
import time

reads = itertools.count()

def clock():
    return time.perf_counter() - next(reads) // 1000 * 1e-3
""",
        "this clock goes back",
    ),
    Clock(
        "CPU seconds, which stop while it waits",
        "from time import process_time as clock\n",
        "this clock does not count seconds: it moved by .* asleep",
    ),
    Clock(
        "time that stops at work",
        """import time

last = 0.0

def clock():
    global last
    last = max(last, time.perf_counter() - time.process_time())
    return last
""",
        "this clock does not count seconds: it moved by .* at work",
    ),
    Clock(
        "the time of day, which can be set back",
        "",
        "this clock can be set back",
        name="time.time",
    ),
    Clock(
        "the time of day under another name",
        "from time import time as clock\n",
        "this clock can be set back",
    ),
    Clock(
        "a thousand times too fast, once it was checked",
        _AFTER_THE_CHECK.format(speed="1e3"),
        "its rounds add up to",
        _MANY_ROUNDS,
    ),
    Clock(
        "twenty times too slow, once it was checked",
        _AFTER_THE_CHECK.format(speed="0.05"),
        "faster than this machine",
        (),
        "matmul_64x64x64",
        "operator",
        family="matmul",
    ),
]


@pytest.mark.planted_fault
@pytest.mark.parametrize("clock", CLOCKS, ids=lambda clock: clock.what)
def test_clock_fails_a_run(clock, choice, tmp_path):
    """A user's run with a wrong clock fails, with a message, and records nothing of the case."""
    assert clock.caught_by
    skip_unless_chosen(clock, choice)
    (tmp_path / "clocks.py").write_text(clock.source)
    check_caught(clock, tmp_path, *clock.options, f"--benchmark-timer={clock.name}")
