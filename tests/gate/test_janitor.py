"""Nothing that a gate made is left behind, however the gate ended."""

import json
import os
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from gradperf.errors import UserError
from gradperf.gate import janitor
from gradperf.gate.janitor import Janitor
from gradperf.gate.sides import copies
from tests.conftest import soon
from tests.gate.repositories import changes, contents, git, make, state

HOLDER = """
import os, subprocess, sys, tempfile
from pathlib import Path
from gradperf.gate.janitor import Janitor
from gradperf.gate.sides.prepare import prepare
tempfile.tempdir = sys.argv[2]
with Janitor() as janitor:
    prepare("HEAD", None, None, Path(sys.argv[1]), janitor)
    command = ["sh", "-c", "sleep 600 & echo $!; wait"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    janitor.process(child.pid)
    print(child.pid, int(child.stdout.readline()), flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def repository(tmp_path):
    return make(tmp_path / "repository", {"a.py": "1\n", "folder/b.py": "2\n"})


@pytest.fixture
def temporary(tmp_path):
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


@pytest.fixture
def held(repository, temporary):
    """Return a process that holds copies of the repository and a child with a child; and their process numbers."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, repository, temporary],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    line = process.stdout.readline()
    assert line, "the holder could not start"
    assert list(temporary.glob("*/base/a.py"))
    yield process, [int(pid) for pid in line.split()]
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def running(pid):
    """Whether a process runs; one that has ended but was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def end_normally(process):
    process.stdin.close()


def end_by(number):
    return lambda process: process.send_signal(number)


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(end_normally, id="normal"),
        pytest.param(end_by(signal.SIGINT), id="ctrl-c"),
        pytest.param(end_by(signal.SIGTERM), id="terminated"),
        pytest.param(end_by(signal.SIGKILL), id="killed"),
        pytest.param(lambda process: os.killpg(process.pid, signal.SIGKILL), id="whole group killed"),
    ],
)
def test_everything_goes_however_the_holder_ends(repository, temporary, held, end):
    """The folder and all processes are gone soon after the holder is; the repository is as it was, to the byte."""
    process, pids = held
    before = state(repository)
    end(process)
    process.wait(timeout=60)
    assert soon(lambda: not list(temporary.iterdir()))
    assert soon(lambda: not any(map(running, pids)))
    assert changes(before, state(repository)) == []


def test_a_folder_that_never_existed_is_no_error(tmp_path):
    """Folders are announced before they exist; some then never do. The janitor goes on with the next."""
    with Janitor() as cleaner:
        cleaner.folder(tmp_path / "never")
        cleaner.folder(tmp_path / "made")
        (tmp_path / "made").mkdir()
    assert cleaner._process.returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_folders_go_without_git(tmp_path, monkeypatch):
    """The janitor needs no other program."""
    monkeypatch.setenv("PATH", "")
    with Janitor() as cleaner:
        cleaner.folder(tmp_path / "made")
        (tmp_path / "made").mkdir()
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_folder_goes(tmp_path):
    """Folders go although nobody may write into them."""
    with Janitor() as cleaner:
        cleaner.folder(tmp_path / "made")
        inner = tmp_path / "made" / "inner"
        inner.mkdir(parents=True)
        (inner / "file").touch()
        inner.chmod(0)
        (tmp_path / "made").chmod(0o500)
    assert not (tmp_path / "made").exists()


def test_a_link_is_removed_not_what_it_leads_to(tmp_path):
    """Links in a folder, or in its place, are not followed."""
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("here")
    with Janitor() as cleaner:
        cleaner.folder(tmp_path / "made")
        cleaner.folder(tmp_path / "link")
        (tmp_path / "made").mkdir()
        (tmp_path / "made" / "link").symlink_to(tmp_path / "precious")
        (tmp_path / "link").symlink_to(tmp_path / "precious")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["precious"]
    assert (tmp_path / "precious" / "file").read_text() == "here"


def test_a_forgotten_process_lives(tmp_path):
    """A process that was forgotten is not killed."""
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as process:  # noqa: S607
        with Janitor() as cleaner:
            cleaner.process(process.pid)
            cleaner.forget(process.pid)
        assert process.poll() is None
        process.kill()


def test_a_process_with_a_number_used_again_lives():
    """A process that started at another time than the announced one is not the gate's."""
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as process:  # noqa: S607
        cleaner = subprocess.Popen([sys.executable, "-I", "-S", janitor.__file__], stdin=subprocess.PIPE)
        cleaner.communicate(json.dumps({"process": process.pid, "born": "1"}).encode() + b"\n")
        assert cleaner.returncode == 0
        assert process.poll() is None
        process.kill()


def test_a_line_that_was_cut_off_is_ignored(tmp_path):
    """A gate that is killed while it writes has not made that folder yet; what it announced before is removed."""
    (tmp_path / "made").mkdir()
    cleaner = subprocess.Popen([sys.executable, "-I", "-S", janitor.__file__], stdin=subprocess.PIPE)
    cleaner.communicate(json.dumps({"folder": str(tmp_path / "made")}).encode() + b'\n{"folder": "' + b"/")
    assert cleaner.returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_removed_while_it_is_being_made(tmp_path):
    """The janitor waits for a process that inherited the pipe."""
    cleaner = Janitor()
    cleaner.folder(tmp_path / "made")
    (tmp_path / "made").mkdir()
    script = f"import sys; sys.stdin.read(); open({str(tmp_path / 'made' / 'file')!r}, 'w')"
    maker = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=[cleaner.pipe()]
    )
    cleaner._process.stdin.close()
    maker.communicate()
    assert maker.returncode == 0
    cleaner.close()
    assert not (tmp_path / "made").exists()


def test_killed_while_copies_are_made(repository, tmp_path, temporary):
    """If the gate is killed while git writes a copy, git ends first, and then the copy goes."""
    slow = tmp_path / "slow"
    slow.write_text(
        f"#!/bin/sh\ntouch '{tmp_path}/begun'\nuntil [ -e '{tmp_path}/go' ]; do sleep 0.05; done\ncat\n"
    )
    slow.chmod(0o755)
    git(repository, "config", "filter.slow.smudge", str(slow))
    (repository / ".git" / "info").mkdir(exist_ok=True)
    (repository / ".git" / "info" / "attributes").write_text("a.py filter=slow\n")
    before = state(repository)
    with subprocess.Popen([sys.executable, "-c", HOLDER, repository, temporary]) as process:
        assert soon((tmp_path / "begun").exists)
        process.kill()
    assert not soon(lambda: not list(temporary.iterdir()), patience_s=1)
    (tmp_path / "go").touch()
    assert soon(lambda: not list(temporary.iterdir()))
    assert changes(before, state(repository)) == []


def test_nothing_is_made_without_a_janitor(tmp_path):
    """If the janitor has ended, an announcement fails, so nothing is made; taking one back does not fail."""
    cleaner = Janitor()
    cleaner._process.kill()
    cleaner._process.wait()
    with pytest.raises(UserError, match="has ended, so the gate stops"):
        cleaner.folder(tmp_path / "made")
    cleaner.forget(os.getpid())
    cleaner.close()
    cleaner.forget(os.getpid())


def test_signals_do_not_stop_the_janitor(tmp_path):
    """The janitor ends after it has cleaned, and not before."""
    with Janitor() as cleaner:
        cleaner.folder(tmp_path / "made")
        (tmp_path / "made").mkdir()
        # Wait until the janitor ignores the signals.
        status = Path(f"/proc/{cleaner._process.pid}/status")
        wanted = (1 << signal.SIGINT - 1) | (1 << signal.SIGTERM - 1) | (1 << signal.SIGHUP - 1)
        assert soon(lambda: int(status.read_text().split("SigIgn:")[1].split()[0], 16) & wanted == wanted)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            cleaner._process.send_signal(number)
        assert cleaner._process.poll() is None
    assert not (tmp_path / "made").exists()


def test_names_may_be_anything(repository, tmp_path):
    """Folders go whose names have spaces, line ends and bytes that are not UTF-8."""
    odd = tmp_path / os.fsdecode(b"a b\n\xff")
    with Janitor() as cleaner:
        cleaner.folder(odd)
        odd.mkdir()
        copies.make(repository, git(repository, "rev-parse", "HEAD"), odd / "base", odd / "head", cleaner.pipe())
        assert (odd / "base" / "a.py").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["repository"]


def test_the_helper_sees_changes(tmp_path):
    """The tests' own comparison notices a byte, a mode and a link; with times also a file that came and went."""
    (tmp_path / "file").write_text("1")
    seen = [contents(tmp_path)]
    (tmp_path / "file").write_text("2")
    seen.append(contents(tmp_path))
    (tmp_path / "file").chmod(0o755)
    seen.append(contents(tmp_path))
    (tmp_path / "link").symlink_to("file")
    seen.append(contents(tmp_path))
    assert all(one != other for one, other in pairwise(seen))
    before = state(tmp_path)
    (tmp_path / "lock").touch()
    (tmp_path / "lock").unlink()
    assert changes(before, state(tmp_path)) == [b"."]
