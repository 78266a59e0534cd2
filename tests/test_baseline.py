"""What a case is compared with: its baseline, the break-even of their costs, and the harness."""

from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gradperf import problems
from gradperf.comparison import baseline
from gradperf.comparison.break_even import Cost, break_even
from gradperf.records.facts import read_benchmark
from tests.records import BASELINES, compared, lines, measured, record


def harness_cost(records):
    return baseline.harness_cost([read_benchmark(one) for one in records])


@pytest.mark.parametrize(
    ("problem", "baseline"),
    [
        ("tiny_3x2x1", "numpy.by_hand"),
        ("matmul_5x6x7", "numpy.operator"),
        ("sine_derivative_100", "numpy.analytic"),
        ("no_such_problem", None),
        (f"matmul_{'9' * 5000}x1x1", None),
    ],
)
def test_baselines_of_problems(problem, baseline):
    """By family; a run may hold problems that this version does not know."""
    assert problems.baseline_of(problem) == baseline


def test_baseline_is_of_the_same_device_or_else_of_another():
    """A case on a device without a baseline is compared with the baseline on another device."""
    records = [
        record("numpy.by_hand", step_s=1e-5),
        record("torch.autograd", step_s=2e-5),
        record("torch.autograd", step_s=5e-6, device="cuda"),
        record("torch.autograd", step_s=5e-6, device="cuda", dtype="float32"),
        record("numpy.by_hand", step_s=1e-6, part="forward"),
        record("numpy.empty", problem="nothing"),
        record("numpy.by_hand", problem="unknown"),
    ]
    benchmarks = [read_benchmark(one) for one in records]
    found = baseline.compare(benchmarks, BASELINES.get)
    assert [against.ratio_to_baseline for against in found] == [1, 2, pytest.approx(0.5), None, None, None, None]
    assert [against.baseline is one for against, one in zip(found, benchmarks, strict=True)] == [True] + 6 * [False]
    devices = [against.baseline and against.baseline.facts.device for against in found]
    assert devices == ["cpu", "cpu", "cpu", None, None, None, None]
    with_its_own = compared([*records, record("numpy.by_hand", step_s=1e-6, device="cuda")])
    assert with_its_own[2].ratio_to_baseline == pytest.approx(5)


def test_title_names_a_baseline_elsewhere():
    """The title names the baseline only if it is not in the table."""
    on_cuda = record("jax.scan", device="cuda")
    assert lines([record(), on_cuda], width=90)[3 + 1].endswith("1 thread; base: numpy.by_hand on cpu")
    assert lines([on_cuda], width=110)[0].endswith(
        "; the baseline, numpy.by_hand, was not timed, so the fastest is 1"
    )
    assert lines([record(problem="unknown")])[0].endswith("; no baseline, so the fastest is 1")


def test_ratio_is_per_step():
    """A call of 10 steps beside one of 50."""
    _, found = compared([record(), record("jax.scan", steps=10)])
    assert found.ratio_to_baseline == pytest.approx(1)


def test_break_even_in_doubt():
    """Marked if the times differ by less than half of both interquartile ranges, ±2 % here."""
    records = [
        measured("numpy.by_hand", 1e-5, 0.1),
        measured("jax.scan", 0.985e-5, 0.2),
        measured("torch.autograd", 1.015e-5, 0.2),
        measured("jax.jit", 0.97e-5, 0.2),
        measured("jax.grad", 1e-5, 0.2),
    ]
    found = compared(records)
    assert [against.near for against in found] == [False, True, True, False, True]
    shown = {line.split()[0]: line[line.index("ms") + 2 :].split()[0] for line in lines(records)[2:7]}
    assert shown == {
        "numpy.by_hand": "–",
        "jax.scan": "~6.7e5",
        "torch.autograd": "~never",
        "jax.jit": "333,384",
        "jax.grad": "~never",
    }


def test_no_break_even_without_both_first_calls():
    """A one-off cost that was not measured is not taken for zero."""
    for records in (
        [measured("numpy.by_hand", 1e-5, None), measured("jax.scan", 1e-6, 1)],
        [measured("numpy.by_hand", 1e-5, 1), measured("jax.scan", 1e-6, None)],
    ):
        assert [a.break_even_steps for a in compared(records)] == [None, None]


def total_s(cost, steps):
    """Count the seconds of a training, by the words of the definition."""
    once_s = max(0, Fraction(cost.first_call_s) - cost.steps * Fraction(cost.step_s))
    return once_s + steps * Fraction(cost.step_s)


whole_seconds = st.builds(
    Cost, step_s=st.fractions(1, 12, max_denominator=4), steps=st.integers(1, 4), first_call_s=st.integers(1, 30)
)


@given(whole_seconds, whole_seconds)
@example(Cost(2, 1, 10), Cost(3, 1, 3))  # 8 + 2n < 3n from 9 on, not from 8
@example(Cost(3, 1, 3), Cost(2, 1, 10))  # leads at first, then overtaken
@example(Cost(2, 2, 9), Cost(2, 1, 7))  # the same line
@example(Cost(6, 1, 1), Cost(6, 1, 6))  # a lucky first call is no gift: a tie
@example(Cost(1, 1, 10), Cost(1, 1, 11))  # as fast, and cheaper at once
def test_break_even_is_what_counting_finds(style, baseline):
    """Steps are counted up to where the lines must have crossed: at most 29 s apart, 1/12 s per step nearer."""
    last = 29 * 12 + 1
    ahead = [total_s(style, n) < total_s(baseline, n) for n in range(1, last + 1)]
    behind_at = max((n for n, leads in enumerate(ahead, 1) if not leads), default=0)
    assert break_even(style, baseline) == ("never" if behind_at == last else behind_at + 1)


seconds = st.floats(1e-9, 1e5)
costs = st.builds(Cost, step_s=seconds, steps=st.integers(1, 10**6), first_call_s=seconds)


@given(costs, costs)
def test_break_even_of_real_times(style, baseline):
    """Ahead from there on, and not one step before; with ``never``, not ahead in the end."""
    found = break_even(style, baseline)
    if found == "never":
        assert total_s(style, 10**100) >= total_s(baseline, 10**100)
        return
    assert all(total_s(style, n) < total_s(baseline, n) for n in (found, found + 1, 10 * found, 10**100))
    assert found == 1 or total_s(style, found - 1) >= total_s(baseline, found - 1)


@given(costs, costs)
def test_only_one_of_two_overtakes(one, other):
    """Two styles cannot both be ahead for good."""
    assert "never" in (break_even(one, other), break_even(other, one))


def test_harness_cost():
    """The slowest empty style beside the shortest call in a table, halves of steps left out."""
    empty = [record("numpy.empty", problem="nothing", step_s=s, steps=1) for s in (2e-7, 4e-7)]
    cases = [record(step_s=1e-6), record("jax.scan", step_s=8e-7), record(step_s=1e-9, part="forward")]
    cost = harness_cost(empty + cases)
    assert cost.call_s == 4e-7
    assert cost.shortest.case == "polynomial_degree4-jax.scan-cpu-float64"
    assert cost.share == pytest.approx(0.01)
    assert harness_cost(cases) is None
    assert harness_cost(empty).share is None
    assert lines(empty) == ["harness: an empty style takes 400 ns per call"]


@pytest.mark.parametrize(("step_s", "warns"), [(3.9e-9, True), (4.1e-9, False)])
def test_harness_warns(step_s, warns):
    """Above one percent of the shortest case, times are partly the harness's."""
    printed = lines([record("numpy.empty", problem="nothing", step_s=2e-9, steps=1), record(step_s=step_s)])
    assert any(line.startswith("harness: WARNING: an empty style takes 2.00 ns") for line in printed) is warns
