"""The table at the end of a run: every line fits, any record can be shown, and the numbers are right."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.records import BASELINES, RUN, compared, lines, measured, record

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
    "rank",
    "× base",
    "since then",
    "visible",
    "steps",
    "call",
    "first",
    "even at",
    "peak%",
    "error",
    "path",
    "memory",
    "device",
    "cores",
)

NARROW = """\
polynomial_degree4, cpu, float64, 1 thread
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
polynomial_degree4, cpu, float64, 1 thread
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
    assert [line for line in printed if ", float" in line] == [
        "polynomial_degree4, cpu, float64, 1 thread",
        "polynomial_degree4, cuda, float64, 1 thread; base:",
        "matmul_64x64x64, cpu, float64",
        "polynomial_degree4, cpu, float32, 1 thread",
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
    assert printed[0].startswith("?]0;y?, ü, ['a', 1],")


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
    assert printed[0] == "unknown, cpu, float64; no baseline"
    assert printed[2].split() == ["numpy.by_hand", "10.0", "1.0", "9.90–10.1", *"––––––––"]
    spoilt = record("numpy.by_hand", problem="unknown")
    spoilt["stats"] = dict.fromkeys(spoilt["stats"], value)
    spoilt["extra_info"]["steps"] = value
    printed = lines([spoilt])
    assert printed[0] == "unknown, cpu, float64, 1 thread; no baseline"
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
    assert "asked for" not in printed


def test_several_threads_that_were_not_had_are_told():
    """A CPU second per second is not enough for two threads. What they waited for counts, whatever they used."""
    waits = (
        record("numpy.by_hand", threads=2, cpu_per_wall=1.4, wait_per_wall=0.5),
        record("torch.autograd", threads=2, cpu_per_wall=0.7, wait_per_wall=0.05),  # for each other
        record("jax.jit", threads=2, cpu_per_wall=0.7),  # not known how long they were ready
    )
    printed = " ".join(line.strip() for line in lines(waits))
    assert "2 of 3 cases waited for a CPU" in printed
    assert "they did not have the threads that were asked for" in printed
    assert "waited for a CPU" not in " ".join(lines(waits[1:2]))
