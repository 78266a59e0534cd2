"""The paired ratio is right, and its interval holds what it says it holds."""

import math

import numpy as np
import pytest

from gradperf.case_pairs import neighbours, pairing


@pytest.fixture
def clock(monkeypatch):
    """Give a clock that only the timed calls move."""

    class Clock:
        now_s = 0.0

    monkeypatch.setattr(pairing.time, "perf_counter", lambda: Clock.now_s)
    return Clock


def taking(clock, seconds):
    """Give a call that takes as long as ``seconds()`` says."""

    def call():
        clock.now_s += seconds()

    return call


def test_ratio_survives_drift(clock):
    """A machine that gets slower all the time, ten times in the end, does not hide a ratio of 1.1."""
    drift = iter(np.linspace(1, 10, 100_000))
    found = pairing.paired(
        taking(clock, lambda: 0.0011 * next(drift)), taking(clock, lambda: 0.001 * next(drift)), pairs=30
    )
    assert found.low <= 1.1 <= found.high
    assert found.ratio == pytest.approx(1.1, rel=0.02)


def test_order_of_turns_is_mixed(clock):
    """Neither side always goes first: the one that does was seen to be slower for that alone."""
    turns = []
    pairing.paired(
        taking(clock, lambda: turns.append("a") or 0.02), taking(clock, lambda: turns.append("b") or 0.02), pairs=40
    )
    first = [turns[i] for i in range(2, len(turns), 2)]
    assert 8 < first.count("a") < 32


@pytest.mark.parametrize(("count", "ranks"), [(6, (0, 5)), (10, (1, 8)), (30, (9, 20)), (100, (39, 60))])
def test_interval_by_the_published_ranks(count, ranks):
    """The ranks of the tables of the sign test (Conover 1999, table A3), counted from 0."""
    assert pairing.interval_ranks(count) == ranks


@pytest.mark.parametrize("count", range(6, 60))
def test_interval_covers_the_median(count):
    """The chance that the median lies outside is at most 5 %, and the next narrower interval's is not."""
    low, high = pairing.interval_ranks(count)
    outside = 2 * sum(math.comb(count, k) for k in range(low + 1)) / 2**count
    assert high == count - 1 - low
    assert outside <= 0.05
    assert outside + 2 * math.comb(count, low + 1) / 2**count > 0.05


def test_too_few_pairs():
    """Five pairs cannot exclude anything at 5 %."""
    with pytest.raises(ValueError, match="at least 6"):
        pairing.paired(lambda: None, lambda: None, pairs=5)


def test_command(run_gradperf):
    """``gradperf pair`` shows both times per step and the ratio; a case beside itself is at 1."""
    id_ = "tiny_3x2x1-numpy.by_hand-cpu-float64"
    done = run_gradperf("pair", id_, id_, "--pairs", "10")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("µs per step") == 2
    assert "times the second's time" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--pairs", "5"), "argument --pairs: expected a whole number of at least 6"),
        (("--threads", "0"), "argument --threads: expected a whole number of at least 1"),
    ],
)
def test_bad_options(run_gradperf, arguments, message):
    """One message, before anything runs."""
    id_ = "tiny_3x2x1-numpy.by_hand-cpu-float64"
    done = run_gradperf("pair", id_, id_, *arguments)
    assert message in done.stderr
    assert done.returncode == 2


def test_company_of_nobody_changes_nothing_much():
    """Alone and beside numpy, which is there anyway: an interval around a ratio near 1."""
    case = "tiny_3x2x1-numpy.by_hand-cpu-float32"
    (found,) = neighbours.measured([case], ["numpy"], threads=1, pairs=6)
    assert found.case == case
    assert found.low <= found.ratio <= found.high
    assert 0.2 < found.ratio < 5


def test_neighbours_refuses_what_cannot_be_paired(run_gradperf):
    """Too few pairs, and a case that does not exist, are said before anything is measured."""
    case = "tiny_3x2x1-numpy.by_hand-cpu-float32"
    few = run_gradperf("neighbours", case, "--pairs", "5")
    assert few.returncode == 2
    assert "argument --pairs: expected a whole number of at least 6" in few.stderr
    unknown = run_gradperf("neighbours", "tiny_3x2x1-numpy.by_foot-cpu-float32")
    assert unknown.returncode == 2
    assert "by_foot" in unknown.stderr
    assert "Traceback" not in few.stderr + unknown.stderr
