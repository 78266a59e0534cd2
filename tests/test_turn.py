"""One run at a time is timed on a machine: the next one waits or refuses, and a lock ends with its owner."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gradperf.errors import UserError
from gradperf.machine import lock as machine_lock
from gradperf.machine.lock import try_lock
from gradperf.suite import turn
from tests.conftest import ROOT

OWNER = """
import sys, time
from pathlib import Path
from gradperf.suite import turn
held = turn.take(Path(sys.argv[1]), "pytest perf --tier full", waits=True, say=print)
print("taken", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def lock(tmp_path, monkeypatch):
    """Return the file to lock; this process is in no run."""
    monkeypatch.delenv(turn.WITHIN, raising=False)
    return tmp_path / "gradperf.lock"


@pytest.fixture
def owner(lock):
    """Return another process whose turn it is."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout.readline() == "taken\n"
    yield process
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        stream.close()


def take(lock, said, **how):
    return turn.take(lock, "pytest perf", **{"waits": True, "say": said.append} | how)


def test_refusal_names_the_run(lock, owner):
    """Its process, when it began and its command, in one line."""
    run = rf"another run \(process {owner.pid}, since 2\S+ \S+ UTC, pytest perf --tier full\)"
    with pytest.raises(
        UserError, match=rf"^{run} is timing on this machine; wait for its end, or leave out --no-wait$"
    ):
        take(lock, [], waits=False)


def test_owner_that_is_killed_is_followed_at_once(lock, owner):
    """The system frees the lock; the next one signs."""
    owner.kill()
    owner.wait()
    said = []
    held = take(lock, said, waits=False)
    assert said == []
    assert json.loads(lock.read_text())["pid"] == os.getpid()
    held.end()
    assert lock.read_text() == ""
    assert turn.WITHIN not in os.environ


def test_waiting_is_said_at_once_and_then_now_and_again(lock, owner, monkeypatch):
    """And the turn comes when the other run ends."""
    monkeypatch.setattr(turn, "_LOOK_S", 0.01)
    monkeypatch.setattr(turn, "_SAY_S", 0.1)
    said = []

    def say(text):
        said.append(text)
        if len(said) == 3:
            owner.stdin.close()

    held = take(lock, [], say=say)
    assert held.waited
    held.end()
    assert said[0].startswith(f"waiting for another run (process {owner.pid}, since ")
    assert said[0].endswith("pytest perf --tier full), which would disturb this one; --no-wait refuses instead")
    assert {text.split("(")[0] for text in said[1:]} == {"still waiting for another run "}


def test_run_within_a_run_does_not_wait(lock, monkeypatch):
    """Neither in the same process nor in one that it starts; one from an earlier run does wait."""
    held = take(lock, [])
    assert take(lock, []) is None
    inner = subprocess.run(
        [sys.executable, "-c", OWNER.replace('print("taken"', "print(held"), str(lock)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    assert inner.stdout == "None\n", inner.stderr
    monkeypatch.setenv(turn.WITHIN, str(os.getpid() + 1))
    with pytest.raises(UserError):
        take(lock, [], waits=False)
    held.end()


@pytest.mark.parametrize(
    "signed",
    ["", "{", "[]", '{"pid": "x", "started": 3, "command": null}', '{"pid": 1e400}', "[" * 9_000, "\x00\xff"],
)
def test_whatever_the_file_holds_is_survived(lock, signed):
    """Another user wrote it, or a process that was killed meanwhile."""
    lock.write_text(signed)
    descriptor = try_lock(lock)
    with pytest.raises(UserError, match=r"^another run is timing"):
        take(lock, [], waits=False)
    os.close(descriptor)


def test_command_of_the_owner_is_made_printable(lock):
    """It may be another user's."""
    descriptor = try_lock(lock)
    lock.write_text(json.dumps({"pid": 7, "command": "x\x1b[31m\n" + "y" * 10_000}))
    with pytest.raises(UserError) as raised:
        take(lock, [], waits=False)
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 400
    os.close(descriptor)


def test_no_link_is_followed(lock, tmp_path):
    """A file that somebody put in the way is not written; the run goes on with a warning."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    lock.symlink_to(victim)
    said = []
    assert take(lock, said) is None
    assert said[0].startswith(f"WARNING: cannot see whether another run disturbs this one: {lock}: ")
    lock.unlink()
    os.link(victim, lock)
    assert take(lock, said) is None
    assert len(said) == 2
    assert victim.read_text() == "mine"


@pytest.mark.parametrize("there", ["folder", "pipe", "nowhere"])
def test_where_no_lock_can_be_the_run_goes_on(lock, there, tmp_path):
    """With one warning."""
    if there == "folder":
        lock.mkdir()
    elif there == "pipe":
        os.mkfifo(lock)
    else:
        lock = tmp_path / "no" / "folder"
    said = []
    assert take(lock, said) is None
    assert len(said) == 1


def test_a_removed_file_keeps_nobody_out(lock, monkeypatch):
    """Who waits for the old file would not see the new one: each takes the lock of the file that is there."""
    opened, opening = [], machine_lock._open

    def removed_after_opening(path, for_all_users):
        opened.append(opening(path, for_all_users))
        if len(opened) == 1:
            path.unlink()
            path.touch()
        return opened[-1]

    monkeypatch.setattr(machine_lock, "_open", removed_after_opening)
    descriptor = try_lock(lock)
    assert len(opened) == 2
    assert os.path.samestat(os.fstat(descriptor), lock.stat())
    os.close(descriptor)


def test_all_users_share_the_file(lock, monkeypatch, tmp_path):
    """It lies where all may write and none may remove another's, and anyone may lock it, whatever the umask is."""
    monkeypatch.delenv(turn.FILE, raising=False)
    assert turn.file().parent == next(
        (place for place in map(Path, turn._SHARED) if place.is_dir()), Path(turn.tempfile.gettempdir())
    )
    monkeypatch.setattr(turn, "_SHARED", (str(tmp_path),))  # only this user may write there
    assert turn.file() != tmp_path / "gradperf.lock"
    tmp_path.chmod(0o1777)
    assert turn.file() == tmp_path / "gradperf.lock"
    before = os.umask(0o077)
    try:
        take(lock, []).end()
    finally:
        os.umask(before)
    assert lock.stat().st_mode & 0o777 == 0o666


# The suite.

ONE = (
    *(str(ROOT / "perf"), "--framework", "numpy", "--problem", "tiny_3x2x1", "--style", "by_hand"),
    *("-k", "training", "--no-first-calls", "--benchmark-max-time=0.01"),
)


def test_refusing_run_times_nothing(run_pytest, lock, owner, tmp_path):
    """``--no-wait``: one line, exit code 4, and nothing is saved."""
    done = run_pytest(*ONE, "--no-wait", GRADPERF_LOCK=str(lock))
    assert done.returncode == 4
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
    assert re.match(rf"ERROR: another run \(process {owner.pid}, .*\) is timing on this machine", line)
    assert "Traceback" not in done.stdout + done.stderr
    assert not list((tmp_path / "results").rglob("*.json"))


@pytest.fixture
def waiting(lock, owner, tmp_path):
    """Return a run that waits for ``owner``, and has said so."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", *ONE, "-p", "no:cacheprovider", "--benchmark-storage=results"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=tmp_path,
        env={**os.environ, turn.FILE: str(lock), "PYTHONPATH": str(ROOT)},
    )
    for line in process.stdout:
        if "gradperf: waiting for another run" in line:
            break
    yield process
    process.kill()
    process.communicate()


def test_waiting_run_goes_on_when_the_other_ends(waiting, owner, tmp_path):
    """It says that it waits while it does, and its own time begins afterwards."""
    begun = time.time()
    time.sleep(1.1)
    owner.stdin.close()
    out, _ = waiting.communicate(timeout=120)
    assert waiting.returncode == 0, out
    (file,) = (tmp_path / "results").rglob("*.json")
    started = turn.datetime.fromisoformat(json.loads(file.read_text())["gradperf"]["started"])
    assert started.timestamp() > begun


def test_ctrl_c_ends_a_waiting_run(waiting, tmp_path):
    """With pytest's exit code for it, no traceback and no record."""
    waiting.send_signal(signal.SIGINT)
    out, _ = waiting.communicate(timeout=120)
    assert waiting.returncode == 2
    assert "Traceback" not in out
    assert not list((tmp_path / "results").rglob("*.json"))


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [(("--collect-only",), {}), (("--benchmark-disable",), {}), ((), {"GRADPERF_GATE": "first"})],
    ids=["collects", "does not time", "is of the gate"],
)
def test_who_does_not_time_does_not_wait(run_pytest, lock, owner, arguments, environment):
    """Nor does a process of the gate, which has its own order."""
    done = run_pytest(*ONE, "--no-wait", *arguments, GRADPERF_LOCK=str(lock), **environment)
    assert done.returncode == 0, done.stdout + done.stderr
