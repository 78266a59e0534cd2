"""``gradperf profile``: time is divided once and completely, what is slow comes first, and the files open."""

import gzip
import importlib.util
import json
import math
import re
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradperf import cases, files, frameworks
from gradperf.checks import agreement
from gradperf.errors import UserError
from gradperf.frameworks import profiling
from gradperf.frameworks.contract import Style
from gradperf.frameworks.profiling import Line, Span, Words
from gradperf.profile import measure, table
from gradperf.profile.attribution import divided
from gradperf.profile.facts import Profile, Row
from gradperf.text.table import Terminal

SETTINGS = cases.Settings(tier="short")
OF_EACH = {
    "numpy": "two_layer_784x30x10-numpy.by_hand-cpu-float64",
    "torch": "two_layer_784x30x10-torch.autograd-cpu-float64",
    "tensorflow": "two_layer_784x30x10-tensorflow.tape-cpu-float64",
    "jax": "two_layer_784x30x10-jax.jit-cpu-float64",
}


def profiler_of(framework):
    """Import what profiles a framework, or skip."""
    try:
        frameworks.load(framework, 1)
    except frameworks.Unavailable as reason:
        pytest.skip(str(reason))
    found = profiling.profiler(framework)
    if reason := found.missing():
        pytest.skip(reason)
    return found


def profile_of(id_, style=None, seconds=0.05):
    """Profile a case in this process; ``style`` replaces its own."""
    case = cases.find(id_, SETTINGS)
    profiler = profiler_of(case.framework)
    agreed = agreement.agree(case, SETTINGS, style)
    return measure.profiled(agreed, SETTINGS, profiler, seconds, style)


def planted(tmp_path, source):
    """Import a style from its source."""
    file = tmp_path / "planted.py"
    file.write_text(source)
    spec = importlib.util.spec_from_file_location("planted", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return Style.of(module)


# How time is divided.


def seconds_of(*spans):
    operators, runtime_s = divided([Span(*span) for span in spans])
    return {name: round(seconds, 9) for name, seconds in operators.items()}, round(runtime_s, 9)


def test_time_is_that_of_the_innermost_operator():
    """An operator does not have the time of those that it calls."""
    spans = (("matmul", "1", 0, 10), ("mm", "1", 2, 5), ("mm", "1", 6, 7), ("sum", "1", 12, 13))
    assert seconds_of(*spans) == ({"matmul": 6, "mm": 4, "sum": 1}, 0)


def test_work_of_the_framework_within_an_operator_is_the_operators():
    """Dispatch around an operator is the framework's own, and what is in it is the operator's."""
    spans = ((None, "1", 0, 10), ("MatMul", "1", 2, 8), (None, "1", 3, 7))
    assert seconds_of(*spans) == ({"MatMul": 6}, 4)


def test_who_waits_has_no_part():
    """A thread that waits in the framework for another one takes nothing of that one's operator."""
    spans = ((None, "main", 0, 10), ("MatMul", "pool", 2, 8))
    assert seconds_of(*spans) == ({"MatMul": 6}, 4)


def test_operators_of_two_threads_share_a_moment():
    """Together they have no more than the clock shows."""
    spans = (("a", "1", 0, 4), ("b", "2", 2, 6))
    assert seconds_of(*spans) == ({"a": 3, "b": 3}, 0)


def test_a_span_that_outlasts_the_one_around_it_is_cut():
    """Clocks are rounded, so an inner span may seem to end a little later."""
    assert seconds_of(("a", "1", 0, 4), ("b", "1", 2, 4.5)) == ({"a": 2, "b": 2}, 0)


SPANS = st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.integers(0, 30), st.integers(0, 30)), max_size=12)


@given(SPANS, st.booleans())
def test_no_moment_counts_twice(drawn, one_thread):
    """All parts together are the time in which anything ran; less, if spans of one thread outlast each other."""
    spans = [
        Span(name, "one" if one_thread else str(number), min(a, b), max(a, b))
        for number, (name, a, b) in enumerate(drawn)
    ]
    covered = {moment for span in spans for moment in range(span.start_s, span.end_s)}
    operators, runtime_s = divided(spans)
    total = sum(operators.values()) + runtime_s
    assert total <= len(covered) + 1e-9
    assert one_thread or total == pytest.approx(len(covered))


def test_a_line_does_not_have_the_time_of_what_it_calls():
    """Of several lines that call a function, each has called it for its part of all calls."""
    pytest.importorskip("line_profiler")
    from gradperf.frameworks.numpy.profiling import own

    run, forward = ("f.py", 1, "run"), ("f.py", 10, "forward")
    times = {(run, 2): (1, 3.0), (run, 3): (4, 7.0), (run, 4): (1, 1.0), (forward, 11): (5, 5.0)}
    # Line 2 called it once each time it ran, and so did line 3; nothing called the run.
    calls = {(forward, (run, 2)): 1.0, (forward, (run, 3)): 1.0, (run, None): 1.0}
    found = {timed.line.number: (timed.calls, timed.total_s) for timed in own(times, calls)}
    assert found == {2: (1, 2.0), 3: (4, 3.0), 4: (1, 1.0), 11: (5, 5.0)}
    assert sum(seconds for _, seconds in found.values()) == 11.0  # what the lines of `run` took in all


# What a profile says.


@pytest.mark.parametrize("framework", OF_EACH)
def test_rows_and_rest_are_the_step(framework):
    """All rows, the framework's own time and what no row has are the time of a step, and no part is negative."""
    profile = profile_of(OF_EACH[framework])
    parts = [*(row.step_s for row in profile.rows), profile.runtime_s]
    assert min(parts) >= 0
    assert sum(map(profile.share, parts)) <= 1 + 1e-9
    assert math.isclose(sum(parts) + profile.unseen_s, profile.profiled_s, rel_tol=1e-9)
    assert profile.profiled_s > 0
    assert profile.overhead == profile.profiled_s / profile.plain_s
    assert profile.steps % profile.steps_per_call == 0


@pytest.mark.parametrize(
    ("framework", "name", "calls"),
    [
        ("numpy", "a @ parameters[w]", 2),
        ("numpy", "return a.T @ delta", 2),
        ("numpy", "delta @ parameters[w].T", 1),
        ("numpy", "parameters[i] - lr * gradients[i]", 2),  # in a function that each training makes anew
        ("torch", "aten::mm", 5),
        ("tensorflow", "MatMul", 5),
        ("jax", "step/dot", 1),
    ],
)
def test_calls_of_a_step(framework, name, calls):
    """Two layers take two products forward, two for the weights, and one for the hidden layer."""
    (row,) = [row for row in profile_of(OF_EACH[framework]).rows if row.name.endswith(name)]
    assert row.calls == pytest.approx(calls)
    assert row.step_s > 0


SLOW = {
    "numpy": """
import time
def product(a, b):
    c = a @ b
    time.sleep(0.005)
    return c
def prepare(problem, inputs, device, dtype):
    left, b = list(inputs["a"]), inputs["b"]
    return lambda steps=None: {"product": [product(a, b) for a in left[:steps]]}
""",
    "torch": """
import torch
def prepare(problem, inputs, device, dtype):
    left, b = list(torch.tensor(inputs["a"])), torch.tensor(inputs["b"])
    large = torch.ones(2_000_000)
    def product(a):
        large.tanh()
        return a @ b
    return lambda steps=None: {"product": [product(a) for a in left[:steps]]}
""",
    "tensorflow": """
import tensorflow as tf
def prepare(problem, inputs, device, dtype):
    left, b = [tf.constant(a) for a in inputs["a"]], tf.constant(inputs["b"])
    large = tf.ones(2_000_000)
    def product(a):
        tf.tanh(large)
        return a @ b
    return lambda steps=None: {"product": [product(a) for a in left[:steps]]}
""",
    "jax": """
import jax
def prepare(problem, inputs, device, dtype):
    left, b = [jax.numpy.asarray(a) for a in inputs["a"]], jax.numpy.asarray(inputs["b"])
    large = jax.numpy.ones(2_000_000)
    @jax.jit
    def slow(x):
        return jax.numpy.tanh(x)
    def product(a):
        jax.block_until_ready(slow(large))
        return jax.block_until_ready(a @ b)
    return lambda steps=None: {"product": [product(a) for a in left[:steps]]}
""",
}


@pytest.mark.parametrize(
    ("framework", "name"),
    [("numpy", "    time.sleep(0.005)"), ("torch", "aten::tanh"), ("tensorflow", "Tanh"), ("jax", "slow/")],
)
def test_what_was_planted_is_the_most_expensive(tmp_path, framework, name):
    """A line that sleeps, and an operator on far more numbers, in a small product."""
    profiler_of(framework)
    case = f"matmul_2x3x2-{framework}.operator-cpu-float64"
    profile = profile_of(case, planted(tmp_path, SLOW[framework]))
    top = max(profile.rows, key=lambda row: row.step_s)
    assert top.name.startswith(name)
    assert top.calls == pytest.approx(1)
    if framework == "numpy":
        assert top.line.number == 5
        assert [row.line.number for row in profile.rows] == [4, 5, 6, 9]
        assert top.step_s > 0.005
    else:
        assert profile.rows[0] == top


def test_functions_are_as_before(monkeypatch):
    """The profiler of lines replaces code. When it ends, every function has its own again."""
    profiler_of("numpy")
    from gradperf.frameworks.numpy import backprop, optimizers
    from gradperf.frameworks.numpy.training import by_hand

    functions = [by_hand.weight_gradient, optimizers.start, optimizers._sgd, backprop.ACTIVATIONS["relu"][0]]
    before = [function.__code__ for function in functions]
    profiler = sys.getprofile()
    profile_of(OF_EACH["numpy"])
    assert all(function.__code__ is code for function, code in zip(functions, before, strict=True))
    assert sys.getprofile() is profiler


def test_operators_of_torch_are_those_that_torch_counts():
    """The times from its trace are torch's own ``self_cpu_time_total``."""
    torch = pytest.importorskip("torch")
    from gradperf.frameworks.torch import profiling as of_torch

    weights = torch.ones(20, 30, requires_grad=True)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], acc_events=True) as profile:
        for _ in range(5):
            (torch.ones(10, 20) @ weights).relu().sum().backward()
    own_s, _ = divided(of_torch.spans(of_torch._exported(profile), "cpu"))
    expected_s = {event.key: event.self_cpu_time_total * 1e-6 for event in profile.key_averages()}
    assert own_s.keys() == expected_s.keys()
    assert own_s == pytest.approx(expected_s, rel=0.01, abs=1e-6)


def test_a_call_of_other_steps_is_checked_too(tmp_path):
    """A style that is wrong only in calls of a few steps is not profiled, if those are what would be profiled."""
    source = """
import time
import numpy as np
def derivative(x, right):
    time.sleep(0.005)
    return np.cos(x) * right
def prepare(problem, inputs, device, dtype):
    points = list(inputs["x"])
    return lambda steps=None: {"grad_x": [derivative(x, RIGHT) for x in points[:steps]]}
"""
    profiler_of("numpy")
    id_ = "sine_derivative_100-numpy.analytic-cpu-float64"
    assert profile_of(id_, planted(tmp_path, source.replace("RIGHT", "True"))).steps_per_call < 50
    with pytest.raises(agreement.Disagreement, match="grad_x"):
        profile_of(id_, planted(tmp_path, source.replace("RIGHT", "steps in (None, 1, 50)")))


def test_a_style_without_lines_is_refused():
    """A step that runs no function of Python has no lines, and one line says so."""
    profiler = profiler_of("numpy")
    with pytest.raises(profiling.NoProfile, match="no lines to profile"):
        profiler.session(str, Style(str), "cpu").__enter__()


# What is shown.


def shown(profile, top=20):
    return table.lines("case", profile, Words(), Terminal(80), top)


def operators(*names, unseen_s=0.0):
    rows = [Row(name, 1e-6, 1.0) for name in names]
    return Profile("tool", "operator", 100, 50, 1e-6, len(rows) * 1e-6 + unseen_s, rows, 0.0)


def test_overhead_and_what_is_in_no_row_are_said():
    """No one takes profiled times for real ones."""
    text = " ".join(shown(operators("a", "b", unseen_s=2e-6)))
    assert "It made a step 4.00 times as long: 4.00 µs with it, 1.00 µs without it." in text
    assert re.search(r"50 +2\.00 +Python, and what the profiler does not see", text)
    assert re.search(r"100 +4\.00 +all of a step", text)


def test_only_the_most_expensive_operators_are_shown():
    """The others are one row, with their time."""
    lines = shown(operators(*"abcdefgh"), top=3)
    (rest,) = [line for line in lines if "more" in line]
    assert re.fullmatch(r" +62 +5\.00 +… 5 more operators", rest)
    assert not any(line.endswith("  d") for line in lines)
    assert any(
        line.endswith("  d") for line in shown(operators(*"abcd"), top=3)
    )  # a row for one is a row all the same


@pytest.mark.parametrize("hostile", ["\x1b[31mred\x07", "a\nb", "x" * 300, "‮tfel"])
def test_a_name_cannot_harm_the_terminal(hostile):
    """Names of operators and lines of sources may hold anything."""
    line = Line("f.py", 7, hostile, 1, hostile)
    by_line = replace(operators(), kind="line", rows=[Row(hostile, 1e-6, 1.0, line)], profiled_s=1e-6)
    for lines in (shown(operators(hostile)), shown(by_line)):
        assert all(text.isprintable() and len(text) <= 80 for text in lines)


@pytest.mark.parametrize("calls", [0.0, 1e-4, 0.02, 1, 1.02, 99.5, 1024, 16_384, 262_144, 1e12])
def test_calls_are_narrow(calls):
    """A count never breaks the column."""
    assert len(table._calls(calls)) <= 6


# The command.


@pytest.mark.parametrize("framework", OF_EACH)
def test_command_and_its_files(run_gradperf, tmp_path, framework):
    """In 80 columns, with JSON, and files that the viewers of this framework open."""
    profiler_of(framework)
    id_ = OF_EACH[framework]
    folder = tmp_path / "new" / "profiles"
    quick = ("--tier", "short", "--seconds", "0.05")
    done = run_gradperf("profile", id_, *quick, "--output", folder, "--json", tmp_path / "p.json", COLUMNS="80")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert max(len(line) for line in lines if str(tmp_path) not in line) <= 80
    assert "It made a step" in done.stdout
    record = json.loads((tmp_path / "p.json").read_text())
    assert record["case"] == id_
    assert sum(row["share"] for row in record["rows"]) <= 1 + 1e-9
    assert record["overhead"] == pytest.approx(record["profiled_step_s"] / record["step_s"])
    written = sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())
    for name in written:
        assert f"written to {folder / name}" in lines
    if framework == "numpy":
        from line_profiler import load_stats

        assert written == [f"{id_}.lprof", f"{id_}.txt"]
        assert any(name == "step.<locals>.forward" for _, _, name in load_stats(folder / f"{id_}.lprof").timings)
        assert "z = a @ parameters[w]" in (folder / f"{id_}.txt").read_text()
        assert {row["line"]["file"].rpartition("/")[2] for row in record["rows"]} == {
            *("by_hand.py", "backprop.py", "optimizers.py")
        }
    else:
        trace = json.loads(gzip.decompress((folder / f"{id_}.trace.json.gz").read_bytes()))
        events = [event for event in trace["traceEvents"] if event.get("ph") == "X"]
        assert all(event["dur"] >= 0 for event in events)
        top = record["rows"][0]["name"].rpartition("/")[2]
        assert any(top in event["name"] for event in events)
        plane = f"plugins/profile/{id_}/host.xplane.pb"
        assert written == [*([plane] if framework != "torch" else []), f"{id_}.trace.json.gz"]


def test_enough_parts_of_an_id(run_gradperf):
    """As ``gradperf run`` takes them."""
    profiler_of("numpy")
    done = run_gradperf("profile", "tiny_3x2x1", "by_hand", "--tier", "short", "--seconds", "0.01")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("tiny_3x2x1-numpy.by_hand-cpu-float32, by line_profiler\n")


def test_no_other_framework_is_imported(tmp_path):
    """A profile of numpy imports neither torch nor TensorFlow nor JAX."""
    profiler_of("numpy")
    source = """
import sys
from gradperf.commands.main import main
main(["profile", "tiny_3x2x1", "numpy.by_hand", "--tier", "short", "--seconds", "0.01"])
print(sorted({"torch", "jax", "tensorflow"} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.endswith("\n[]\n")


# What a user may do wrong.


def test_line_profiler_is_missing(tmp_path):
    """One line says how to install it, before anything is computed."""
    source = """
import sys
sys.modules["line_profiler"] = None
from gradperf.commands.main import main
sys.exit(main(["profile", "tiny_3x2x1", "numpy.by_hand"]))
"""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "gradperf: line_profiler is not installed, which profiles lines: pip install 'gradperf[profile]'\n"
    )


def test_framework_is_missing(run_gradperf, stand_in):
    """The message of every other command."""
    absent = stand_in("torch", "raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')")
    done = run_gradperf("profile", "tiny_3x2x1", "torch.autograd", extra_path=absent)
    assert (done.returncode, done.stdout) == (2, "")
    assert "torch is not installed (no module 'torch'): pip install 'gradperf[torch]'" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("tiny_3x2x1-numpy.by_hnd-cpu-float64",), "unknown style 'by_hnd'. Did you mean 'by_hand'?"),
        (("tiny_3x2x1", "by_hnd"), "no case has 'by_hnd'. Did you mean 'by_hand"),
        (("tiny_3x2x1", "by_hand", "--seconds", "0"), "argument --seconds: expected a number above 0, not '0'"),
        (("tiny_3x2x1", "by_hand", "--top", "0"), "argument --top: expected a whole number of at least 1, not '0'"),
        (
            ("tiny_3x2x1", "by_hand", "--json", "/nowhere/at/all/p.json"),
            "--json: cannot write /nowhere/at/all/p.json: No such file",
        ),
        (("tiny_3x2x1", "by_hand", "--output", __file__), f"--output: cannot write in {__file__}: Not a directory"),
        (("tiny_3x2x1", "by_hand", "--output", "/proc/x/y"), "--output: cannot write in /proc/x/y: No such file"),
    ],
)
def test_mistake(run_gradperf, words, message):
    """One message, before anything is measured, and no traceback."""
    done = run_gradperf("profile", *words)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert (done.returncode, done.stdout) == (2, "")


def test_folder_is_tried_without_a_trace(tmp_path):
    """Folders that were made to try them are gone, and what was there stays."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("old")
    files.check_can_write_in("--output", tmp_path / "mine" / "new" / "newer")
    files.check_can_write_in("--output", tmp_path / "mine")
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["file"]
    with pytest.raises(UserError, match="--output: cannot write in"):
        files.check_can_write_in("--output", tmp_path / "mine" / "file" / "below")
    assert (tmp_path / "mine" / "file").read_text() == "old"
