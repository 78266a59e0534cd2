"""No run is lost: not to another saved at the same time, not to a kill, not to a folder that cannot be written.

The numbers at full size: ``python -m tests.saving_trial``.
"""

import errno
import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from gradperf.machine.lock import try_lock
from gradperf.records import numbered, storage
from tests import saving_trial
from tests.conftest import ROOT, run_process

ONE = (
    *("--framework", "numpy", "--problem", "tiny_3x2x1", "--style", "by_hand", "-k", "training"),
    *("--no-first-calls", "--benchmark-max-time=0.01"),
)


def stored(folder):
    return sorted((folder / "results" / storage.MACHINE_ID).glob("*.json"))


# Files under numbers.


def test_savers_at_once_lose_nothing(tmp_path):
    """Each of 40 runs of 8 processes is whole, and has a number of its own."""
    assert saving_trial.save_at_once(tmp_path, savers=8, each=5) == (40, 40, [])


def test_killed_savers_lose_nothing(tmp_path):
    """What a killed process had saved stays, and what has a name is whole; the next save removes what was left."""
    said, there = saving_trial.kill_savers(tmp_path, kills=12)
    assert said <= there
    numbered.add(tmp_path, "after", "{}")
    assert saving_trial.strays(tmp_path) == []


def test_temporary_file_of_a_living_saver_stays(tmp_path):
    """Only when its writer has ended is it removed."""
    temporary = tmp_path / ".gradperf-run-x.tmp"
    descriptor = try_lock(temporary)
    numbered.add(tmp_path, "a", "{}")
    assert temporary.exists()
    os.close(descriptor)
    numbered.add(tmp_path, "b", "{}")
    assert not temporary.exists()


@pytest.mark.parametrize(
    ("there", "name"),
    [
        ([], "0001_x.json"),
        (["0001_a.json", "0007_b.json"], "0008_x.json"),
        (["9999_a.json"], "10000_x.json"),
        (["9999_a.json", "10000_a.json"], "10001_x.json"),
        (["0003_a.txt", "nine.json", f"{'9' * 200}_a.json", "0002_a.json"], "0003_x.json"),
    ],
)
def test_number_follows_the_highest(tmp_path, there, name):
    """Also after 9999; other files do not count."""
    for other in there:
        (tmp_path / other).touch()
    assert numbered.add(tmp_path, "x", "{}").name == name


@pytest.mark.parametrize("links", [True, False])
def test_nothing_is_overwritten(tmp_path, monkeypatch, links):
    """A file that another program made under the next name stays, on a file system without links too."""
    if not links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError(errno.EPERM, "no links")))
    monkeypatch.setattr(numbered, "number", lambda file: None)  # it was made after the folder was read
    (tmp_path / "0001_x.json").write_text("theirs")
    assert numbered.add(tmp_path, "x", "ours").name == "0002_x.json"
    assert (tmp_path / "0001_x.json").read_text() == "theirs"
    assert (tmp_path / "0002_x.json").read_text() == "ours"


def test_a_number_is_given_by_one_saver_at_a_time(tmp_path):
    """A saver that finds the folder locked waits, and counts what came meanwhile."""
    descriptor = try_lock(tmp_path / numbered.LOCK)
    with ThreadPoolExecutor() as other:
        saved = other.submit(numbered.add, tmp_path, "x", "{}")
        time.sleep(0.1)
        assert not saved.done()
        (tmp_path / "0001_y.json").touch()
        os.close(descriptor)
        assert saved.result().name == "0002_x.json"


def test_each_step_of_a_save_holds_the_lock(tmp_path, monkeypatch):
    """When it clears away, and when it takes a number: nobody else can have the lock then."""
    seen = []
    for step in ("_remove_abandoned", "_publish"):
        done = getattr(numbered, step)

        def watched(*arguments, step=step, done=done):
            seen.append((step, try_lock(tmp_path / numbered.LOCK)))
            return done(*arguments)

        monkeypatch.setattr(numbered, step, watched)
    numbered.add(tmp_path, "x", "{}")
    assert seen == [("_remove_abandoned", None), ("_publish", None)]


def test_hanging_owner_of_the_lock_does_not_stop_a_save(tmp_path, monkeypatch):
    """After a while the run is saved without the lock."""
    monkeypatch.setattr(numbered, "PATIENCE_S", 0.05)
    descriptor = try_lock(tmp_path / numbered.LOCK)
    assert numbered.add(tmp_path, "x", "{}").exists()
    os.close(descriptor)


def test_removed_folder_is_made_again(tmp_path):
    """Somebody cleared the results away while the benchmarks ran."""
    assert numbered.add(tmp_path / "gone" / "too", "x", "{}").is_file()


def test_saved_file_has_ordinary_rights(tmp_path):
    """Those that the user's umask gives, as pytest-benchmark's files."""
    (tmp_path / "plain").touch()
    assert numbered.add(tmp_path, "x", "{}").stat().st_mode == (tmp_path / "plain").stat().st_mode


# Runs of the suite.


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Return the folder and the output of a run that saves whatever pytest-benchmark can."""
    folder = tmp_path_factory.mktemp("saved")
    command = [sys.executable, "-m", "pytest", str(ROOT / "perf"), *ONE, "-p", "no:cacheprovider"]
    command += [f"--benchmark-storage=file://{folder / 'results'}", "--benchmark-json=all.json"]
    return folder, run_process([*command, "--benchmark-save=mine", "--benchmark-save-data"], folder, "", {})


def test_options_of_pytest_benchmark_keep_their_meaning(saved):
    """The user's name; a JSON file; all rounds in both. The end says where they are, in the shorter way."""
    folder, done = saved
    (file,) = stored(folder)
    assert file.name == "0001_mine.json"
    assert f"gradperf: saved as results/{storage.MACHINE_ID}/0001_mine.json\n" in done.stdout
    assert "gradperf: saved, with all rounds, as all.json\n" in done.stdout
    assert done.returncode == 0
    both = [json.loads(path.read_text()) for path in (file, folder / "all.json")]
    assert both[0].keys() == both[1].keys() >= {"machine_info", "commit_info", "datetime", "version", "gradperf"}
    for run in both:
        (benchmark,) = run["benchmarks"]
        assert len(benchmark["stats"]["data"]) == benchmark["stats"]["rounds"]
    assert both[0]["gradperf"]["selection"]["framework"] == ["numpy"]
    assert both[0]["gradperf"]["cut_short"] is None


def test_pytest_benchmark_reads_the_files(saved):
    """Its own command finds a run by its number."""
    folder, _ = saved
    command = [sys.executable, "-m", "pytest_benchmark", "--storage", str(folder / "results"), "compare", "0001"]
    done = run_process(command, folder, "", {})
    assert done.returncode == 0, done.stderr
    assert "test_training[tiny_3x2x1-numpy.by_hand-cpu-float32]" in done.stdout


def test_each_benchmark_is_saved(run_pytest, tmp_path):
    """Also one that is no case of gradperf, and one that asks for the fixture late; of others, the reason."""
    perf = tmp_path / "perf"
    perf.mkdir()
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "conftest.py").write_text(
        "from gradperf.suite import selection\n"
        "pytest_plugins = ['gradperf.suite.plugin']\n"
        "def pytest_generate_tests(metafunc): selection.parametrize(metafunc, all_dtypes=False)\n"
    )
    (perf / "test_own.py").write_text(
        "import pytest\n"
        "def test_plain(benchmark): benchmark(int)\n"
        "def test_late(request): request.getfixturevalue('benchmark')(int)\n"
        "def test_unused(benchmark): pass\n"
        "def test_fails(benchmark): benchmark(lambda: 1 / 0)\n"
        "@pytest.mark.family('nothing')\n"
        "def test_case(case, benchmark): raise OSError('gone\\nsecond line')\n"
        "@pytest.mark.family('matmul', problem='matmul_64x64x64')\n"
        "def test_product(case): pass\n"
    )
    done = run_pytest(perf, "--framework=numpy", "--benchmark-max-time=0.01", "--no-first-calls", cwd=tmp_path)
    assert done.returncode == 1
    (file,) = stored(tmp_path)
    record = json.loads(file.read_text())
    names = sorted(one["name"] for one in record["benchmarks"])  # the order is random
    assert names == ["test_late", "test_plain"]
    assert file.stem.endswith("_partial")
    assert "a partial run (2 of 4 benchmarks, 2 failed): it never counts as the last run" in done.stdout
    assert record["gradperf"]["failed"] == {"OSError: gone": ["nothing-numpy.empty-cpu-float64"]}
    (reason,) = record["gradperf"]["cannot_run"]
    assert reason.startswith("262,144 Python calls")
    ids = ["matmul_64x64x64-numpy.loops-cpu-float32"]
    assert record["gradperf"]["cannot_run"][reason] == ids


def test_failure_of_the_tables_loses_no_run(run_pytest, tmp_path):
    """pytest-benchmark fails over an unknown grouping after all was timed; the run is there."""
    done = run_pytest(ROOT / "perf", *ONE, "--benchmark-group-by=nonsense")
    assert done.returncode != 0
    assert len(stored(tmp_path)) == 1


def test_interrupted_run_is_kept_as_partial(tmp_path):
    """Ctrl-C while a benchmark runs: what was timed is saved, under a name that says so."""
    (tmp_path / "interrupt.py").write_text(
        "import os, pytest, signal\n"
        "seen = []\n"
        "def pytest_runtest_setup(item):\n"
        "    seen.append(item)\n"
        "    if len(seen) == 2:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
    )
    command = [sys.executable, "-m", "pytest", str(ROOT / "perf"), *ONE[:4], *ONE[-2:], "-p", "interrupt"]
    command += ["-p", "no:cacheprovider", f"--benchmark-storage=file://{tmp_path / 'results'}"]
    done = run_process(command, tmp_path, tmp_path, {})
    assert done.returncode == 2
    (file,) = stored(tmp_path)
    assert re.fullmatch(r"0001_\d{8}T\d{6}Z_\d+_partial\.json", file.name)
    assert re.search(r"saved as .*_partial\.json, a partial run \(1 of \d+ benchmarks, interrupted\)", done.stdout)
    assert re.fullmatch(r"1 of \d+ benchmarks, interrupted", storage.read(file).partial)


def test_run_of_what_failed_before_is_partial(tmp_path, run_pytest):
    """``--lf`` leaves out most of what was selected, and its run must not become the last one."""
    cached = ("-p", "cacheprovider", "-o", f"cache_dir={tmp_path / 'cache'}")
    assert run_pytest(ROOT / "perf", *ONE, *cached, "--lf").returncode == 0
    (file,) = stored(tmp_path)
    assert storage.read(file).partial == "only those that failed before"


# What goes wrong.

BOUND = "import gradperf.machine.threads\ngradperf.machine.threads.bind(1)\n"

FULL = """
import resource
def pytest_runtest_teardown():
    resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, resource.RLIM_INFINITY))
"""
IN_THE_WAY = """
import shutil, pathlib
def pytest_runtest_teardown():
    shutil.rmtree("results")
    pathlib.Path("results").touch()
"""
READ_ONLY = """
import errno
from gradperf.records import numbered
add = numbered.add
def read_only(folder, *rest):
    if "results" in str(folder):
        raise OSError(errno.EROFS, "Read-only file system")
    return add(folder, *rest)
numbered.add = read_only
"""


@pytest.mark.parametrize(
    ("sabotage", "reason"),
    [(FULL, "File too large"), (IN_THE_WAY, "Not a directory"), (READ_ONLY, "Read-only file system")],
    ids=["full", "in the way", "read-only"],
)
def test_run_that_cannot_be_saved(run_pytest, tmp_path, sabotage, reason):
    """One line says why, what to do and where the run is now; the table is shown, and the exit code is not 0."""
    (tmp_path / "saboteur.py").write_text(BOUND + sabotage)
    (tmp_path / "tmp").mkdir()
    (tmp_path / "home").touch()  # nothing can be written below it
    places = {"TMPDIR": str(tmp_path / "tmp"), "HOME": str(tmp_path / "home")}
    done = run_pytest(ROOT / "perf", *ONE, "-p", "saboteur", extra_path=tmp_path, **places)
    assert done.returncode == 1
    assert "time per step, -- its interval" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("gradperf: ERROR")]
    assert re.search(
        rf"the run cannot be saved in results/\S+: {reason}.*; .*; make room there, or give another", line
    )
    kept = list((tmp_path / "tmp").rglob("*.json"))
    if sabotage == FULL:  # no place is left
        assert "it is lost, because no other place was left for it" in line
        assert not [file for file in tmp_path.rglob("*.tmp") if "gradperf" in file.name]
    else:
        assert f"; it is kept as {kept[0].relative_to(tmp_path)}; " in line
        assert len(storage.read(kept[0]).benchmarks) == 1


def test_json_is_written_whole_or_not_at_all(run_pytest, tmp_path):
    """If it cannot be written any more, the file before it stays, and the run is stored all the same."""
    (tmp_path / "saboteur.py").write_text(
        f"{BOUND}from gradperf import files\n"
        "def full(*_): raise OSError(28, 'No space left on device')\n"
        "files._replace = full\n"
    )
    (tmp_path / "run.json").write_text("before")
    few = [ROOT / "perf", *ONE, "-p", "saboteur"]
    done = run_pytest(*few, "--benchmark-json=run.json", extra_path=tmp_path, TMPDIR=str(tmp_path))
    assert done.returncode == 1
    assert (
        "ERROR: --benchmark-json=run.json: cannot be written: No space left on device; it is kept as" in done.stdout
    )
    assert (tmp_path / "run.json").read_text() == "before"
    assert len(stored(tmp_path)) == 1


def test_ctrl_c_at_the_end_loses_no_run(run_pytest, tmp_path):
    """All was timed, and only the comparison with the ceilings is missing: the run is saved, as partial."""
    (tmp_path / "impatient.py").write_text(
        f"{BOUND}from gradperf.checks import ceilings\n"
        "def pressed(*_): raise KeyboardInterrupt\n"
        "def pytest_runtest_teardown(): ceilings.ceilings = pressed\n"
    )
    run_pytest(ROOT / "perf", *ONE, "-p", "impatient", extra_path=tmp_path)
    (file,) = stored(tmp_path)
    assert storage.read(file).partial == "interrupted"
    assert len(storage.read(file).benchmarks) == 1


def test_saving_is_not_interrupted(tmp_path):
    """Impatience at the end of a run, a second Ctrl-C, must not cost it."""
    source = (
        "import os, signal\n"
        "from gradperf.suite import saving\n"
        "with saving._without_interrupt():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "print('saved', signal.getsignal(signal.SIGINT) is signal.default_int_handler)\n"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "saved True\n"


def test_nothing_timed_is_nothing_saved(run_pytest, tmp_path):
    """The end says so, and no file is made."""
    perf = tmp_path / "perf"
    perf.mkdir()
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["gradperf.suite.plugin"]\n')
    (perf / "test_own.py").write_text("def test_unused(benchmark): pass\n")
    done = run_pytest(perf, cwd=tmp_path)
    assert done.returncode == 0
    assert "gradperf: nothing was saved, because no benchmark was timed" in done.stdout
    assert stored(tmp_path) == []
