"""The end of a run on 80 columns: marks where the times are, intervals, ranks, and ratios in words."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradperf.comparison import changes, chart
from gradperf.records.facts import read_benchmark
from gradperf.text.table import Terminal
from tests.records import BASELINES, record


def drawn(*records, then=None, width=80, ascii_only=False):
    """Return the lines of the charts of these records."""
    benchmarks = [read_benchmark(one) for one in records]
    found = then and changes.changes([read_benchmark(one) for one in then], benchmarks, "seconds", BASELINES.get)
    terminal = Terminal(width, ascii_only)
    return chart.lines(benchmarks, baseline_of=BASELINES.get, terminal=terminal, changes=found)


def row(lines, label):
    """Return the line of a style."""
    (line,) = [line for line in lines if f" {label} " in f" {line} "]
    return line


BASE = record("numpy.by_hand", step_s=1e-5)


def test_ratios_in_words():
    """Faster, slower, and what this run cannot tell from the baseline."""
    lines = drawn(
        BASE, record("jax.scan", step_s=2e-6), record("torch.tensors", step_s=3e-5), record("x.y", step_s=1.01e-5)
    )
    assert lines[0] == "polynomial_degree4, cpu, float64"
    assert row(lines, "jax.scan").endswith("2.00 µs  5.00 times faster")
    assert row(lines, "torch.tensors").endswith("30.0 µs  3.00 times slower")
    assert row(lines, "numpy.by_hand").endswith("10.0 µs  base")
    assert row(lines, "x.y").endswith("as fast as base")
    assert [line.split()[0] for line in lines[2:6]] == ["1", "2", "2", "4"]


def test_marks_are_where_the_times_are():
    """On a logarithmic axis: equal ratios are equally far, and the interval surrounds the mark."""
    lines = drawn(*(record(f"numpy.s{power}", step_s=10.0**-power) for power in (3, 4, 5)))
    places = [row(lines, f"numpy.s{power}").index("o", 29) for power in (3, 4, 5)]
    assert places[0] - places[1] == pytest.approx(places[1] - places[2], abs=1)
    assert places[0] > places[1] > places[2]
    wide = drawn(BASE, record("torch.tensors", step_s=1e-4, step_interval_s=[3e-5, 3e-4], step_error=0.2))
    assert "-o-" in row(wide, "torch.tensors")
    assert row(wide, "torch.tensors").startswith("noisy")


def test_times_that_are_nearly_equal():
    """Their logarithms are the same number, and the mark stands in the middle."""
    near = record("x.y", step_s=1e-5, step_interval_s=[1e-5, math.nextafter(1e-5, 1)])
    assert math.log(1e-5) == math.log(math.nextafter(1e-5, 1))
    assert "o" in row(drawn(near), "x.y")


def test_without_the_baseline():
    """The fastest is the base, and the title says so."""
    lines = drawn(record("torch.tensors"), record("jax.jit", step_s=2e-5))
    assert " ".join(lines[:2]).startswith(
        "polynomial_degree4, cpu, float64 (base: the fastest, as numpy.by_hand was not"
    )
    assert row(lines, "torch.tensors").endswith("base")


def test_what_changed():
    """With a run to compare with, its ratios take the place of those to the baseline."""
    lines = drawn(BASE, record("jax.jit", step_s=2e-5), then=[BASE, record("jax.jit", step_s=1e-5)])
    assert row(lines, "jax.jit").endswith("SLOWER")
    assert "(" in row(lines, "numpy.by_hand")


NAMES = st.text(max_size=60).filter(lambda name: "." not in name)
TIMES = st.none() | st.floats(1e-12, 1e6)


@given(
    st.lists(st.tuples(NAMES, TIMES, st.floats(0, 3)), max_size=6),
    st.integers(80, 200),
    st.booleans(),
)
def test_any_record_fits(rows, width, ascii_only):
    """No line is wider than the terminal, and none holds a control character."""
    records = [
        record(
            f"f.{name}",
            step_s=step_s or 1.0,
            **({} if step_s else {"step_s": None, "steps": None}),
            **({"step_interval_s": [step_s * math.exp(-error), step_s * math.exp(error)]} if step_s else {}),
        )
        if step_s
        else record(f"f.{name}", steps=1) | {"stats": {}}
        for name, step_s, error in rows
    ]
    for one, (_, step_s, _) in zip(records, rows, strict=True):
        if step_s is None:
            one["extra_info"] |= {"step_s": None}
    for line in drawn(*records, width=width, ascii_only=ascii_only):
        assert len(line) <= width
        assert line.isprintable()
        assert not ascii_only or line.isascii()
