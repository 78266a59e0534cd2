"""No case may change what all cases share."""

import gc
import os
import subprocess
import sys
import time

import pytest

from gradperf.machine import children
from gradperf.machine.watch import Watch
from tests.conftest import ROOT


@pytest.fixture
def watch():
    """Return a watch of this process."""
    watched = Watch()
    watched.begin()
    return watched


def test_nothing_before_it_begins(monkeypatch):
    """A library that uses parts of the suite is not watched."""
    monkeypatch.setenv("GRADPERF_GATE", "repeat")
    assert Watch().changes() == []


def test_nothing_changed(watch, monkeypatch):
    """What libraries set when they are loaded, and pytest at every test, is no change."""
    monkeypatch.setenv("KMP_DUPLICATE_LIB_OK", "True")
    monkeypatch.setenv("PYTEST_CURRENT_TEST", "another")
    assert watch.changes() == []


def test_the_garbage_collector(watch):
    """It is compared with what it was."""
    gc.disable()
    try:
        assert watch.changes() == ["gc.isenabled() is False, it was True"]
    finally:
        gc.enable()
    assert watch.changes() == []


def test_variables(watch, monkeypatch):
    """One that was there, and a new one of ours."""
    monkeypatch.delenv("PATH")
    monkeypatch.setenv("GRADPERF_GATE", "repeat")
    new, gone = watch.changes()
    assert gone.startswith("the variable PATH is None")
    assert new.startswith("the variable GRADPERF_GATE is 'repeat', it was ")


def test_functions(watch, monkeypatch):
    """They are compared by identity: clocks, and ours, methods too."""
    monkeypatch.setattr(time, "process_time", lambda: 0.0)
    monkeypatch.setattr(children, "cpu_s", lambda: 0.0)
    assert watch.changes() == [
        "gradperf.machine.children.cpu_s was replaced",
        "time.process_time was replaced",
    ]


FIRST_COMPILATION = {
    "torch": "torch.compile(lambda x: torch.sin(x) * 2)(torch.ones(3))",
    "jax": "jax.jit(lambda x: jax.numpy.sin(x) * 2)(jax.numpy.ones(3))",
    "tensorflow": "tensorflow.function(lambda x: tensorflow.sin(x) * 2, jit_compile=True)(tensorflow.ones(3))",
}


@pytest.mark.parametrize("framework", FIRST_COMPILATION)
def test_the_first_compilation(framework, tmp_path):
    """What a compiler sets when its cache is empty is no change: a new user's first run must not be refused."""
    pytest.importorskip(framework)
    source = f"""
from gradperf import frameworks
from gradperf.machine.watch import process
process.begin()
frameworks.load({framework!r}, 1)
import {framework}
{FIRST_COMPILATION[framework]}
print(frameworks.changes())
"""
    quick = {"TORCHINDUCTOR_VEC_ISA_OK": "1", "TORCHINDUCTOR_CPP_CACHE_PRECOMPILE_HEADERS": "0"}
    caches = {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path), "HOME": str(tmp_path)}
    inherited = {"_TORCHINDUCTOR_PYOBJECT_TENSOR_DATA_PTR": "1"}  # from a process that has compiled
    done = subprocess.run(
        [sys.executable, "-c", source],
        capture_output=True,
        text=True,
        env={**os.environ, **quick, **caches, **inherited, "PYTHONPATH": str(ROOT)},
        timeout=300,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_what_is_allowed(watch, monkeypatch):
    """A framework may set variables when it is imported; other changes stay changes."""
    monkeypatch.setenv("GRADPERF_ONE", "1")
    with watch.allowing():
        monkeypatch.setenv("GRADPERF_TWO", "2")
    assert watch.changes() == ["the variable GRADPERF_ONE is '1', it was None"]


@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
def test_children():
    """The CPU time of processes below this one counts, unless they are ours."""
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        end = time.monotonic() + 30
        while children.cpu_s() < 0.05 and time.monotonic() < end:
            time.sleep(0.05)
        assert children.cpu_s() >= 0.05
        children.OURS.add(busy.pid)
        assert children.cpu_s() < 0.05
    finally:
        children.OURS.discard(busy.pid)
        busy.kill()
        busy.wait()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="there is no affinity here")
def test_affinity(watch):
    """A style that keeps the process on one CPU makes the cases after it slower."""
    usable = os.sched_getaffinity(0)
    if len(usable) < 2:
        pytest.skip("needs two CPUs")
    os.sched_setaffinity(0, {min(usable)})
    try:
        (change,) = watch.changes()
        assert change.startswith("the CPUs of this process is {")
    finally:
        os.sched_setaffinity(0, usable)
