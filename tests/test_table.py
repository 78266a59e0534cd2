"""The table at the end of a run: every line fits, any record can be shown, and the numbers are right."""

import itertools
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
    "rank",
    "× base",
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
style                 µs/step   ±%  rank × base   first even at peak%  memory
jax.scan                0.971  1.0     1 0.0934  312 ms  32,969   103  301 MB
numpy.by_hand_inplace    3.03  1.0     2  0.291 1.20 ms       1    33  301 MB
numpy.by_hand            10.4  1.0     3   base 1.61 ms       –   9.6  301 MB
torch.compiled           43.0  1.0     4   4.13  21.4 s   never   2.3  301 MB
jax.grad                2,532  1.0     5    243       –       –     –       –

time per step: fastest of several moments, less the cost of a call; ±%: half its
interval; rank: 1 + the styles faster for sure; × base: multiple of the
baseline's time; first: preparing and first call, fresh process, no imports;
even at: steps from which it beats the baseline, all costs counted; peak%: share
of this machine's best speed; memory: growth of the process

harness: an empty style takes 43.0 ns per call, 0.09 % of the shortest case here
  (polynomial_degree4-jax.scan-cpu-float64)"""

WIDE = """\
polynomial_degree4, cpu, float64, 1 thread
style                  µs/step    ±%   rank  × base  steps     call    first  even at  peak%   error    path   memory  cores
jax.scan                 0.971   1.0      1  0.0934   50/5  2.00 µs   312 ms   32,969    103   2e-16   3e-15   301 MB   1.00
numpy.by_hand_inplace     3.03   1.0      2   0.291   50/5  2.00 µs  1.20 ms        1     33   2e-16   3e-15   301 MB   1.00
numpy.by_hand             10.4   1.0      3    base   50/5  2.00 µs  1.61 ms        –    9.6   2e-16   3e-15   301 MB   1.00
torch.compiled            43.0   1.0      4    4.13   50/5  2.00 µs   21.4 s    never    2.3   2e-16   3e-15   301 MB   1.00
jax.grad                 2,532   1.0      5     243   50/5  2.00 µs        –        –      –       –       –        –      –"""  # noqa: E501 - as wide as it is

THEN = [
    measured("numpy.by_hand", 13.2e-6, 0.00161),
    measured("tensorflow.elementwise", 2.9e-6, 0.2),
    measured("torch.compiled", 37e-6, 21.4),
    measured("jax.scan", 0.98e-6, 0.312, schema=1),
]
NOW = [
    measured("numpy.by_hand", 10.4e-6, 0.00161),
    measured("tensorflow.elementwise", 3.03e-6, 0.2),
    measured("torch.compiled", 43e-6, 21.4),
    measured("torch.function", 43.4e-6, 0.5),
    measured("jax.scan", 0.971e-6, 0.312),
]
"""Two runs: one style faster, one slower, one with nothing seen, a new one, and one whose error is not known."""

COMPARED = """\
polynomial_degree4, cpu, float64, 1 thread
style                  µs/step   ±%  rank × base now / then              visible
jax.scan                 0.971  1.0     1 0.0934 0.99 ±?                       –
tensorflow.elementwise    3.03  1.0     2  0.291 1.04 (1.02–1.07) SLOWER     2.6
numpy.by_hand             10.4  1.0     3   base 0.79 (0.77–0.81) FASTER     2.6
torch.compiled            43.0  1.0     4   4.13 1.16 (1.13–1.19) SLOWER     2.6
torch.function            43.4  1.0     4   4.17 new                           –

time per step: fastest of several moments, less the cost of a call; ±%: half its
interval; rank: 1 + the styles faster for sure; × base: multiple of the
baseline's time; now / then: ratio, interval (no word: nothing seen; ±?: error
unknown); visible: slowdown in % likely to be seen"""


def test_narrow():
    """Eighty columns: the fastest first, one table, the legend, the harness."""
    assert "\n".join(lines(RUN, width=80)) == NARROW


def test_wide():
    """With more room, more facts, and two spaces between them."""
    assert "\n".join(lines(RUN, width=125)[:7]) == WIDE


def test_ascii():
    """The same for a terminal that has no other characters."""
    plain = "\n".join(lines(RUN, width=80, ascii_only=True))
    expected = NARROW.translate(str.maketrans({"–": "-", "×": "x", "µ": "u"})).splitlines()[:7]
    assert plain.splitlines()[:7] == [line.replace("  ±%", " +-%") for line in expected]
    assert plain.isascii()


def test_compared():
    """Eighty columns: the ratio to the run before, with its interval; what is slower or faster stands out."""
    assert "\n".join(lines(NOW, then=THEN)) == COMPARED


def test_compared_in_ascii():
    """The same for a terminal that has no other characters."""
    plain = lines(NOW, then=THEN, ascii_only=True)
    signs = str.maketrans({"–": "-", "×": "x", "µ": "u", "±": "+"})
    assert [line.replace("+-%", " +%").replace("+-?", "+?").split() for line in plain[:7]] == [
        line.split() for line in COMPARED.translate(signs).splitlines()[:7]
    ]
    assert "".join(plain).isascii()


def test_compared_wide():
    """A wider terminal adds the columns of the run itself, after those of the comparison."""
    printed = lines(NOW, width=160, then=THEN)
    assert re.fullmatch(r"style .* now / then +visible +steps +call +first .* cores", printed[1])
    for wide, narrow in zip(printed[2:7], COMPARED.splitlines()[2:7], strict=True):
        assert wide.split()[: len(narrow.split())] == narrow.split()


def test_nothing_but_the_verdict_stands_out():
    """A case in which nothing was seen has no word, whatever its ratio."""
    then = [record("numpy.by_hand", step_error=0.06), record("jax.jit", step_error=0.005)]
    now = [
        record("numpy.by_hand", step_s=1.2e-5, step_error=0.06),
        record("jax.jit", step_s=1.2e-5, step_error=0.005),
    ]
    noisy, clear = sorted(lines(now, then=then)[2:4], reverse=True)
    assert "1.20 (0.96–1.50) " in noisy
    assert "SLOWER" not in noisy
    assert "1.20 (1.17–1.23) SLOWER " in clear


def test_an_interval_is_rounded_outwards():
    """A bound of 1.00 beside no word would look like a change that is not told."""
    change = lines([record(step_s=1.0165e-5)], then=[record()])[2]
    assert "1.02 (0.99–1.04)" in change
    assert "SLOWER" not in change
    assert "1.02 (1.00–1.04) SLOWER" in lines([record(step_s=1.0195e-5)], then=[record()])[2]


def test_styles_that_cannot_be_told_apart_share_a_rank():
    """The rank is 1 plus the number of styles that are faster for sure."""
    times_s = {"a.x": 1.0e-5, "b.x": 1.005e-5, "c.x": 1.2e-5, "d.x": 1.21e-5, "e.x": 2e-5}
    for width, ascii_only in ((80, False), (80, True), (140, False)):
        records = [record(label, problem="unknown", step_s=step_s) for label, step_s in times_s.items()]
        printed = lines(records, width=width, ascii_only=ascii_only)
        assert [line.split()[3] for line in printed[2:7]] == ["1", "1", "3", "3", "5"]
        assert "noisy" not in "".join(printed)


def test_a_disturbed_row_says_so():
    """It has no rank, takes none from the others, and the legend explains the word."""
    records = [
        record("a.x", problem="unknown", step_error=0.2),
        record("b.x", problem="unknown", step_s=2e-5),
        record("c.x", problem="unknown", step_s=3e-5, step_error=None),
    ]
    for width, ascii_only, then in itertools.product((80, 140), (False, True), (None, records)):
        printed = lines(records, width=width, ascii_only=ascii_only, then=then)
        nothing = "-" if ascii_only else "–"
        assert [line.split()[3] for line in printed[2:5]] == ["noisy", "1", nothing]
        assert "(noisy: too disturbed)" in " ".join(printed)


def test_without_its_baseline_the_fastest_of_each_table_is_1():
    """The title says so, and the other rows are multiples of it."""
    records = [record("torch.autograd", step_s=3e-5), record("jax.scan", step_s=2e-5)]
    records.append(record("torch.autograd", step_s=5e-5, device="cuda"))
    printed = lines(records, width=110)
    assert printed[0].endswith("the baseline, numpy.by_hand, was not timed, so the fastest is 1")
    rows = [line.split() for line in printed if line.startswith(("jax.scan ", "torch.autograd "))]
    assert [(row[0], row[4]) for row in rows] == [
        ("jax.scan", "1"),
        ("torch.autograd", "1.50"),
        ("torch.autograd", "1"),
    ]
    assert "× base: multiple of the fastest's time;" in " ".join(printed)


def test_a_record_without_moments_says_what_its_times_are():
    """Schema 1: the median call and its quartiles, and no rank, as no error is known."""
    old = [measured("numpy.by_hand", 1e-5, 1, schema=1), measured("jax.scan", 1e-6, 1, schema=1)]
    printed = lines(old)
    assert [line.split()[:5] for line in printed[2:4]] == [
        ["jax.scan", "1.00", "1.0", "–", "0.100"],
        ["numpy.by_hand", "10.0", "1.0", "–", "base"],
    ]
    assert legend(printed)[0].startswith(
        "time per step: median call / its steps; ±%: half the interquartile range;"
    )
    assert "moments" not in " ".join(printed)


def test_a_column_of_dashes_is_left_out():
    """As of first calls that were not measured; a single fact brings it back."""
    printed = lines([record(), record("jax.scan")])
    assert printed[1].split() == ["style", "µs/step", "±%", "rank", "×", "base"]
    assert "even at" not in " ".join(printed)
    assert " first " in lines([measured("numpy.by_hand", 1e-5, 1), record("jax.scan")])[1]


def legend(printed):
    """Return the lines between the first table and what follows its legend."""
    rest = printed[printed.index("") + 1 :]
    return rest[: rest.index("")] if "" in rest else rest


def test_legend_is_short():
    """Six lines at most at 80 columns; wider terminals, which show more, take no more. Nor does a comparison."""
    for label, device_bytes in itertools.product(("a.b", "numpy.by_hand", "tensorflow.elementwise"), (None, 1)):
        for schema, error in ((1, 0.005), (2, 0.005), (2, 0.2)):
            one = [measured(label, 1e-5, 1, device_memory_peak_bytes=device_bytes, schema=schema, step_error=error)]
            for width, ascii_only, then in itertools.product(range(80, 200), (False, True), (None, [], one)):
                assert len(legend(lines(one, width=width, ascii_only=ascii_only, then=then))) <= 6


@pytest.mark.parametrize("records", [[], [record(part="forward"), record(part="backward")]])
def test_nothing_timed(records):
    """Without whole steps there is no line."""
    assert lines(records) == []


def test_untimed_are_last_and_ties_keep_their_order():
    """Equal times stand as they were recorded."""
    labels = ["b.x", "a.x", "d.x", "c.x"]
    records = [record(label, problem="unknown") for label in labels]
    records[0] = record("b.x", problem="unknown", schema=1)
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
        "polynomial_degree4, cuda, float64, 1 thread; base: numpy.by_hand on cpu",
        "matmul_64x64x64, cpu, float64",
        "polynomial_degree4, cpu, float32, 1 thread",
    ]


def test_device_memory_if_a_device_was_used():
    """A wider terminal shows it; without a device there is no column of dashes."""
    baseline, on_cpu, on_cuda = (
        measured(label, 1e-6, 1, device_memory_peak_bytes=size)
        for label, size in (("numpy.by_hand", None), ("jax.scan", None), ("numpy.by_hand_inplace", 97e6))
    )
    assert not any("device" in line for line in lines([baseline, on_cpu], width=200))
    assert "device" not in lines([baseline, on_cuda], width=84)[1]
    printed = lines([baseline, on_cuda], width=85)
    assert printed[1].endswith(" memory  device")
    assert printed[2].endswith(" 301 MB       –")
    assert printed[3].endswith(" 301 MB 97.0 MB")


def test_long_names_are_cut_only_if_they_must():
    """The longest names of today fit into 80 columns, with a comparison too; a longer one is cut there alone."""
    longest, longer = "tensorflow.elementwise", "tensorflow.elementwise_by_hand_too"

    def shown(label, then=(), **options):
        then = [measured(label, 1.1e-5, 1, problem="unknown")] if then is None else None
        return lines([measured(label, 1e-5, 1, problem="unknown")], then=then, **options)[2]

    assert shown(longest).startswith(f"{longest} ")
    for ascii_only in (False, True):
        row = shown(longest, then=None, ascii_only=ascii_only)
        assert row.startswith(f"{longest} ")
        assert row.endswith("FASTER     2.3")
        assert len(row) == 80
    assert shown(longer, then=None).startswith("tensorflow.elementwise_by_han… ")
    assert shown(longer, then=None, ascii_only=True).startswith("tensorflow.elementwise_by_ha.. ")
    assert shown(longer, then=None, width=90).startswith(f"{longer} ")


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
    impossible = record("numpy.by_hand", problem="unknown")
    impossible["extra_info"] |= dict.fromkeys((*FACTS, "threads", "call_s", "steps", "short_steps"), value)
    whole = measured("numpy.whole", 2e-5, 1, problem="unknown", threads=None, device_memory_peak_bytes=1)
    printed = lines([impossible, whole], width=135)
    assert printed[0] == "unknown, cpu, float64; no baseline, so the fastest is 1"
    heads = ["steps", "call", "first", "peak%", "error", "path", "memory", "device", "cores"]
    assert printed[1].split()[-9:] == heads
    assert printed[2].split() == ["numpy.by_hand", "10.0", "1.0", "1", "1", *"–––––––––"]
    assert "–" not in printed[3]
    spoilt = record("numpy.by_hand", problem="unknown", schema=1)
    spoilt["stats"] = dict.fromkeys(spoilt["stats"], value)
    spoilt["extra_info"] |= dict.fromkeys(("step_s", "step_interval_s", "step_error", "steps", "moments"), value)
    printed = lines([spoilt])
    assert printed[0] == "unknown, cpu, float64, 1 thread; no baseline, so the fastest is 1"
    assert printed[2].split() == ["numpy.by_hand", *"––––"]


def test_widest_cells_fill_their_columns():
    """One space before each, at the least width that holds all columns: none is wider, and no room is wasted."""
    widest = record(
        "tensorflow.elementwise",
        step_s=1.08e-9,
        step_interval_s=[1e-9, 2e-6],
        step_error=0.5,
        call_s=9.89e-3,
        steps=1,
        first_call_s=9.89e-3,
        peak_fraction=1e-6,
        gradient_error=1e-300,
        trajectory_error=1e-300,
        memory_peak_bytes=1.23e9,
        device_memory_peak_bytes=1.23e9,
        cpu_per_wall=99.99,
    )
    others = [record("jax.grad", step_s=2e-6, steps=1), record("jax.vmap", step_s=2e-6, steps=1)]
    others.append(record(step_s=0.9e-6, steps=1, first_call_s=0.9e-6))
    ours = "tensorflow.elementwise 0.00108 >999 noisy 1.2e-3"
    cells = "  1/5 9.89 ms 9.89 ms ~11,003 <0.01 1e-300 1e-300 1.23 GB 1.23 GB 99.99"
    printed = lines([widest, *others], width=120)
    assert printed[2] == f"{ours} {cells}"
    assert len(printed[2]) == 120
    then = [record("tensorflow.elementwise", step_s=1e-9), record(step_s=0.9e-9)]
    printed = lines([widest, *others], width=151, then=then)
    assert printed[2] == f"{ours} 1.08 (0.29–3.92)           452 {cells}"
    assert printed[3].split("base ")[1].startswith(">999 (976–>999) SLOWER     3.2 ")
    assert len(printed[2]) == 151
    assert len(lines([widest, *others], width=150, then=then)[2]) < 150


@given(st.floats(0, 1e308), st.floats(0, 1e308), st.none() | st.floats(0, 1e308))
def test_a_change_takes_bounded_room(then_s, now_s, error):
    """Whatever two files hold, and the interval never contradicts the word beside it."""
    then, now = (record(step_s=step_s, step_error=error) for step_s in (then_s, now_s))
    row = lines([now], then=[then], width=200)[2]
    assert len(row) <= 200
    if found := re.search(r"(\S+) \((\S+)–(\S+)\)( SLOWER| FASTER)?", row):
        assert all(len(text) <= 5 for text in found.groups()[:3])
        low, high = (float(text.strip("<>")) for text in found.groups()[1:3])
        assert {" SLOWER": low >= 1, " FASTER": high <= 1, None: low < 1 < high or low == high == 1}[found[4]]


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
        schema=draw(st.sampled_from([1, 2])),
        **{fact: draw(sizes) for fact in FACTS},
    )
    if "moments" in found["extra_info"]:
        step_s, width_s = draw(sizes), draw(sizes)
        found["extra_info"] |= {"step_s": step_s, "step_error": draw(sizes), "call_s": draw(sizes)}
        found["extra_info"]["step_interval_s"] = [step_s, step_s + width_s]
    found["stats"] = {name: draw(sizes) for name in ("median", "iqr", "q1", "q3")}
    places = st.sampled_from([found["stats"], found["extra_info"], found])
    for entries, at in draw(st.lists(st.tuples(places, st.integers(0, 20)), max_size=4)):
        name = sorted(entries)[at % len(entries)]
        entries[name] = draw(anything)
        if draw(st.booleans()) and len(entries) > 1:
            del entries[name]
    return found


runs_of_all_kinds = st.lists(records_of_all_kinds(), max_size=6)
earlier = st.none() | runs_of_all_kinds


@given(runs_of_all_kinds, st.integers(80, 200), st.booleans(), earlier)
def test_every_line_fits_and_nothing_breaks_it(records, width, ascii_only, then):
    """Whatever the records hold: no exception, no line too long, no character that may not be shown."""
    printed = lines(records, width=width, ascii_only=ascii_only, then=then)
    assert all(len(line) <= width for line in printed)
    assert all(line.isprintable() for line in printed)
    assert not ascii_only or "".join(printed).isascii()
    assert len(compared(records)) == len(records)


@given(runs_of_all_kinds, st.integers(80, 200), earlier)
def test_columns_are_aligned(records, width, then):
    """Below the end of each head, each line has the end of its cell, and after it a space.

    The changes begin below the beginning of their head.
    """
    printed = lines(records, width=width, then=then)
    heads = [line for line in printed if re.match(r"style +([nµm]?s|h)/step ", line)]
    assert len(set(map(len, heads))) <= 1
    for at, line in enumerate(printed):
        if line not in heads:
            continue
        ends = [found.end() for head in HEADS if (found := re.search(rf" ({head})(?= |$)", line))]
        assert (ends[-1] == len(line)) != line.rstrip().endswith("now / then")
        cells = printed[at + 1 : printed.index("", at)]
        assert cells
        for row in cells:
            assert len(row) == len(line)
            for end in ends:
                assert row[end - 1] != " "
                assert (row + " ")[end] == " "
            if (start := line.find("now / then")) > 0:
                assert row[start - 1] == " " != row[start]


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
