"""A user's mistake is one clear message and a non-zero exit, before time is spent and without a traceback."""

import pytest

from tests.conftest import ROOT
from tests.gate.repositories import make

NUMPY = ("--framework", "numpy")

MISTAKES = [
    (("--framework", "nunpy"), "unknown framework 'nunpy'. Did you mean 'numpy'? There are: jax, numpy,"),
    (("--style", "by_hnd"), "unknown style 'by_hnd'. Did you mean 'by_hand'? There are: "),
    (("--problem", "tiny_3x2"), "unknown problem 'tiny_3x2'. Did you mean 'tiny_3x2x1'? There are: "),
    (("--problem", "matmul_0x2x2"), "unknown problem 'matmul_0x2x2'."),
    (("--device", "cud"), "unknown device 'cud'. Did you mean 'cuda'? There are: cpu, cuda."),
    (("--dtype", "float23"), "unknown dtype 'float23'. Did you mean 'float32'? There are: float32, float64."),
    (("--framework", "JAX"), "unknown framework 'JAX'. Did you mean 'jax'? There are: jax, numpy,"),
    (("--device", "gpu"), "unknown device 'gpu'. Did you mean 'cuda'? There are: cpu, cuda."),
    (
        ("--tier", "fast"),
        "argument --tier: unknown tier 'fast'. Did you mean 'short'? There are: short, quick, full.",
    ),
    (("--threads", "0"), "argument --threads: expected a whole number of at least 1, not '0'"),
    (("--threads", "x"), "argument --threads: expected a whole number of at least 1, not 'x'"),
    (("--threads", "100000"), "argument --threads: this process may use"),
    (("--seed", "-1"), "argument --seed: expected a whole number of at least 0, not '-1'"),
    (("--framework", "numpy", "--device", "cuda"), "--framework numpy: no case has it together"),
    (("--style", ","), "argument --style: a name is empty; leave this option out to choose everything"),
    (("--problem", "matmul_999999x999999x9"), "matmul_999999x999999x9: its matrices take 7,451 GiB in float64"),
    (("--framework", "numpy", "--style", "autograd"), "--framework numpy: no case has it together"),
]


@pytest.mark.parametrize("folder", ["perf", "correctness"])
@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=lambda value: "-".join(value).strip("-"))
def test_option(run_pytest, folder, arguments, message):
    """The error says what is wrong and what exists, with the nearest match."""
    done = run_pytest(ROOT / folder, *arguments)
    assert message in done.stderr + done.stdout
    assert done.returncode == 4
    assert "Traceback" not in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"), MISTAKES[:13] + MISTAKES[14:16], ids=lambda value: "-".join(value).strip("-")
)
def test_option_of_the_command_line(run_gradperf, arguments, message):
    """The same message from ``gradperf list``; --seed belongs to ``gradperf run``."""
    command = ["list"] if arguments[0] != "--seed" else ["run", "tiny_3x2x1-numpy.by_hand-cpu-float64"]
    done = run_gradperf(*command, *arguments)
    assert message in done.stderr
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("environment", [{}, {"GRADPERF_GATE": "list"}], ids=["alone", "in the gate"])
def test_broken_framework_that_was_named(run_pytest, stand_in, environment):
    """An installation whose import raises is an error with that reason, if the user named it …"""
    broken = stand_in("torch", "raise OSError('libtorch.so: cannot open shared object file')")
    done = run_pytest(ROOT / "perf", "--framework", "torch", extra_path=broken, **environment)
    assert "--framework torch was asked for, and cannot run here:" in done.stderr
    assert "torch is installed but broken: importing it raised OSError: libtorch.so" in done.stderr
    assert done.returncode == 4
    assert "Traceback" not in done.stderr + done.stdout


def test_broken_framework_that_was_not_named(run_pytest, stand_in):
    """… and a skip with that reason otherwise."""
    for_all = stand_in("torch", "raise OSError('libtorch.so: cannot open shared object file')")
    for name in ("jax", "tensorflow"):
        stand_in(name, f"raise ModuleNotFoundError(\"No module named '{name}'\", name='{name}')")
    done = run_pytest(
        ROOT / "correctness" / "test_agreement.py", "--problem", "sine_derivative_100", "-rs", extra_path=for_all
    )
    assert done.returncode == 0, done.stdout
    assert "torch is installed but broken" in done.stdout
    assert "jax is not installed (no module 'jax'): pip install 'gradperf[jax]'" in done.stdout
    assert "2 passed" in done.stdout


def test_missing_device_that_was_named(run_pytest, stand_in):
    """``--device cuda`` without one is an error that says what each framework sees."""
    nothing = stand_in("torch", "raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')")
    for name in ("jax", "tensorflow"):
        stand_in(name, f"raise ModuleNotFoundError(\"No module named '{name}'\", name='{name}')")
    done = run_pytest(ROOT / "perf", "--device", "cuda", extra_path=nothing)
    assert "--device cuda was asked for, and cannot run here:" in done.stderr
    assert "torch is not installed" in done.stderr
    assert done.returncode == 4


@pytest.mark.parametrize("where", ["storage", "default"])
def test_results_folder_that_cannot_be_written(run_pytest, tmp_path, where):
    """A file where the results folder should be: an error before anything is timed, not a lost run after."""
    (tmp_path / "results").write_text("in the way")
    if where == "storage":
        done = run_pytest(ROOT / "perf", *NUMPY)
        assert f"cannot write results to {tmp_path / 'results'}" in done.stderr
        assert done.returncode == 4
        assert "Traceback" not in done.stderr + done.stdout
    else:
        from gradperf import errors
        from gradperf.suite import saving

        with pytest.raises(errors.UserError, match="cannot write results"):
            saving.check_writable(tmp_path / "results")


@pytest.mark.parametrize("path", ["perf", "perf/test_matmul.py", "perf/test_matmul.py::test_matmul"])
def test_compare_that_swallows_the_path(run_pytest, path):
    """``pytest --benchmark-compare perf`` would run the tests and compare with a run called perf."""
    done = run_pytest("--benchmark-compare", path, cwd=ROOT)
    assert f"Put it after the path: pytest {path} --benchmark-compare" in done.stderr
    assert done.returncode == 4


def test_compare_with_a_run_that_does_not_exist(run_pytest):
    """A named run that does not exist is an error before anything is timed."""
    done = run_pytest(ROOT / "perf", *NUMPY, "--benchmark-compare=0099")
    assert "--benchmark-compare=0099: no such recorded run in" in done.stderr
    assert done.returncode == 4


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (
            "--benchmark-json=/nowhere/at/all.json",
            "--benchmark-json: cannot write /nowhere/at/all.json: No such file",
        ),
        ("--benchmark-storage=bogus://x", "--benchmark-storage=bogus://x is not a place to store runs"),
        ("--benchmark-storage=", "--benchmark-storage= is not a place to store runs"),
    ],
)
def test_results_that_would_be_lost(run_pytest, option, message):
    """What pytest-benchmark would notice only after the timing is an error before it."""
    done = run_pytest(ROOT / "perf", *NUMPY, option, storage=False)
    assert message in done.stderr
    assert done.returncode == 4
    assert "Traceback" not in done.stderr + done.stdout


def test_storage_without_a_scheme(run_pytest, tmp_path):
    """pytest-benchmark takes a bare path too; it is checked like any other."""
    (tmp_path / "file").write_text("in the way")
    done = run_pytest(ROOT / "perf", *NUMPY, f"--benchmark-storage={tmp_path / 'file'}", storage=False)
    assert f"cannot write results to {tmp_path / 'file'}" in done.stderr
    assert done.returncode == 4


def test_broken_numpy(run_pytest, run_gradperf, stand_in):
    """Nothing works without numpy, and the message says so."""
    broken = stand_in("numpy", "raise ImportError('libscipy_openblas64_: cannot open shared object file')")
    for done in (run_pytest(ROOT / "perf", extra_path=broken), run_gradperf("list", extra_path=broken)):
        assert "numpy cannot be imported: ImportError: libscipy_openblas64_" in done.stderr
        assert "Traceback" not in done.stderr + done.stdout
        assert done.returncode in (2, 4)


@pytest.mark.parametrize(
    ("id_", "message"),
    [
        ("nonsense", "'nonsense' is not a case id. An id is <problem>-<framework>.<style>-<device>-<dtype>"),
        ("tiny_3x2x1-numpy.by_hnd-cpu-float64", "unknown style 'by_hnd'. Did you mean 'by_hand'?"),
        ("tiny_3x2x1-numpy.loops-cpu-float64", "unknown numpy style for training 'loops'."),
        ("tiny_3x2x1-numpy.by_hand-cuda-float64", "numpy runs only on cpu, not on cuda"),
        ("tiny_9x2x1-numpy.by_hand-cpu-float64", "unknown problem 'tiny_9x2x1'. Did you mean 'tiny_3x2x1'?"),
        ("matmul_64x64x64-numpy.loops-cpu-float32", "cannot run here: 262,144 Python calls in one product"),
    ],
)
def test_case_that_cannot_be_run(run_gradperf, id_, message):
    """``gradperf run`` names the part of the id that is wrong."""
    done = run_gradperf("run", id_)
    assert message in done.stderr
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--steps", "0"), "argument --steps: expected a whole number of at least 1, not '0'"),
        (("--steps", "99999999999999999"), "not enough memory; try fewer steps or a smaller problem"),
        (("--json", "/nowhere/at/all.json"), "--json: cannot write /nowhere/at/all.json: No such file"),
    ],
)
def test_option_of_a_run(run_gradperf, arguments, message):
    """A wrong option is an error before the case runs."""
    done = run_gradperf("run", "tiny_3x2x1-numpy.by_hand-cpu-float64", *arguments)
    assert message in done.stderr
    assert done.returncode == 2
    assert "loss" not in done.stdout


@pytest.mark.parametrize("platforms", ["cuda", "tpu", "nonsense"])
def test_platforms_of_jax_that_are_missing(run_gradperf, monkeypatch, platforms):
    """Shells of machines with a GPU set ``JAX_PLATFORMS``. Without one, JAX's cases cannot run, for this reason."""
    pytest.importorskip("jax")
    monkeypatch.setenv("JAX_PLATFORMS", platforms)
    done = run_gradperf("run", "tiny_3x2x1-jax.grad-cpu-float32")
    assert f"jax sees no cpu device (JAX_PLATFORMS={platforms}; unset it)" in done.stderr
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_neighbours_beside_a_framework_without_a_device(run_gradperf, monkeypatch):
    """It is imported in another process, whose traceback would hide the reason."""
    pytest.importorskip("jax")
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    done = run_gradperf("neighbours", "tiny_3x2x1-numpy.by_hand-cpu-float32", "--pairs", "6")
    assert "jax cannot be used beside it: jax sees no cpu device (JAX_PLATFORMS=cuda; unset it)" in done.stderr
    assert done.returncode == 2
    assert "  File " not in done.stderr


@pytest.mark.parametrize("command", ["stability", "certificate"])
def test_nothing_to_do(run_gradperf, tmp_path, command):
    """A command that was asked for no run, and has none stored, does not end in silence."""
    make(tmp_path, {})
    done = run_gradperf(command, "--store", "s.jsonl", "--page", "p.md")
    assert "no run was asked for, and s.jsonl has none: give a number of them, such as" in done.stderr
    assert done.returncode == 2
