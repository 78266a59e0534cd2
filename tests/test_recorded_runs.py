"""``pytest perf`` records each run, compares with the last, and imports nothing that was not asked for."""

import json
import re
import sys
from dataclasses import asdict, fields
from datetime import UTC, datetime

import pytest

from gradperf.cases import Settings
from gradperf.checks import ceilings
from gradperf.machine import libraries, load
from gradperf.records import storage
from gradperf.records.facts import SCHEMA, Facts, RunFacts, read_benchmark, read_run
from gradperf.suite import machine_info, recording
from tests.conftest import ROOT, run_process

FEW = (
    *("--framework", "numpy", "--problem", "tiny_bias_3x2x1,sine_derivative_100"),
    *("--benchmark-max-time=0.01", "--no-first-calls"),
)
EXTRA_INFO = [
    "problem",
    "framework",
    "style",
    "device",
    "dtype",
    "steps",
    "threads",
    "seed",
    "inputs_sha256",
    "framework_version",
    "final_loss",
    "gradient_error",
    "trajectory_error",
]
OF_WHOLE_STEPS = [
    "flops_per_step",
    "bytes_per_step",
    "product_flops_per_step",
    "product_flops_counted",
    "uncounted",
    "peak_fraction",
    "ratio_to_baseline",
    "break_even_steps",
]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Return the output and the JSON of two runs, one after the other."""
    folder = tmp_path_factory.mktemp("recorded")
    command = [sys.executable, "-m", "pytest", str(ROOT / "perf"), *FEW, "-p", "no:cacheprovider"]
    command += [f"--benchmark-storage=file://{folder}", "--benchmark-compare"]
    runs = [run_process(command, folder, "", {}) for _ in range(2)]
    files = sorted(folder.glob("*/*.json"))
    return runs, [json.loads(file.read_text()) for file in files]


def test_each_run_is_one_file(recorded):
    """One JSON per run, from a directory that is not the repository's."""
    runs, files = recorded
    assert [run.returncode for run in runs] == [0, 0], runs[0].stdout + runs[0].stderr
    assert len(files) == 2


def test_first_run_says_that_there_is_nothing_to_compare_with(recorded):
    """Plainly, and it succeeds; the second compares."""
    (first, second), _ = recorded
    assert "gradperf: no run to compare with: no run in " in first.stdout
    assert "no run to compare with" not in second.stdout
    assert re.search(
        r"gradperf: compared with .*0001_.*\.json, recorded \d{4}-.* UTC, 11 benchmarks\n", second.stdout
    )
    assert "since then, of" not in first.stdout
    assert "since then, of" in second.stdout
    assert "recorded under other conditions" not in second.stdout
    assert "Traceback" not in first.stderr + second.stderr


def test_extra_info_says_what_was_measured(recorded):
    """Beside every timing stands all that the contract of a record names."""
    _, files = recorded
    benchmarks = files[0]["benchmarks"]
    assert len(benchmarks) == 3 + 2 * 3 + 1 + 1
    for benchmark in benchmarks:
        info = benchmark["extra_info"]
        if info["problem"] == "nothing":
            continue
        assert set(EXTRA_INFO) <= info.keys() == {fact.name for fact in fields(Facts)}
        if info["part"] == "all":
            assert set(OF_WHOLE_STEPS) <= info.keys()
            assert 0 < info["peak_fraction"] < 2
            assert (info["product_flops_counted"] is None) == bool(info["uncounted"])
        assert info["threads"] == 1
        assert info["seed"] == 0
        assert info["gradient_error"] < 1e-5
        assert 0 < info["cpu_per_wall"] < 1.1
        assert (info["final_loss"] is None) == (info["problem"] == "sine_derivative_100")
        assert benchmark["group"].startswith(f"{info['problem']} cpu float32")
    hashes = {b["extra_info"]["problem"]: b["extra_info"]["inputs_sha256"] for b in benchmarks}
    assert len(set(hashes.values())) == len(hashes) == 3
    names = {benchmark["name"] for benchmark in benchmarks}
    assert "test_training[tiny_bias_3x2x1-numpy.by_hand-cpu-float32]" in names


def test_machine_info_is_equal_between_runs_of_one_machine(recorded):
    """The measured clock is left out, versions and the CPU are in."""
    _, files = recorded
    assert files[0]["machine_info"] == files[1]["machine_info"]
    assert files[0]["machine_info"]["versions"]["numpy"]
    assert files[0]["machine_info"]["cpu_model"]


def test_runs_at_other_settings_are_not_compared_quietly(run_pytest):
    """Another seed is another problem under the same names: the end of the run says so, with -q too."""
    assert run_pytest(ROOT / "perf", *FEW, "-q").returncode == 0
    done = run_pytest(ROOT / "perf", *FEW, "-q", "--seed", "1", "--benchmark-compare")
    assert "no run to compare with: 1 run in " in done.stdout
    assert ": 1 at other settings (settings.seed: 0 then, 1 now)\n" in done.stdout
    done = run_pytest(ROOT / "perf", *FEW, "-q", "--seed", "1", "--benchmark-compare=0001")
    assert "WARNING: the run compared with was recorded under other conditions" in done.stdout
    assert "settings.seed: 0 then, 1 now" in done.stdout


@pytest.mark.parametrize(("scale", "fails"), [(1e-6, True), (1e6, False)])
def test_compare_fail_is_pytest_benchmarks(run_pytest, tmp_path, scale, fails):
    """``--benchmark-compare-fail`` fails only if the stored median was smaller by more than it allows."""
    few = [ROOT / "perf", *FEW, "-k", "harness"]
    assert run_pytest(*few).returncode == 0
    (file,) = (tmp_path / "results").glob("*/*.json")
    record = json.loads(file.read_text())
    for benchmark in record["benchmarks"]:
        benchmark["stats"]["median"] *= scale
    file.write_text(json.dumps(record))
    done = run_pytest(*few, "--benchmark-compare", "--benchmark-compare-fail=median:5%")
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    assert ("Performance has regressed" in done.stdout + done.stderr) == fails


def test_benchmarks_without_a_counterpart_are_counted(run_pytest):
    """A comparison with a run that lacks some benchmarks reports how many."""
    assert run_pytest(ROOT / "perf", *FEW, "-k", "tiny_bias or harness").returncode == 0
    done = run_pytest(ROOT / "perf", *FEW, "--benchmark-compare=0001")
    assert "1 of 11 benchmarks are not in the run compared with" in done.stdout


def test_run_from_below_the_frameworks(run_pytest):
    """A folder called numpy in the working directory does not shadow numpy."""
    done = run_pytest(
        ROOT / "perf", *FEW, "--collect-only", cwd=ROOT / "gradperf" / "frameworks", PYTHONSAFEPATH="1"
    )
    assert done.returncode == 0


@pytest.fixture
def spy(tmp_path):
    """Return a plugin that prints at the end which frameworks were imported, and the folder it lies in."""
    (tmp_path / "spy.py").write_text(
        "import sys\n"
        "def pytest_unconfigure():\n"
        "    print('IMPORTED', sorted({'torch', 'tensorflow', 'jax', 'keras'} & sys.modules.keys()))\n"
    )
    return ("-p", "spy"), tmp_path


def test_numpy_alone_imports_no_other_framework(run_pytest, spy):
    """``--framework numpy`` must not pay for torch, TensorFlow or JAX."""
    plugin, folder = spy
    done = run_pytest(ROOT / "perf", *FEW, *plugin, extra_path=folder)
    assert done.returncode == 0
    assert "IMPORTED []" in done.stdout


def test_process_of_the_gate_imports_what_its_cases_need(run_pytest, spy):
    """Whatever the user named: a hundred processes would import it. All kinds of benchmarks can be repeated."""
    plugin, folder = spy
    done = run_pytest(
        *(ROOT / "perf", "--problem", "tiny_bias_3x2x1,sine_derivative_100,matmul_5x784x10", "--tier", "short"),
        *("-k", "numpy", "--benchmark-max-time=0.01", *plugin),
        extra_path=folder,
        GRADPERF_GATE="repeat",
    )
    assert done.returncode == 0, done.stdout
    assert "IMPORTED []" in done.stdout
    for test in ("derivative", "matmul", "forward", "backward", "training"):
        assert f"test_{test}[" in done.stdout


def test_threads_are_bound_before_numpy(run_pytest, tmp_path):
    """A plugin that imports numpy first would make --threads a lie, so the run is refused."""
    (tmp_path / "early.py").write_text("import numpy\n")
    done = run_pytest(ROOT / "perf", *FEW, "-p", "early", extra_path=tmp_path)
    assert done.returncode == 4
    assert "numpy was imported before its threads could be set to 1" in done.stderr


def test_disagreeing_style_is_not_timed(run_pytest, tmp_path):
    """A style with a wrong gradient fails, and no timing of it is saved."""
    (tmp_path / "saboteur.py").write_text(
        "import gradperf.machine.threads\n"
        "gradperf.machine.threads.bind(1)\n"
        "from gradperf.frameworks.numpy import backprop\n"
        "backprop.ACTIVATIONS['relu'] = (lambda z: z, lambda delta, z: delta)\n"
    )
    done = run_pytest(ROOT / "perf", *FEW, "-p", "saboteur", extra_path=tmp_path)
    assert done.returncode == 1
    assert "tiny_bias_3x2x1-numpy.by_hand-cpu-float32: " in done.stdout
    (file,) = (tmp_path / "results").glob("*/*.json")
    saved = {benchmark["name"] for benchmark in json.loads(file.read_text())["benchmarks"]}
    assert not [name for name in saved if "by_hand-" in name or "outer" in name]
    assert [name for name in saved if "by_hand_inplace" in name]


def test_differences_of_machines_are_shown_value_by_value():
    """A comparison after an upgrade names what was upgraded; pytest-benchmark then finds nothing to add."""
    ours = {"cpu_model": "A", "versions": {"torch": "2.13.0"}, "release": "6"}
    compared = {"machine_info": {"cpu_model": "B", "versions": {"torch": "2.12.1"}, "release": "6"}}
    warning = machine_info.compare_machines(ours, compared)
    assert "cpu_model: B then, A now" in warning
    assert "versions.torch: 2.12.1 then, 2.13.0 now" in warning
    assert "release" not in warning
    assert machine_info.compare_machines({"settings": {"seed": 1}}, {"machine_info": {"settings": {"seed": 0}}})
    assert compared["machine_info"] == ours
    assert machine_info.compare_machines(ours, compared) is None


def test_record_without_machine_info_is_compared():
    """A record without it leads to a warning, not to an internal error."""
    compared = {}
    assert "versions: not recorded then" in machine_info.compare_machines({"versions": "x"}, compared)


def test_nothing_is_saved_where_nothing_is_timed(run_pytest, tmp_path):
    """Collecting alone leaves no file and no complaint."""
    done = run_pytest(ROOT / "perf", *FEW, "--collect-only")
    assert done.returncode == 0
    assert not list((tmp_path / "results").glob("*/*.json"))
    assert "Not saving" not in done.stdout + done.stderr


def test_default_results_lie_in_the_repository(tmp_path, monkeypatch):
    """Pytest may be started from any directory."""
    monkeypatch.chdir("/")
    results = tmp_path / "results"
    assert storage.place("file://./.benchmarks", tmp_path) == (f"file://{results}", results)


def test_run_says_what_went_on_meanwhile(recorded):
    """Command, load, ceilings, pools, and how many of the selected benchmarks finished."""
    _, files = recorded
    run = files[0]["gradperf"]
    assert run["schema"] == SCHEMA
    assert run["command"][:2] == ["pytest", str(ROOT / "perf")]
    assert run["benchmarks_selected"] == run["benchmarks_finished"] == len(files[0]["benchmarks"])
    assert {(ceiling["device"], ceiling["dtype"]) for ceiling in run["ceilings"]} >= {("cpu", "float32")}
    assert set(run["pools"].values()) == {1}
    assert run["started"] <= run["finished"]
    assert files[0]["commit_info"].keys() >= {"id", "dirty"}


def test_facts_of_a_run(monkeypatch):
    """What was asked, what came of it, what went on; passwords stay out of it."""
    start = load.Moment(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), 0.5, load.CpuTimes(1000, 10))
    end = load.Moment(datetime(2026, 1, 2, 3, 5, 6, tzinfo=UTC), 1.5, load.CpuTimes(1100, 15))
    command = ["pytest", "perf", "--benchmark-storage=elasticsearch+https://me:secret@host/x", "a@b"]
    monkeypatch.setattr(ceilings, "known", dict)  # other tests of this process may have measured some
    asked = {"paths": ["perf"]}
    begun = recording.Recording(Settings("quick", 1, 7), None, start, asked, selected=3, cut_short="interrupted")
    run = recording.run_facts(begun, command, end, finished=2)
    assert json.loads(json.dumps(asdict(run))) == {
        "schema": SCHEMA,
        "command": ["pytest", "perf", "--benchmark-storage=elasticsearch+https://***@host/x", "a@b"],
        "started": "2026-01-02T03:04:05+00:00",
        "finished": "2026-01-02T03:05:06+00:00",
        "load": {"start": 0.5, "end": 1.5},
        "steal": 0.05,
        "benchmarks_selected": 3,
        "benchmarks_finished": 2,
        "selection": {"paths": ["perf"]},
        "cut_short": "interrupted",
        "planted": {},
        "cannot_run": {},
        "failed": {},
        "tier": "quick",
        "threads": 1,
        "seed": 7,
        "pools": libraries.pool_sizes(),
        "environment": libraries.environment(),
        "ceilings": [],
    }


def test_facts_are_read_as_they_were_written(recorded):
    """Of each benchmark and of the run; and what holds nothing is read as nothing."""
    _, files = recorded
    for benchmark in files[0]["benchmarks"]:
        assert json.loads(json.dumps(asdict(read_benchmark(benchmark).facts))) == benchmark["extra_info"]
    assert json.loads(json.dumps(asdict(read_run(files[0])))) == files[0]["gradperf"]
    assert read_benchmark({}).facts == Facts()
    assert read_run({}) == RunFacts()


def test_stored_run_shows_the_same_table(run_pytest, tmp_path, run_gradperf):
    """What ``gradperf show`` prints of a record is what the run printed itself with ``-v``."""
    ran = run_pytest(ROOT / "perf", *FEW, "-v")
    shown = run_gradperf("show", tmp_path / "results").stdout.splitlines()[2:]
    live = ran.stdout.splitlines()
    start = live.index(shown[0])
    assert live[start : start + len(shown)] == shown
    assert any(line.startswith("harness: ") for line in shown)


def test_the_end_of_a_run(recorded):
    """One page of 80 columns: the styles on an axis, what changed, what was checked, and what is next."""
    (first, second), _ = recorded
    assert (first.returncode, second.returncode) == (0, 0), first.stdout + second.stdout
    own = first.stdout[first.stdout.index("- gradperf -") :].splitlines()
    assert "tiny_bias_3x2x1, cpu, float32" in own
    assert any(re.fullmatch(r" +(\d|noisy) numpy\.by_hand +-*o-* +\d.* [µm]s  .*", line) for line in own), own
    assert [line for line in own if len(line) > 80] == []
    assert "each case was checked before and after its timing" in first.stdout
    assert "`gradperf report` for pictures" in " ".join(first.stdout.split())
    assert re.search(r"since then, of \d cases: ", second.stdout), second.stdout


def test_no_summary_leaves_the_tables_out_and_not_the_warnings(run_pytest):
    """The option is pytest's own; the warning about unlike runs is still shown."""
    assert run_pytest(ROOT / "perf", *FEW, "-k", "harness").returncode == 0
    done = run_pytest(
        ROOT / "perf", *FEW, "-k", "harness", "--no-summary", "--seed", "3", "--benchmark-compare=0001"
    )
    assert "harness: an empty style" not in done.stdout
    assert "settings.seed: 0 then, 3 now" in done.stdout


def test_wrong_only_after_the_timing_is_not_recorded(run_pytest, tmp_path):
    """A style that goes wrong while it is timed fails, and neither the JSON nor the table has it."""
    command = (ROOT / "perf" / "test_derivative.py", "--framework", "numpy", "--no-first-calls", "-p", "saboteur")
    (tmp_path / "saboteur.py").write_text(
        "import gradperf.machine.threads\n"
        "gradperf.machine.threads.bind(1)\n"
        "from gradperf.checks import agreement\n"
        "def fails(agreed, returned):\n"
        "    raise agreement.Disagreement('went wrong meanwhile')\n"
        "agreement.check_timed = fails\n"
    )
    done = run_pytest(*command, extra_path=tmp_path)
    assert done.returncode == 1
    assert "went wrong meanwhile" in done.stdout
    assert "µs/step" not in done.stdout
    (file,) = (tmp_path / "results").glob("*/*.json")
    assert json.loads(file.read_text())["benchmarks"] == []


def test_halves_stand_and_fall_with_their_case(run_pytest, tmp_path):
    """A case whose conduct is refused has no forward and no backward pass recorded either."""
    (tmp_path / "saboteur.py").write_text(
        "import gradperf.machine.threads\n"
        "gradperf.machine.threads.bind(1)\n"
        "from gradperf.checks import conduct\n"
        "def fails(agreed, count):\n"
        "    raise conduct.Misconduct('refused')\n"
        "conduct.check_pools = fails\n"
    )
    done = run_pytest(
        *(ROOT / "perf", "--framework", "numpy", "--style", "by_hand", "--problem", "tiny_3x2x1", "-p", "saboteur"),
        extra_path=tmp_path,
    )
    assert done.returncode == 1
    assert " passed" not in done.stdout
    assert not list((tmp_path / "results").glob("*/*.json"))


@pytest.mark.parametrize(
    ("run", "text"),
    [
        ({"benchmarks_selected": 31, "benchmarks_finished": 12}, "12 of 31 benchmarks"),
        ({"benchmarks_selected": 31, "benchmarks_finished": 31}, None),
        ({}, None),
        (None, None),
        ({"benchmarks_selected": "31", "benchmarks_finished": None}, None),
    ],
)
def test_partial_run_is_reported(run, text):
    """By its own count; a record without counts has no message."""
    assert read_run({"gradperf": run} if run is not None else {}).partial == text
