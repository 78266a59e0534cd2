"""The command line: its commands and options, what ``list`` and ``run`` show, and closed pipes and full disks."""

import argparse
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import gradperf
from gradperf import options, problems
from gradperf.commands import gate
from gradperf.commands.next_step import next_step
from gradperf.gate.decision.trial import Plan
from tests.conftest import ROOT
from tests.records import record

NAMES = ("list", "run", "pair", "profile", "gate", "certificate", "show", "neighbours", "doctor")


def test_version(run_gradperf):
    """The version is that of the package; pyproject.toml reads it from there."""
    done = run_gradperf("--version")
    assert (done.returncode, done.stdout) == (0, f"gradperf {gradperf.__version__}\n")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "gradperf.__version__"}
    assert f"\nversion: {gradperf.__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_no_command(run_gradperf):
    """Without a command there is the list of commands, and no success."""
    done = run_gradperf()
    assert (done.returncode, done.stdout) == (2, "")
    assert all(f"\n    {name}" in done.stderr for name in NAMES)
    assert "\nNext: " in done.stderr


def test_next_step(tmp_path):
    """Without a command there is also what to do next: in a new folder, in a checkout, and after a run."""
    assert "gradperf list" in next_step(tmp_path)
    (tmp_path / ".git").mkdir()
    assert next_step(tmp_path).startswith("`gradperf gate` ")
    (tmp_path / "perf").mkdir()
    (tmp_path / "perf" / "test_training.py").touch()
    assert next_step(tmp_path).startswith("`pytest perf --framework numpy` ")
    run = tmp_path / "results" / "machine" / "0001_x.json"
    run.parent.mkdir(parents=True)
    run.write_text("cut off")
    assert next_step(tmp_path).startswith("`pytest perf --framework numpy` ")
    run.write_text(json.dumps({"benchmarks": [record()]}))
    assert next_step(tmp_path).startswith("0001_x.json is the newest run here: `gradperf show` ")


def test_unknown_command(run_gradperf):
    """An unknown command is one message that lists the commands, and names the nearest one."""
    done = run_gradperf("nonsense")
    assert (done.returncode, done.stdout) == (2, "")
    usage, message = done.stderr.splitlines()
    assert usage.startswith("usage: gradperf ")
    assert message.startswith("gradperf: error: unknown command 'nonsense'. There are: ")
    assert all(name in message for name in NAMES)
    assert "unknown command 'lst'. Did you mean 'list'?" in run_gradperf("lst").stderr


@pytest.mark.parametrize(
    ("words", "guess"),
    [
        (("list", "--framwork", "jax"), "--framwork jax. Did you mean '--framework'?"),
        (("run", "tiny_3x2x1", "--stpes=3"), "--stpes=3. Did you mean '--steps'?"),
        (
            ("gate", "--min-efect", "1%"),
            "--min-efect 1%; put arguments for pytest after --. Did you mean '--min-effect'?",
        ),
        (("list", "--xyzzy"), "--xyzzy"),
        (("show", "--formt", "md"), "--formt. Did you mean '--format'?"),
    ],
)
def test_unknown_option(run_gradperf, words, guess):
    """An unknown option is one message that names the nearest one of the same command, after the usage of that."""
    done = run_gradperf(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"usage: gradperf {words[0]} ")
    assert done.stderr.splitlines()[-1] == f"gradperf {words[0]}: error: unrecognized arguments: {guess}"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("show", "--format", "md"), "gradperf show: error: argument --format: invalid choice: 'md'"),
        (("doctor", "--seconds", "1"), "gradperf doctor: error: argument --seconds: expected a whole number of "),
        (("pair",), "gradperf pair: error: the following arguments are required: CASE, CASE"),
    ],
)
def test_wrong_value(run_gradperf, words, message):
    """The usage and the name before the message are those of the command."""
    done = run_gradperf(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"usage: gradperf {words[0]} ")
    assert done.stderr.splitlines()[-1].startswith(message)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--versoin",), "unrecognized arguments: --versoin. Did you mean '--version'?"),
        (("--xyzzy",), "unrecognized arguments: --xyzzy"),
    ],
)
def test_option_of_no_command(run_gradperf, words, message):
    """An option before any command is one of the whole program."""
    done = run_gradperf(*words)
    assert (done.returncode, done.stdout) == (2, "")
    usage, error = done.stderr.splitlines()
    assert usage.startswith("usage: gradperf [-h] ")
    assert error == f"gradperf: error: {message}"


def test_defaults_of_the_gate_are_those_of_its_plan():
    """The command cannot import the plan, which imports numpy, so it repeats the numbers."""
    parser = argparse.ArgumentParser()
    gate.add(parser.add_subparsers().add_parser)
    parsed = vars(parser.parse_args(["gate"]))
    assert Plan(**{name: parsed[name] for name in ("alpha", "min_effect", "screen", "confirm")}) == Plan()


@pytest.mark.parametrize("words", [["--version"], ["--help"], *([name, "--help"] for name in NAMES)], ids=" ".join)
def test_help_is_light(words):
    """Help imports neither numpy nor pytest nor a framework, so the threads can still be bound."""
    source = f"""
import sys
from gradperf.commands.main import main
try:
    main({words})
except SystemExit as ended:
    assert ended.code == 0
print(sorted({{"numpy", "pytest", "rich", "torch", "jax", "tensorflow"}} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("\n[]\n")


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (options.share(), "1%", 0.01),
        (options.share(), " 0.05 ", 0.05),
        (options.share(most=0.5), "50%", 0.5),
        (options.share(zero=True), "0", 0.0),
        (options.whole_number(0), "0", 0),
        (options.positive_number, "0.5", 0.5),
        (options.names, "numpy, torch", ["numpy", "torch"]),
    ],
)
def test_readers(read, text, value):
    """A reader returns the value of its text; tests/gate/test_bad_input.py has the texts that are refused."""
    assert read(text) == value


def test_repeated_names(run_gradperf):
    """Names may be repeated and separated by commas; each counts once."""
    words = ["list", "--json", "--framework", "numpy", "--problem", "tiny_3x2x1"]
    once = run_gradperf(*words, "--style", "by_hand", "--style", "outer_product")
    assert run_gradperf(*words, "--style", "by_hand,outer_product", "--style", "by_hand").stdout == once.stdout
    assert {row["style"] for row in json.loads(once.stdout)} == {"by_hand", "outer_product"}


def test_list_shows_every_case_of_numpy(run_gradperf):
    """Every case, whether it can run here and, if not, why."""
    done = run_gradperf("list", "--flat", "--framework", "numpy")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert any(line.split() == ["two_layer_784x30x10-numpy.by_hand-cpu-float64", "runs", "here"] for line in lines)
    assert any("matmul_64x64x64-numpy.loops-cpu-float32" in line and "262,144" in line for line in lines)
    assert (
        lines[-1] == f"{len(lines) - 1} cases, {sum('runs here' in line for line in lines[:-1])} run here, 6 do not"
    )


def test_list_as_a_matrix(run_gradperf):
    """Styles and problems of each family, the ids' form, and why some cases cannot run here; in 80 columns."""
    done = run_gradperf("list", "--framework", "numpy")
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    rows = [line.split() for line in lines]
    assert ["matmul", "1", "2", "3"] in rows
    assert ["numpy.loops", "●", "·", "·"] in rows
    assert ["numpy.by_hand", "●", "●", "●", "●", "●", "●", "●"] in rows
    assert "1 matmul_5x784x10, 2 matmul_64x64x64, 3 matmul_512x512x512" in lines
    assert "cannot run here: 4 cases: 262,144 Python calls" in done.stdout
    assert lines[-1].endswith(" run here, 6 do not")
    assert run_gradperf("list", "--framework", "jax", "--style", "einsum", "--device", "cuda").returncode == 0


@pytest.mark.parametrize("form", ["--flat", "--json", None])
def test_list_of_nothing(run_gradperf, form):
    """A choice that no case fits is a mistake."""
    words = ["--framework", "numpy", "--style", "autograd", *([form] if form else [])]
    done = run_gradperf("list", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("gradperf: no case has all of these")


def test_list_as_json(run_gradperf):
    """``--json`` prints the same list for programs."""
    rows = json.loads(run_gradperf("list", "--framework", "numpy", "--problem", "tiny_3x2x1", "--json").stdout)
    assert {row["style"] for row in rows} == {"by_hand", "by_hand_inplace", "outer_product"}
    assert all(row["runs_here"] and row["reason"] is None for row in rows)


def test_missing_framework_is_listed_with_its_reason(run_gradperf, stand_in):
    """A framework that is not installed still has its cases in the list."""
    absent = stand_in("torch", "raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')")
    words = ["--framework", "torch", "--problem", "sine_derivative_100"]
    assert re.search(r"^torch.vmap +·$", run_gradperf("list", *words, extra_path=absent).stdout, re.MULTILINE)
    done = run_gradperf("list", "--flat", *words, extra_path=absent)
    assert done.returncode == 0
    assert "sine_derivative_100-torch.vmap-cpu-float32" in done.stdout
    assert "torch is not installed (no module 'torch'): pip install 'gradperf[torch]'" in done.stdout


def test_run_shows_what_the_notebooks_show(run_gradperf, tmp_path):
    """Losses along the way, first gradients, final weights, seconds; all of it in the JSON."""
    done = run_gradperf(
        "run", "polynomial_degree4-numpy.by_hand-cpu-float64", "--steps", "30", "--json", tmp_path / "run.json"
    )
    assert done.returncode == 0, done.stderr
    assert "-0.27402023 0.98929269 7.4128767 38.074744 180.01689" in done.stdout
    record = json.loads((tmp_path / "run.json").read_text())
    assert isinstance(record["loss"], list)
    assert len(record["loss"]) == 30
    assert record["loss"][0] > record["loss"][-1]
    assert [g for (g,) in record["gradients"]["w1"]] == pytest.approx(
        [-0.27402023, 0.98929269, 7.41287669, 38.07474351, 180.01689072]
    )
    assert len(record["weights"]["w1"]) == 5
    assert record["seconds"] > 0
    inputs = problems.find("polynomial_degree4").inputs(0, "float64")
    assert record["inputs_sha256"] == problems.sha256(inputs)


def test_run_depends_on_the_seed(run_gradperf, tmp_path):
    """Another seed draws other inputs, with another hash."""
    hashes = set()
    for seed in ("0", "1"):
        file = tmp_path / f"{seed}.json"
        run_gradperf("run", "tiny_3x2x1-numpy.by_hand-cpu-float64", "--seed", seed, "--json", file)
        hashes.add(json.loads(file.read_text())["inputs_sha256"])
    assert len(hashes) == 2


@pytest.mark.parametrize(
    ("id_", "shown"),
    [
        ("matmul_2x3x2-numpy.operator-cpu-float64", "product"),
        ("sine_derivative_100-numpy.analytic-cpu-float64", "x"),
        ("shifted_relu_784x50x1-numpy.by_hand-cpu-float64", "784×50"),
    ],
)
def test_run_of_other_families(run_gradperf, tmp_path, id_, shown):
    """A product, a derivative, and a network that is not updated are shown too; the keys are always there."""
    done = run_gradperf("run", id_, "--json", tmp_path / "run.json")
    assert done.returncode == 0, done.stderr
    assert shown in done.stdout
    assert {"loss", "gradients", "weights", "seconds", "inputs_sha256"} <= json.loads(
        (tmp_path / "run.json").read_text()
    ).keys()


COMMANDS = [
    (("list", "--framework", "numpy"), 0),
    (("--help",), 0),
    (("list", "--framework", "nonsense"), 2),
    (("show",), 2),
    (("--version",), 0),
    ((), 2),
]


def ended(words, stdout, stderr):
    """Run a command with buffered output, as users do."""
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-m", "gradperf", *words]
    return subprocess.run(command, stdout=stdout, stderr=stderr, env=buffered, timeout=300, check=False, text=True)


@pytest.mark.parametrize(("words", "code"), COMMANDS)
def test_closed_pipe(words, code):
    """A closed pipe, as after ``| head``, does not change the exit code."""
    read, written = os.pipe()
    os.close(read)
    assert ended(words, written, written).returncode == code
    assert ended(words, subprocess.DEVNULL, written).returncode == code
    done = ended(words, written, subprocess.PIPE)
    os.close(written)
    assert done.returncode == code
    assert "BrokenPipeError" not in done.stderr


@pytest.mark.parametrize(("words", "code"), COMMANDS)
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_stream(words, code, closed):
    """A closed standard output or error does not change the exit code, and the other one has its own alone."""
    program = ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-m", "gradperf", *words]
    done = subprocess.run(program, capture_output=True, text=True, timeout=300, check=False)
    whole = ended(words, subprocess.PIPE, subprocess.PIPE)
    assert done.returncode == code
    assert (done.stdout, done.stderr) == (
        "" if closed.startswith(">") else whole.stdout,
        "" if "2>&-" in closed else whole.stderr,
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_full_disk():
    """Lost output is one message and no success, even if the message cannot be written either."""
    with Path("/dev/full").open("w") as full:
        done = ended(COMMANDS[0][0], full, subprocess.PIPE)
        assert ended(COMMANDS[0][0], full, full).returncode == 2
    assert (done.returncode, done.stderr) == (2, "gradperf: No space left on device: the output is incomplete\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_record_on_a_full_disk(run_gradperf):
    """A record that cannot be written is one message and no success."""
    done = run_gradperf("run", "tiny_3x2x1-numpy.by_hand-cpu-float32", "--json", "/dev/full")
    assert done.returncode == 2
    assert done.stderr == "gradperf: /dev/full: cannot be written: No space left on device\n"


@pytest.mark.parametrize(
    ("encoding", "named"),
    [("cp1252", b"\\u6f22\xe9?[2J.json"), ("utf-8", "漢é?[2J.json".encode()), ("ascii", b"\\u6f22\\xe9?[2J.json")],
)
def test_names_that_the_output_cannot_hold(tmp_path, encoding, named):
    """A name of a file, whatever it holds, ends no command in a traceback and reaches no terminal as a command."""
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    file = tmp_path / "漢é\x1b[2J.json"
    file.write_text(json.dumps({"benchmarks": [record()]}))
    (tmp_path / "漢\x1b[2J.json").write_text("[]")
    command = [sys.executable, "-m", "gradperf", "show"]
    for run in (file, tmp_path):
        done = subprocess.run([*command, run], capture_output=True, env=environment, timeout=300, check=False)
        assert (done.returncode, b"\x1b" in done.stdout + done.stderr) == (0, False), done.stderr
        assert done.stdout.splitlines()[0].endswith(named)
    assert b"left out: " in done.stderr
    file.unlink()
    done = subprocess.run([*command, tmp_path], capture_output=True, env=environment, timeout=300, check=False)
    assert (done.returncode, b"\x1b" in done.stderr) == (2, False)
    assert b"?[2J.json: not a recorded run" in done.stderr
    assert b"\n  " in done.stderr
