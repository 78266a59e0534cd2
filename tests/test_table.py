"""The table at the end of a run: every line fits, any record can be shown, and the numbers are right."""

import argparse
import json
import re
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gradperf import problems
from gradperf.commands import show
from gradperf.errors import UserError
from gradperf.suite import baseline, storage, table
from gradperf.suite.break_even import Cost, break_even
from gradperf.suite.facts import read_benchmark
from gradperf.text import printable, quantities
from gradperf.text.table import Terminal

BASELINES = {"polynomial_degree4": "numpy.by_hand", "matmul_64x64x64": "numpy.operator"}
FACTS = (
    "first_call_s",
    "peak_fraction",
    "gradient_error",
    "trajectory_error",
    "memory_peak_bytes",
    "device_memory_peak_bytes",
    "cpu_per_wall",
)
HEADS = (
    "[nµm]?s/step|h/step",
    "±%",
    "middle half",
    "× base",
    "first",
    "even at",
    "peak%",
    "error",
    "path",
    "memory",
    "device",
    "cores",
)


def record(label="numpy.by_hand", *, step_s=1e-5, problem="polynomial_degree4", device="cpu", steps=50, **info):
    """Return a record as pytest-benchmark stores it, with a spread of ±1 %."""
    framework, _, style = label.partition(".")
    call_s = step_s * steps
    known = {
        "problem": problem,
        "framework": framework,
        "style": style,
        "device": device,
        "dtype": "float64",
        "part": "all",
        "steps": steps,
        "threads": 1,
    }
    return {
        "fullname": f"perf/test_training.py::test_training[{problem}-{label}-{device}-float64]",
        "group": f"{problem} {device} float64",
        "stats": {"median": call_s, "iqr": call_s * 0.02, "q1": call_s * 0.99, "q3": call_s * 1.01},
        "extra_info": known | info,
    }


def measured(label, step_s, first_call_s, **info):
    """Return a record with every fact of a run on the CPU."""
    return record(
        label,
        step_s=step_s,
        first_call_s=first_call_s,
        peak_fraction=1e-6 / step_s,
        gradient_error=2.1e-16,
        trajectory_error=3.4e-15,
        memory_peak_bytes=301_200_000,
        cpu_per_wall=0.998,
        **info,
    )


def lines(records, width=80, ascii_only=False, baseline_of=BASELINES.get):
    return table.lines(
        [read_benchmark(one) for one in records], baseline_of=baseline_of, terminal=Terminal(width, ascii_only)
    )


def compared(records):
    return baseline.compare([read_benchmark(one) for one in records], BASELINES.get)


def harness_cost(records):
    return baseline.harness_cost([read_benchmark(one) for one in records])


RUN = [
    record("numpy.empty", problem="nothing", step_s=43e-9, steps=1),
    measured("numpy.by_hand", 10.4e-6, 0.00161),
    measured("numpy.by_hand_inplace", 3.03e-6, 0.0012),
    measured("torch.compiled", 43e-6, 21.4),
    measured("jax.scan", 0.971e-6, 0.312),
    measured("jax.scan", 0.3e-6, 0.1, part="forward"),
    record("jax.grad", step_s=2.532e-3),
]

NARROW = """\
polynomial_degree4, cpu, float64: 50 steps per call, 1 thread
style                 µs/step   ±%  × base   first even at peak%  error  memory
jax.scan                0.971  1.0  0.0934  312 ms  32,969   103  2e-16  301 MB
numpy.by_hand_inplace    3.03  1.0   0.291 1.20 ms       1    33  2e-16  301 MB
numpy.by_hand            10.4  1.0    base 1.61 ms       –   9.6  2e-16  301 MB
torch.compiled           43.0  1.0    4.13  21.4 s   never   2.3  2e-16  301 MB
jax.grad                2,532  1.0     243       –       –     –      –       –

time per step: median call, divided by its steps; ±%: half the interquartile
range (other processes differ by more); × base: multiple of the baseline's time;
first: preparing and first call, fresh process, cold caches, no imports; even
at: steps from which it stays ahead of the baseline, one-off costs counted (~:
times within their spreads); peak%: share of this machine's best speed; error:
of the first gradients; memory: growth of the process

harness: an empty style takes 43.0 ns per call, 0.09 % of the shortest case here
  (polynomial_degree4-jax.scan-cpu-float64)"""

WIDE = """\
polynomial_degree4, cpu, float64: 50 steps per call, 1 thread
style                  µs/step    ±%      middle half   × base    first  even at  peak%   error    path   memory  cores
jax.scan                 0.971   1.0      0.961–0.981   0.0934   312 ms   32,969    103   2e-16   3e-15   301 MB   1.00
numpy.by_hand_inplace     3.03   1.0        3.00–3.06    0.291  1.20 ms        1     33   2e-16   3e-15   301 MB   1.00
numpy.by_hand             10.4   1.0        10.3–10.5     base  1.61 ms        –    9.6   2e-16   3e-15   301 MB   1.00
torch.compiled            43.0   1.0        42.6–43.4     4.13   21.4 s    never    2.3   2e-16   3e-15   301 MB   1.00
jax.grad                 2,532   1.0      2,507–2,557      243        –        –      –       –       –        –      –"""  # noqa: E501 - as wide as it is


def test_narrow():
    """Eighty columns: the fastest first, one table, the legend, the harness."""
    assert "\n".join(lines(RUN, width=80)) == NARROW


def test_wide():
    """With more room, more facts, and two spaces between them."""
    assert "\n".join(lines(RUN, width=120)[:7]) == WIDE


def test_ascii():
    """The same for a terminal that has no other characters."""
    plain = "\n".join(lines(RUN, width=80, ascii_only=True))
    expected = NARROW.translate(str.maketrans({"–": "-", "×": "x", "µ": "u"})).splitlines()[:7]
    assert plain.splitlines()[:7] == [line.replace("  ±%", " +-%") for line in expected]
    assert plain.isascii()


def test_legend_is_short():
    """Six lines at most at 80 columns; wider terminals, which show more, take no more."""
    records = [measured("numpy.by_hand", 1e-5, 1)], [measured("a.b", 1e-5, 1, device_memory_peak_bytes=1)]
    for width in range(80, 200):
        for ascii_only in (False, True):
            for of_one in records:
                printed = lines(of_one, width=width, ascii_only=ascii_only)
                assert len(printed[printed.index("") + 1 :]) <= 6


@pytest.mark.parametrize("records", [[], [record(part="forward"), record(part="backward")]])
def test_nothing_timed(records):
    """Without whole steps there is no line."""
    assert lines(records) == []


def test_untimed_are_last_and_ties_keep_their_order():
    """Equal times stand as they were recorded."""
    labels = ["b.x", "a.x", "d.x", "c.x"]
    records = [record(label, problem="unknown") for label in labels]
    records[0]["stats"] = {}
    assert [line.split()[0] for line in lines(records)[2:6]] == ["a.x", "d.x", "c.x", "b.x"]


def test_a_table_for_each_problem_device_and_dtype():
    """In the order in which they were recorded, each with the unit that suits it."""
    records = [
        record(step_s=3),
        record("torch.autograd", device="cuda"),
        record("numpy.operator", problem="matmul_64x64x64", step_s=2e-3, steps=1, threads=None),
        record(dtype="float32"),
    ]
    printed = lines(records)
    heads = [line.split()[1] for line in printed if line.startswith("style")]
    assert heads == ["s/step", "µs/step", "ms/step", "µs/step"]
    assert [line for line in printed if " per call" in line] == [
        "polynomial_degree4, cpu, float64: 50 steps per call, 1 thread",
        "polynomial_degree4, cuda, float64: 50 steps per call, 1 thread; base:",
        "matmul_64x64x64, cpu, float64: 1 step per call",
        "polynomial_degree4, cpu, float32: 50 steps per call, 1 thread",
    ]


def test_device_memory_if_a_device_was_used():
    """A wider terminal shows it first; without a device there is no column of dashes."""
    on_cpu, on_cuda = (
        measured("numpy.by_hand_inplace", 1e-6, 1, problem="unknown", device_memory_peak_bytes=size)
        for size in (None, 97e6)
    )
    assert not any("device" in line for line in lines([on_cpu], width=200))
    assert "device" not in lines([on_cuda], width=80)[1]
    printed = lines([on_cpu, on_cuda], width=88)
    assert printed[1].endswith(" memory  device")
    assert printed[2].endswith(" 301 MB       –")
    assert printed[3].endswith(" 301 MB 97.0 MB")


def test_long_names_are_cut_only_if_they_must():
    """The longest names of today fit into 80 columns; a longer one is cut there, but not on 90 columns."""
    longest, longer = "tensorflow.elementwise", "tensorflow.elementwise_by_hand"
    assert lines([record(longest, problem="unknown")])[2].startswith(f"{longest} ")
    assert lines([record(longer, problem="unknown")])[2].startswith("tensorflow.elementwis… ")
    assert lines([record(longer, problem="unknown")], ascii_only=True)[2].startswith("tensorflow.elementwi.. ")
    assert lines([record(longer, problem="unknown")], width=90)[2].startswith(f"{longer} ")


def test_control_characters_do_not_reach_the_terminal():
    """A file may hold anything."""
    printed = lines([record("numpy.\x1b[2J\nx", problem="\x1b]0;y\x07", device="ü", dtype=["a", 1])])
    assert all(line.isprintable() for line in printed)
    assert printed[0].startswith("?]0;y?, ü, ['a', 1]:")


def test_names_beyond_ascii_stay_distinct():
    """A record keeps its names; where a terminal cannot show a character, it is escaped."""
    records = [record(f"numpy.{style}", problem="größe") for style in ("漢", "字")]
    printed = lines(records)
    assert printed[0].startswith("größe, cpu,")
    assert [line.split()[0] for line in printed[2:4]] == ["numpy.漢", "numpy.字"]
    printed = lines(records, ascii_only=True)
    assert printed[0].startswith(r"gr\xf6\xdfe, cpu,")
    assert [line.split()[0] for line in printed[2:4]] == [r"numpy.\u6f22", r"numpy.\u5b57"]


def test_control_characters_of_the_harness_line_do_not_reach_the_terminal():
    """It names the shortest case."""
    printed = lines([record("numpy.a\x1b[2J", problem="p\x07"), record("nothing.empty", problem="nothing")])
    assert any("p?-numpy.a?[2J-cpu" in line for line in printed)
    assert all(line.isprintable() for line in printed)


@pytest.mark.parametrize("value", [-1, -1e-300, float("nan"), float("inf"), 10**400, True, "3", None, [3]])
def test_impossible_facts_are_not_shown(value):
    """A dash for it: nothing that was measured is negative, endless or a text."""
    facts = dict.fromkeys((*FACTS, "threads"), value)
    printed = lines([record("numpy.by_hand", problem="unknown", **facts)], width=118)
    assert printed[0] == "unknown, cpu, float64: 50 steps per call; no baseline"
    assert printed[2].split() == ["numpy.by_hand", "10.0", "1.0", "9.90–10.1", *"––––––––"]
    spoilt = record("numpy.by_hand", problem="unknown")
    spoilt["stats"] = dict.fromkeys(spoilt["stats"], value)
    spoilt["extra_info"]["steps"] = value
    printed = lines([spoilt])
    assert printed[0] == "unknown, cpu, float64: – steps per call, 1 thread; no baseline"
    assert set(printed[2].split()[1:]) == {"–"}


def test_widest_cells_fill_their_columns():
    """One space before each, at the least width that holds all columns: none is wider, and no room is wasted."""
    widest = record(
        "tensorflow.elementwise",
        step_s=1.08e-9,
        steps=1,
        first_call_s=9.89e-3,
        peak_fraction=1e-6,
        gradient_error=1e-300,
        trajectory_error=1e-300,
        memory_peak_bytes=1.23e9,
        device_memory_peak_bytes=1.23e9,
        cpu_per_wall=99.99,
    )
    widest["stats"]["iqr"] = 2e-6
    slower = [record("jax.grad", step_s=2e-6, steps=1), record("jax.vmap", step_s=2e-6, steps=1)]
    printed = lines([widest, record(step_s=0.9e-6, steps=1, first_call_s=0.9e-6), *slower], width=117)
    cells = "0.00108 >999 0.00107–0.00109 0.00120 9.89 ms ~11,003 <0.01 1e-300 1e-300 1.23 GB 1.23 GB 99.99"
    assert printed[2] == f"tensorflow.elementwise {cells}"
    assert len(printed[2]) == 117


anything = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.integers(0, 1000).map(lambda exponent: 10**exponent)
    | st.text(max_size=40)
    | st.lists(st.integers(), max_size=2)
    | st.just({})
)
sizes = st.floats(0, allow_infinity=False) | st.builds(lambda e: 9.9996 * 10.0**e, st.integers(-15, 15))


@st.composite
def records_of_all_kinds(draw):
    """Return one record with every fact, of any size, and then with up to four of its entries lost or spoilt."""
    found = record(
        draw(st.sampled_from(["numpy.by_hand", "jax.scan", "tensorflow.elementwise", "torch." + "x" * 300])),
        problem=draw(st.sampled_from([*BASELINES, "nothing", "y" * 300])),
        device=draw(st.sampled_from(["cpu", "cuda"])),
        steps=draw(st.integers(1, 10**6)),
        **{fact: draw(sizes) for fact in FACTS},
    )
    found["stats"] = {name: draw(sizes) for name in ("median", "iqr", "q1", "q3")}
    places = st.sampled_from([found["stats"], found["extra_info"], found])
    for entries, at in draw(st.lists(st.tuples(places, st.integers(0, 20)), max_size=4)):
        name = sorted(entries)[at % len(entries)]
        entries[name] = draw(anything)
        if draw(st.booleans()) and len(entries) > 1:
            del entries[name]
    return found


runs_of_all_kinds = st.lists(records_of_all_kinds(), max_size=6)


@given(runs_of_all_kinds, st.integers(80, 200), st.booleans())
def test_every_line_fits_and_nothing_breaks_it(records, width, ascii_only):
    """Whatever the records hold: no exception, no line too long, no character that may not be shown."""
    printed = lines(records, width=width, ascii_only=ascii_only)
    assert all(len(line) <= width for line in printed)
    assert all(line.isprintable() for line in printed)
    assert not ascii_only or "".join(printed).isascii()
    assert len(compared(records)) == len(records)


@given(runs_of_all_kinds, st.integers(80, 200))
def test_columns_are_aligned(records, width):
    """Below the end of each head, each line has the end of its cell, and after it a space."""
    printed = lines(records, width=width)
    heads = [line for line in printed if re.match(r"style +([nµm]?s|h)/step ", line)]
    assert len(set(map(len, heads))) <= 1
    for at, line in enumerate(printed):
        if line not in heads:
            continue
        ends = [found.end() for head in HEADS if (found := re.search(rf" ({head})(?= |$)", line))]
        assert ends[-1] == len(line)
        cells = printed[at + 1 : printed.index("", at)]
        assert cells
        for row in cells:
            assert len(row) == len(line)
            for end in ends:
                assert row[end - 1] != " "
                assert (row + " ")[end] == " "


@given(st.permutations(RUN))
def test_a_table_is_sorted_by_time(records):
    """Whatever the order in which the styles were timed."""
    printed = lines(records)
    assert [line.split()[0] for line in printed[2:7]] == [
        "jax.scan",
        "numpy.by_hand_inplace",
        "numpy.by_hand",
        "torch.compiled",
        "jax.grad",
    ]


# --- Beside the baseline


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
    assert lines([on_cuda], width=110)[0].endswith("; the baseline, numpy.by_hand, was not timed")
    assert lines([record(problem="unknown")])[0].endswith("; no baseline")


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
    once_s = max(0, Fraction(cost.first_call_s) - cost.steps * (Fraction(cost.call_s) / cost.steps))
    return once_s + steps * Fraction(cost.call_s) / cost.steps


whole_seconds = st.builds(Cost, call_s=st.integers(1, 12), steps=st.integers(1, 4), first_call_s=st.integers(1, 30))


@given(whole_seconds, whole_seconds)
@example(Cost(2, 1, 10), Cost(3, 1, 3))  # 8 + 2n < 3n from 9 on, not from 8
@example(Cost(3, 1, 3), Cost(2, 1, 10))  # leads at first, then overtaken
@example(Cost(4, 2, 9), Cost(2, 1, 7))  # the same line
@example(Cost(6, 1, 1), Cost(6, 1, 6))  # a lucky first call is no gift: a tie
@example(Cost(1, 1, 10), Cost(1, 1, 11))  # as fast, and cheaper at once
def test_break_even_is_what_counting_finds(style, baseline):
    """Steps are counted up to where the lines must have crossed: at most 29 s apart, 1/12 s per step nearer."""
    last = 29 * 12 + 1
    ahead = [total_s(style, n) < total_s(baseline, n) for n in range(1, last + 1)]
    behind_at = max((n for n, leads in enumerate(ahead, 1) if not leads), default=0)
    assert break_even(style, baseline) == ("never" if behind_at == last else behind_at + 1)


seconds = st.floats(1e-9, 1e5)
costs = st.builds(Cost, call_s=seconds, steps=st.integers(1, 10**6), first_call_s=seconds)


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


# --- The harness


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


# --- Quantities


@pytest.mark.parametrize(
    ("write", "value", "text"),
    [
        (quantities.number, 0.0, "0"),
        (quantities.number, 0.000999, "1.0e-3"),
        (quantities.number, 0.0009996, "0.00100"),
        (quantities.number, 0.09342, "0.0934"),
        (quantities.number, 0.99951, "1.00"),
        (quantities.number, 2531.7, "2,532"),
        (quantities.number, 999_999.4, "999,999"),
        (quantities.number, 1e6, "1.0e6"),
        (quantities.number, 1e100, ">1e99"),
        (quantities.number, float("inf"), ">1e99"),
        (quantities.number, 1e-300, "<1e-99"),
        (quantities.duration, 0.0, "0 ns"),
        (quantities.duration, 4.3e-8, "43.0 ns"),
        (quantities.duration, 1e-12, "<1 ns"),
        (quantities.duration, 999.6e-6, "1.00 ms"),
        (quantities.duration, 5400, "5,400 s"),
        (quantities.duration, 36_000, "10.0 h"),
        (quantities.duration, 1e9, ">999 h"),
        (quantities.memory, 512, "512 B"),
        (quantities.memory, 1.2e12, "1.20 TB"),
        (quantities.percent_number, 0.0, "0"),
        (quantities.percent_number, 0.0004, "<0.1"),
        (quantities.percent_number, 0.0996, "10"),
        (quantities.percent_number, 0.1234, "12"),
        (quantities.percent_number, 1e9, ">999"),
        (quantities.magnitude, 2.06e-8, "2e-8"),
        (quantities.magnitude, 0.0, "0"),
        (quantities.count, 999_999, "999,999"),
        (quantities.count, 11_820_000, "1.2e7"),
        (quantities.count, 10**600, ">1e99"),
    ],
)
def test_quantities(write, value, text):
    """Three digits, and the seams between the ways of writing them."""
    assert write(value) == text


def test_percent_with_two_decimals():
    """For shares, of which there may be very little."""
    printed = [quantities.percent_number(share, 2) for share in (0.00001, 0.0004, 0.004, 0.04, 0.4, 1)]
    assert printed == ["<0.01", "0.04", "0.4", "4.0", "40", "100"]


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (7e6, ">999 %"),
        (9.99, "999 %"),
        (1.1, "110 %"),
        (0.123, "12 %"),
        (0.0996, "10 %"),
        (0.0994, "9.9 %"),
        (0.001, "0.1 %"),
        (0.0005, "0.05 %"),
        (0, "0 %"),
    ],
)
def test_percent(share, text):
    """With the sign, for sentences."""
    assert quantities.percent(share) == text


UNITS = {unit.name: unit.size for unit in quantities.TIMES + quantities.MEMORIES}


@given(st.floats(0, 1e307) | st.sampled_from([999.5e-9, 0.9995e-3, 999.5, 9999.5, 0.9995e9]) | st.floats(1e-9, 1e9))
def test_quantities_fit_and_say_what_they_mean(value):
    """No wider than stated, and, unless it is a bound, within half a unit of the last digit."""
    for write, most, digits in (
        (quantities.number, 7, 2),
        (quantities.duration, 7, 3),
        (quantities.memory, 7, 3),
        (quantities.percent_number, 4, 0),
        (quantities.magnitude, 6, 1),
    ):
        text = write(value)
        assert len(text) <= most
        if text[0] not in "<>" and write is not quantities.percent_number:
            amount, _, unit = text.replace(",", "").partition(" ")
            meant = float(amount) * UNITS.get(unit, 1)
            assert meant == pytest.approx(value, rel=0.51 * 10.0 ** (1 - digits))


@given(st.integers(1, 10**120))
def test_counts_fit(whole):
    """A break-even has no bound; its cell has."""
    assert len(quantities.count(whole)) <= 7
    assert len("~" + quantities.count(whole, most=6)) <= 7


# --- A recorded run


def store(file, records=(), **keys):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"benchmarks": list(records), **keys}))
    return file


@pytest.fixture
def shown(monkeypatch, capsys):
    """Return ``shown(path)``: what the command prints on 100 columns."""
    monkeypatch.setenv("COLUMNS", "100")

    def show_path(path):
        assert show.show_run(argparse.Namespace(run=path)) == 0
        return capsys.readouterr()

    return show_path


def test_show_a_file(tmp_path, shown):
    """The name, when and where it was recorded, and the table that a live run prints."""
    when = "2026-11-21T23:30:23.682711+01:00"
    file = store(tmp_path / "0001_x.json", RUN, datetime=when, machine_info={"cpu_model": "AMD EPYC"})
    out = shown(file).out.splitlines()
    assert out[0] == f"{file}, recorded 2026-11-21 22:30 UTC, on AMD EPYC"
    assert out[2:] == lines(RUN, width=100, baseline_of=problems.baseline_of)
    assert any("base" in line for line in out[3:8])


def test_show_the_newest_of_a_folder(tmp_path, shown):
    """By the date inside, not by name: numbers start again in every folder."""
    store(tmp_path / "Linux" / "0009_x.json", RUN, datetime="2026-11-21T00:00:00")
    newest = store(tmp_path / "tox" / "Linux" / "0001_x.json", RUN, datetime="2026-11-22T00:00:00+00:00")
    store(tmp_path / "zzz.json", RUN)
    (tmp_path / "cut.json").write_text('{"benchmarks": [')
    printed = shown(tmp_path)
    assert printed.out.startswith(f"{newest}, recorded 2026-11-22 00:00 UTC\n")
    assert (
        printed.err
        == f"gradperf: left out: {tmp_path / 'cut.json'}: not JSON at line 1, column 17: Expecting value\n"
    )


def test_show_a_run_of_an_older_version(tmp_path, shown):
    """A dash for each fact that it lacks."""
    records = [
        {"fullname": "perf/test_training.py::test_training[a-b.c-cpu-float64]", "stats": {"median": 1e-5}},
        {"extra_info": {"problem": "tiny_3x2x1", "framework": "numpy", "style": "by_hand"}},
        {},
    ]
    out = shown(store(tmp_path / "old.json", records, machine_info=None, datetime=7)).out
    assert re.search(r"test_training\[a-b\.c-cpu-float64\] +–", out)
    assert "tiny_3x2x1, –, –: – steps per call\n" in out
    assert re.search(r"numpy\.by_hand +– +– +base +–", out)


def test_show_a_run_without_tables(tmp_path, shown):
    """A sentence instead of a table."""
    file = store(tmp_path / "x.json", [record(part="forward")])
    assert shown(file).out == f"{file}\n\nthis run timed nothing that a table shows\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "not JSON at line 1, column 1"),
        (b'{"benchmarks": [{}, ', "not JSON at line 1, column 21"),
        (b"\xff\xfe\xfd", "not JSON that can be read: UnicodeDecodeError"),
        (b"[" * 100_000, "not JSON that can be read: RecursionError"),
        (b"[]", "not a recorded run: it has no key 'benchmarks'"),
        (b'{"steps": 3}', "not a recorded run: it has no key 'benchmarks'"),
        (b'{"benchmarks": {}}', "'benchmarks' is not a list"),
        (b'{"benchmarks": [{}, 3]}', r"benchmarks\[1\] is not an object"),
    ],
)
def test_show_refuses_what_is_no_run(tmp_path, text, message):
    """One message names the file and what is wrong in it."""
    file = tmp_path / "bad.json"
    file.write_bytes(text)
    with pytest.raises(UserError, match=rf"bad\.json: {message}"):
        storage.read(file)
    with pytest.raises(UserError, match=rf"there is no recorded run in it\n  .*bad\.json: {message}"):
        storage.newest(tmp_path)


def test_show_refuses_a_record_of_a_later_schema(tmp_path):
    """Its facts may mean something else; this schema and none are read."""
    for run in ({}, {"gradperf": {}}, {"gradperf": {"schema": 1}}, {"gradperf": {"schema": "2"}}):
        assert len(storage.read(store(tmp_path / "run.json", RUN, **run)).benchmarks) == len(RUN)
    with pytest.raises(UserError, match=r"run\.json: has schema 2, from a later gradperf"):
        storage.read(store(tmp_path / "run.json", RUN, gradperf={"schema": 2}))


def test_show_refuses_what_is_not_there(tmp_path):
    """A folder without runs, and no file at all."""
    with pytest.raises(UserError, match="there is no recorded run in it"):
        storage.newest(tmp_path)
    with pytest.raises(UserError, match=r"no\.json: cannot be read: No such file or directory"):
        show.show_run(argparse.Namespace(run=tmp_path / "no.json"))


def test_show_in_ascii(tmp_path):
    """For an output that cannot hold the signs; names of files are held to it too."""
    run = storage.read(store(tmp_path / "µ\x1b.json", RUN))
    printed = show.lines(run, Terminal(80, ascii_only=True))
    assert printed[0].endswith("/??.json")
    assert "".join(printed).isascii()
    assert show.lines(run, Terminal(80))[0].endswith("/µ?.json")
    assert [printable.encodes(name, "±") for name in ("utf-8", "latin-1", "ascii", "nonsense", None)] == [
        True,
        True,
        False,
        False,
        False,
    ]


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


def test_cases_that_waited_for_a_cpu_are_counted():
    """Only those on the CPU: one that uses a GPU may well wait for it."""
    records = [
        record("numpy.by_hand", cpu_per_wall=1.0),
        record("torch.autograd", cpu_per_wall=0.6),
        record("jax.jit", device="cuda", cpu_per_wall=0.1),
    ]
    printed = " ".join(line.strip() for line in lines(records))
    assert "1 of 2 cases waited for a CPU" in printed
    assert "waited for a CPU" not in " ".join(lines(records[:1]))
