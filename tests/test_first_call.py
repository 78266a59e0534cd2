"""The first call and the memory of a case: what the numbers include, and the reasons for a missing number."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import uuid
from pathlib import Path

import numpy as np
import pytest

from gradperf import cases
from gradperf.checks import agreement
from gradperf.first_call import fresh_process
from gradperf.first_call import measure as first_call
from gradperf.first_call.fresh_process import StandIn
from gradperf.first_call.measure import FreshProcesses, NotMeasured
from tests.conftest import soon

SETTINGS = cases.Settings()
NUMPY = "tiny_3x2x1-numpy.by_hand-cpu-float64"
ONE_OF_EACH = [
    NUMPY,
    "tiny_3x2x1-torch.autograd-cpu-float64",
    "tiny_3x2x1-tensorflow.function-cpu-float64",
    "tiny_3x2x1-jax.jit-cpu-float64",
]


def case_of(id_):
    """Return the case, or skip if its framework is missing."""
    case = cases.find(id_, SETTINGS)
    if reason := cases.obstacle(case, SETTINGS.threads):
        pytest.skip(reason)
    return case


@pytest.fixture(scope="module")
def processes():
    """Yield processes that all tests share, as the cases of a run do."""
    with FreshProcesses() as shared:
        yield shared


@pytest.fixture
def measure(tmp_path, processes):
    """Return ``measure(source)``: the first call of a style that wraps numpy's ``by_hand``."""

    def run(source, processes=processes, id_=NUMPY, **named):
        module = f"style{uuid.uuid4().hex}"
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(source))
        stand_in = StandIn(module, (str(tmp_path),))
        return first_call.measure(case_of(id_), SETTINGS, processes, stand_in=stand_in, **named)

    return run


@pytest.fixture
def marked(monkeypatch, tmp_path):
    """Return a function that waits until no marked process or file of the test is left, and returns the rest."""
    mark = uuid.uuid4().hex
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("GRADPERF_TEST_MARK", mark)
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)

    def running():
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if mark.encode() in (process / "environ").read_bytes() and int(process.name) != os.getpid():
                    found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except (OSError, ValueError):
                pass
        return found

    def found():
        return [*running(), *folder.iterdir()]

    def left():
        soon(lambda: not found())
        return found()

    left.running = running
    return left


@pytest.mark.parametrize("id_", ONE_OF_EACH)
def test_first_call_agrees_with_the_reference(id_, processes):
    """In each framework, in a fork: importing it starts no thread and no device."""
    case = case_of(id_)
    found = first_call.measure(case, SETTINGS, processes)
    assert found.forked
    assert found.first_call_s == found.prepare_s + found.call_s > 0
    assert found.memory_peak_bytes >= 0
    assert found.device_memory_peak_bytes is None
    agreement.check_entries(
        case, found.outputs, agreement.truth(case.problem, case.problem, SETTINGS.seed, case.dtype)
    )


def test_a_new_interpreter_measures_the_same():
    """It replaces a fork if that is not safe."""
    with FreshProcesses(fork=False) as processes:
        found = first_call.measure(case_of(NUMPY), SETTINGS, processes)
    assert not found.forked
    assert found.first_call_s > 0
    assert found.outputs["losses"].shape == (case_of(NUMPY).problem.steps,)


def test_several_threads_can_be_forked():
    """The BLAS starts threads when numpy is imported."""
    settings = cases.Settings(threads=2)
    with FreshProcesses() as processes:
        assert first_call.measure(cases.find(NUMPY, settings), settings, processes).forked


def test_only_what_was_proven_is_forked(tmp_path):
    """Nothing is forked for a GPU."""
    from gradperf.first_call import fresh_process

    case = cases.find("tiny_3x2x1-torch.autograd-cuda-float32", SETTINGS)
    assert not fresh_process.forks(fresh_process.Request(str(tmp_path), "time", case, SETTINGS, limit_s=1))


def test_prepare_and_the_first_call_are_timed_and_imports_are_not(measure):
    """Import, ``prepare`` and the first call sleep for different times."""
    found = measure(
        """
        import time
        from gradperf.frameworks.numpy.training import by_hand
        time.sleep(0.5)

        def prepare(*arguments):
            time.sleep(0.2)
            call, sleeps_s = by_hand.prepare(*arguments), [0.1]

            def run():
                time.sleep(sleeps_s.pop() if sleeps_s else 0)
                return call()

            return run
        """
    )
    assert 0.2 <= found.prepare_s < 0.5
    assert found.call_s >= 0.1
    assert found.first_call_s >= 0.3


def test_compilation_is_in_it(processes):
    """The first call of a compiled style takes far longer than later calls."""
    case = case_of("tiny_3x2x1-jax.jit-cpu-float64")
    found = first_call.measure(case, SETTINGS, processes)
    run = agreement.agree(case, SETTINGS).run

    def seconds():
        start_s = time.perf_counter()
        run()
        return time.perf_counter() - start_s

    assert found.first_call_s > 3 * min(seconds() for _ in range(20))


@pytest.mark.parametrize("where", ["prepare", "run"])
def test_memory_is_what_was_allocated_at_most(measure, where):
    """200 MB that are freed before the end."""
    found = measure(
        f"""
        import numpy as np
        from gradperf.frameworks.numpy.training import by_hand

        def allocate(where):
            if where == {where!r}:
                np.ones(25_000_000)

        def prepare(*arguments):
            allocate("prepare")
            call = by_hand.prepare(*arguments)

            def run():
                allocate("run")
                return call()

            return run
        """
    )
    assert found.memory_peak_bytes == pytest.approx(200e6, rel=0.02)


def test_memory_of_nearly_nothing_is_nearly_nothing(processes):
    """It includes neither the imports nor the fork."""
    assert first_call.measure(case_of(NUMPY), SETTINGS, processes).memory_peak_bytes < 3e6


def test_a_wrong_first_call_is_none(measure):
    """A style that is right only from the second call on fails."""
    with pytest.raises(agreement.Disagreement, match="first call in a fresh process"):
        measure(
            """
            from gradperf.frameworks.numpy.training import by_hand

            def prepare(*arguments):
                call, factors = by_hand.prepare(*arguments), [1.5]

                def run():
                    factor = factors.pop() if factors else 1
                    return {name: factor * array for name, array in call().items()}

                return run
            """
        )


DEATHS = {
    "import os, signal; print('so it goes', flush=True); os.kill(os.getpid(), signal.SIGSEGV)": (
        "ended without an answer (SIGSEGV); its last output: so it goes"
    ),
    "import os; os._exit(0)": "ended without an answer (exit code 0)",
    "import os; os.kill(os.getpid(), 40)": "ended without an answer (signal 40)",
    "import os; os._exit(3)": "ended without an answer (exit code 3)",
    "raise ValueError('of two\\nlines')": "raised ValueError: of two lines",
    "raise KeyboardInterrupt": "raised KeyboardInterrupt",
    "import time; time.sleep(60)": "took longer than 1 s",
    "import no_such_module": "No module named 'no_such_module'",
}


@pytest.mark.parametrize("death", DEATHS)
def test_no_number_has_a_reason_on_one_line(measure, death):
    """The reason is one line that names the case."""
    with pytest.raises(NotMeasured, match=re.escape(DEATHS[death])) as raised:
        measure(f"def prepare(*arguments):\n    {death}", limit_s=1)
    assert NUMPY in str(raised.value)
    assert "\n" not in str(raised.value)


def test_what_a_framework_prints_is_no_answer(measure):
    """On standard output and error, through Python and past it."""
    found = measure(
        """
        import os
        from gradperf.frameworks.numpy.training import by_hand

        def prepare(*arguments):
            for fd in (1, 2):
                os.write(fd, b'{"code": 1, "reason": "none"}\\n' * 10_000)
            print('{"prepare_s": 0}')
            return by_hand.prepare(*arguments)
        """
    )
    assert found.prepare_s > 0


def test_nothing_is_left(measure, marked):
    """No process, not even one that a stopped child started, and no file."""
    with FreshProcesses() as processes:
        first_call.measure(case_of(NUMPY), SETTINGS, processes)
        assert len(marked.running()) == 1  # the launcher
        with pytest.raises(NotMeasured, match="took longer"):
            measure(
                """
                import subprocess, tempfile

                def prepare(*arguments):
                    tempfile.mkdtemp()
                    subprocess.Popen(["sleep", "60"])
                    subprocess.run(["sleep", "60"])
                """,
                processes,
                limit_s=1,
            )
        # A killed process may exist a little longer.
        assert soon(lambda: len(marked.running()) == 1)
    assert marked() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_of_a_run_that_was_stopped(tmp_path, marked, number):
    """By Ctrl-C, or killed."""
    (tmp_path / "sleeps.py").write_text(
        "import pathlib, time\n"
        f"def prepare(*arguments):\n    pathlib.Path({str(tmp_path / 'there')!r}).touch()\n    time.sleep(60)\n"
    )
    program = (
        "from gradperf import cases\n"
        "from gradperf.first_call import fresh_process, measure\n"
        "settings = cases.Settings()\n"
        "with measure.FreshProcesses() as processes:\n"
        f"    measure.measure(cases.find({NUMPY!r}, settings), settings, processes,\n"
        f"                    stand_in=fresh_process.StandIn('sleeps', ({str(tmp_path)!r},)))\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not (tmp_path / "there").exists():
            time.sleep(0.01)
        process.send_signal(number)
    assert process.returncode != 0
    assert marked() == []


def test_a_launcher_that_died_is_replaced(measure):
    """The first case has the reason, and the next one is measured."""
    kill = "import os, signal\ndef prepare(*arguments):\n    os.kill(os.getppid(), signal.SIGKILL)\n    os._exit(1)"
    with FreshProcesses() as processes:
        with pytest.raises(NotMeasured, match="the process that starts others ended"):
            measure(kill, processes)
        assert first_call.measure(case_of(NUMPY), SETTINGS, processes).first_call_s > 0


@pytest.mark.parametrize("lost", ["killed", "closed", "without its folder"])
def test_a_launcher_that_is_lost_before_the_memory(lost):
    """The memory has the reason, at once, though nothing waited for it; the next case is measured."""
    with FreshProcesses() as processes:
        timed = first_call.time_call(case_of(NUMPY), SETTINGS, processes)
        if lost == "killed":
            timed.launcher._process.kill()
            timed.launcher._process.wait()
        elif lost == "closed":
            timed.launcher.close()
        else:
            shutil.rmtree(timed.request.folder)
        timed.start_memory()
        with pytest.raises(NotMeasured, match="memory: the process that starts others ended"):
            timed.finish()
        assert first_call.measure(case_of(NUMPY), SETTINGS, processes).memory_peak_bytes > 0


LISTS_CACHES = """
    import os, pathlib, tempfile
    from gradperf.frameworks.numpy.training import by_hand

    def prepare(*arguments):
        # torch.compile keeps a header of this run there.
        folder = os.path.dirname(os.path.dirname(os.environ["CUDA_CACHE_PATH"]))
        assert tempfile.gettempdir() == os.environ["TMPDIR"] == folder
        for name in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "CUDA_CACHE_PATH"):
            folder = pathlib.Path(os.environ[name])
            with open({seen!r}, "a") as file:
                print(name, sum(1 for _ in folder.rglob("*")), file=file)
            folder.mkdir(exist_ok=True)
            (folder / "compiled").touch()
        return by_hand.prepare(*arguments)
"""


def test_compile_caches_are_cold_for_the_time_and_warm_for_the_memory(measure, tmp_path):
    """In each measurement."""
    seen = tmp_path / "seen"
    for _ in range(2):
        measure(LISTS_CACHES.format(seen=str(seen)))
    assert [int(line.split()[1]) for line in seen.read_text().splitlines()] == [0, 0, 0, 1, 1, 1] * 2


@pytest.mark.parametrize("compiles", [True, False])
def test_what_was_installed_is_not_the_first_call(processes, tmp_path, compiles):
    """A style that keeps something for its first call must still compile in it."""
    case, module = case_of(NUMPY), f"style{uuid.uuid4().hex}"
    source = LISTS_CACHES.format(seen=str(tmp_path / "seen")).replace(
        '"compiled"', '"more"' if compiles else '"kept"'
    )
    (tmp_path / f"{module}.py").write_text(textwrap.dedent(source))
    launcher = processes.launcher("numpy", 1)
    folder = tempfile.mkdtemp(prefix="case-", dir=launcher.home)
    for cache in fresh_process.CACHES.values():
        (tmp_path / "installed" / cache).mkdir(parents=True)
        (tmp_path / "installed" / cache / "kept").touch()
    stand_in, installed = StandIn(module, (str(tmp_path),)), str(tmp_path / "installed")
    request = fresh_process.Request(folder, "time", case, SETTINGS, 60.0, True, stand_in, installed)
    if compiles:
        assert launcher.ask(request)["call_s"] > 0
    else:
        with pytest.raises(NotMeasured, match=r"its install\(\) compiled all that its first call needs"):
            launcher.ask(request)


def test_persistent_caches_are_off(processes, tmp_path, monkeypatch):
    """Caches that the user switched on are off; everything else in these variables stays."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(cache))
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    monkeypatch.setenv("TF_XLA_FLAGS", f"--tf_xla_persistent_cache_directory={cache} --tf_xla_auto_jit=0")
    found = first_call.environment()
    assert found["TF_XLA_FLAGS"] == "--tf_xla_auto_jit=0"
    assert "JAX_COMPILATION_CACHE_DIR" not in found
    with FreshProcesses() as fresh:
        first_call.measure(case_of("tiny_3x2x1-jax.scan-cpu-float64"), SETTINGS, fresh)
    assert not cache.exists()


def test_torch_compiles_anew_each_time(measure, tmp_path):
    """Its cache is empty before the call and holds one new library afterwards."""
    case_of("tiny_3x2x1-torch.compiled-cpu-float64")
    seen = tmp_path / "seen"
    source = f"""
        import os, pathlib
        import torch
        from gradperf.frameworks.torch.derivative import ones

        def libraries(when):
            folder = pathlib.Path(os.environ["TORCHINDUCTOR_CACHE_DIR"])
            with open({str(seen)!r}, "a") as file:
                print(when, *(path.name for path in folder.rglob("*.main.so")), file=file)

        # Saves fifteen seconds: no programs that find out what this CPU can do, and no precompiled header.
        os.environ["TORCHINDUCTOR_VEC_ISA_OK"] = "1"
        os.environ["TORCHINDUCTOR_CPP_CACHE_PRECOMPILE_HEADERS"] = "0"

        def prepare(*arguments):
            libraries("before")
            call = ones.prepare(*arguments)
            doubled = torch.compile(lambda x: 2 * torch.sin(x), fullgraph=True)

            def run():
                doubled(torch.ones(64))
                libraries("after")
                return call()

            return run
    """
    found = measure(source, id_="sine_derivative_100-torch.ones-cpu-float32")
    timed_before, timed_after, weighed_before, *_ = (line.split() for line in seen.read_text().splitlines())
    assert timed_before == ["before"]
    assert len(timed_after) == 2
    assert weighed_before[1:] == timed_after[1:]
    assert np.isfinite(found.outputs["grad_x"]).all()
