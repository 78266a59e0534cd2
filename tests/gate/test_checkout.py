"""The two copies have what they should, and the user's checkout is only read."""

import os
import shutil
import subprocess
import sys

import pytest

from gradperf.errors import UserError
from gradperf.gate.janitor import Janitor
from gradperf.gate.sides import checkout
from tests.gate.repositories import CONFIGURATION, commit, contents, files, git, make, write

FIRST = {"a.py": "1\n", "folder/b.py": "2\n", "folder/c.py": "3\n", ".gitignore": "*.ignored\nbuild/\n"}


@pytest.fixture(autouse=True)
def no_configuration(monkeypatch):
    """The tests depend neither on the user's git configuration, nor on where they are run."""
    for name, value in CONFIGURATION.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("GITHUB_BASE_REF", raising=False)


@pytest.fixture
def repo(tmp_path):
    return make(tmp_path / "repository", FIRST)


@pytest.fixture
def taken(tmp_path):
    """Give ``taken(repo)``: the files of a snapshot."""

    def take(repo):
        with Janitor() as janitor:
            checkout.snapshot(repo, tmp_path / "snapshot", janitor)
            return files(tmp_path / "snapshot")

    return take


def visible(repo):
    """Give the files of a checkout that git does not ignore."""
    ignored = git(repo, "ls-files", "--others", "--ignored", "--exclude-standard").splitlines()
    return {path: what for path, what in files(repo).items() if os.fsdecode(path) not in ignored}


def tracked_change(repo):
    write(repo, {"a.py": "changed\n"})


def staged_change(repo):
    write(repo, {"a.py": "changed\n"})
    git(repo, "add", "a.py")


def staged_then_changed(repo):
    staged_change(repo)
    write(repo, {"a.py": "changed again\n"})


def staged_then_taken_back(repo):
    staged_change(repo)
    write(repo, {"a.py": FIRST["a.py"]})


def deleted(repo):
    (repo / "a.py").unlink()


def deletion_staged(repo):
    git(repo, "rm", "a.py")


def no_longer_tracked(repo):
    git(repo, "rm", "--cached", "a.py")


def new_then_deleted(repo):
    write(repo, {"new.py": "1\n"})
    git(repo, "add", "new.py")
    (repo / "new.py").unlink()


def to_be_added(repo):
    write(repo, {"new.py": "1\n"})
    git(repo, "add", "--intent-to-add", "new.py")


def untracked(repo):
    write(repo, {"new.py": "1\n", "new folder/inner/x.py": "2\n"})


def ignored(repo):
    write(repo, {"x.ignored": "1\n", "build/x.py": "2\n"})


def renamed(repo):
    git(repo, "mv", "a.py", "z.py")


def folder_renamed(repo):
    git(repo, "mv", "folder", "other")


def executable(repo):
    (repo / "a.py").chmod(0o755)


def new_link(repo):
    (repo / "link.py").symlink_to("a.py")


def dangling_link(repo):
    (repo / "link.py").symlink_to("nowhere")


def file_to_link(repo):
    (repo / "a.py").unlink()
    (repo / "a.py").symlink_to("folder/b.py")


def folder_to_file(repo):
    shutil.rmtree(repo / "folder")
    (repo / "folder").write_text("a file now\n")


def folder_to_link(repo):
    (repo / "folder").rename(repo / "other")
    (repo / "folder").symlink_to("other")


def file_to_folder(repo):
    (repo / "a.py").unlink()
    write(repo, {"a.py/x.py": "1\n"})


def link_to_folder(repo):
    (repo / "link").symlink_to("folder")
    commit(repo)
    (repo / "link").unlink()
    write(repo, {"link/b.py": "1\n"})


def odd_names(repo):
    for number, name in enumerate(
        [b"a b.py", b"line\nend.py", b"\xff\xfe.py", b'"quoted".py', b"tab\t.py", b"-x.py"]
    ):
        (repo / os.fsdecode(name)).write_text(str(number))


def odd_names_changed(repo):
    odd_names(repo)
    commit(repo)
    for file in repo.glob("*.py"):
        file.write_text("changed")


def hidden_from_git(repo):
    git(repo, "update-index", "--assume-unchanged", "a.py")
    git(repo, "update-index", "--skip-worktree", "folder/b.py")
    write(repo, {"a.py": "changed\n", "folder/b.py": "changed too\n"})


def hidden_from_git_and_deleted(repo):
    git(repo, "update-index", "--assume-unchanged", "a.py")
    (repo / "a.py").unlink()


def conflict(repo):
    git(repo, "checkout", "-q", "-b", "other")
    write(repo, {"a.py": "theirs\n"})
    commit(repo)
    git(repo, "checkout", "-q", "main")
    write(repo, {"a.py": "ours\n"})
    commit(repo)
    with pytest.raises(subprocess.CalledProcessError):
        git(repo, "merge", "other")


def only_times(repo):
    os.utime(repo / "a.py", (1, 1))


CHANGES = {
    tracked_change: ["a.py"],
    staged_change: ["a.py"],
    staged_then_changed: ["a.py"],
    staged_then_taken_back: [],
    deleted: ["a.py"],
    deletion_staged: ["a.py"],
    no_longer_tracked: [],
    new_then_deleted: [],
    to_be_added: ["new.py"],
    untracked: ["new folder/inner/x.py", "new.py"],
    ignored: [],
    renamed: ["a.py", "z.py"],
    folder_renamed: ["folder/b.py", "folder/c.py", "other/b.py", "other/c.py"],
    executable: ["a.py"],
    new_link: ["link.py"],
    dangling_link: ["link.py"],
    file_to_link: ["a.py"],
    folder_to_file: ["folder", "folder/b.py", "folder/c.py"],
    folder_to_link: ["folder", "folder/b.py", "folder/c.py", "other/b.py", "other/c.py"],
    file_to_folder: ["a.py", "a.py/x.py"],
    link_to_folder: ["link/b.py"],
    odd_names: ['"quoted".py', "-x.py", "a b.py", "line\nend.py", "tab\t.py", "\udcff\udcfe.py"],
    odd_names_changed: ['"quoted".py', "-x.py", "a b.py", "a.py", "line\nend.py", "tab\t.py", "\udcff\udcfe.py"],
    hidden_from_git: ["a.py", "folder/b.py"],
    hidden_from_git_and_deleted: ["a.py"],
    conflict: ["a.py"],
    only_times: [],
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_snapshot_is_the_working_tree(repo, taken, change):
    """The head has the user's files, uncommitted ones too, and the repository is left as it was, to the byte."""
    first = git(repo, "rev-parse", "HEAD")
    change(repo)
    before, expected = contents(repo), visible(repo)
    assert taken(repo) == expected
    changed = checkout.changed_files(repo, first)
    assert contents(repo) == before
    assert sorted(changed) == sorted(CHANGES[change])


def test_a_base_is_the_commit(repo, tmp_path):
    """The base has the files of its commit and none of the uncommitted ones."""
    first, expected = git(repo, "rev-parse", "HEAD"), files(repo)
    write(repo, {"a.py": "later\n"})
    commit(repo)
    write(repo, {"a.py": "uncommitted\n", "new.py": "1\n"})
    with Janitor() as janitor:
        checkout.check_out(repo, first, tmp_path / "base", janitor)
        assert files(tmp_path / "base") == expected


def test_committed_and_taken_back_is_no_change(repo):
    """What was committed and then undone on disk is equal to the base."""
    first = git(repo, "rev-parse", "HEAD")
    write(repo, {"a.py": "later\n", "folder/b.py": "later\n"})
    commit(repo)
    write(repo, {"a.py": FIRST["a.py"]})
    assert checkout.changed_files(repo, first) == ("folder/b.py",)


def test_a_deleted_file_of_the_base_that_is_untracked_again(repo):
    """Only what is on disk counts, not what git tracks."""
    first = git(repo, "rev-parse", "HEAD")
    git(repo, "rm", "-q", "a.py")
    commit(repo)
    write(repo, {"a.py": FIRST["a.py"]})
    assert checkout.changed_files(repo, first) == ()


def test_an_untracked_repository_is_copied_without_its_history(repo, taken):
    """A clone that lies in the checkout is part of the head, and counts as a change."""
    make(repo / "nested", {"x.py": "1\n"})
    found = taken(repo)
    assert b"nested/x.py" in found
    assert not any(b".git/" in path for path in found)
    assert checkout.changed_files(repo, "HEAD") == ("nested/",)


def test_hooks_do_not_run(repo, tmp_path, taken):
    """A worktree is made without the user's hooks."""
    hook = repo / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch '{tmp_path}/hooked'\n")
    hook.chmod(0o755)
    git(repo, "worktree", "add", "--detach", str(tmp_path / "with hooks"))
    assert (tmp_path / "hooked").exists(), "this git runs no hooks, so the test would say nothing"
    (tmp_path / "hooked").unlink()
    taken(repo)
    assert not (tmp_path / "hooked").exists()


def test_filters_are_applied_alike(repo, taken):
    """Line ends that git converts are the user's, and no change."""
    git(repo, "config", "core.autocrlf", "true")
    (repo / "a.py").write_bytes(b"1\r\n")
    assert checkout.changed_files(repo, "HEAD") == ()
    (repo / "a.py").write_bytes(b"changed\r\n")
    assert taken(repo)[b"a.py"] == ("file", False, b"changed\r\n")
    assert checkout.changed_files(repo, "HEAD") == ("a.py",)


def test_from_within_a_hook(repo, tmp_path, taken, monkeypatch):
    """The folder counts, not the repository that git's variables name."""
    other = make(tmp_path / "other", {"other.py": "1\n"})
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    write(repo, {"new.py": "1\n"})
    before = contents(other)
    assert checkout.repository(repo / "folder") == repo
    assert checkout.changed_files(repo, checkout.resolve(repo, "HEAD")) == ("new.py",)
    assert b"new.py" in taken(repo)
    assert contents(other) == before
    assert not (repo / ".git" / "worktrees").exists()


def test_from_a_linked_worktree(repo, tmp_path, taken):
    """Users who work in a worktree themselves have theirs compared, and keep it."""
    linked = tmp_path / "linked"
    git(repo, "worktree", "add", "-q", "-b", "branch", str(linked))
    write(linked, {"a.py": "in the worktree\n", "new.py": "1\n"})
    before = contents(repo), contents(linked)
    assert checkout.repository(linked / "folder") == linked
    assert checkout.changed_files(linked, checkout.default_base(linked)) == ("a.py", "new.py")
    assert taken(linked) == files(linked)
    assert (contents(repo), contents(linked)) == before


def test_a_sparse_checkout_has_no_deleted_files(repo, taken):
    """What a sparse checkout leaves out is not deleted."""
    git(repo, "sparse-checkout", "set", "--no-cone", "/a.py", "/.gitignore")
    assert not (repo / "folder").exists()
    assert checkout.changed_files(repo, "HEAD") == ()
    assert b"a.py" in taken(repo)


def test_a_file_that_cannot_be_copied_is_told(repo, tmp_path):
    """A head that would not be the user's is not made."""
    write(repo, {"new.py": "1\n"})
    with Janitor() as janitor:
        (tmp_path / "snapshot").write_text("in the way")
        with pytest.raises(UserError, match="already exists"):
            checkout.snapshot(repo, tmp_path / "snapshot", janitor)


def test_the_top_folder_is_found(repo, tmp_path):
    """From any folder of it; elsewhere the user is told what to do instead."""
    assert checkout.repository(repo / "folder") == repo
    with pytest.raises(UserError, match=r"not a git repository.*--base-python"):
        checkout.repository(tmp_path)
    with pytest.raises(UserError, match="work tree"):
        checkout.repository(repo / ".git")


def test_without_git(repo, tmp_path, monkeypatch):
    """A machine without git is told so, and can still be locked."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="git is not installed"):
        checkout.repository(repo)
    with checkout.lock(repo), pytest.raises(UserError, match="another gate"), checkout.lock(repo):
        pass


def test_revisions(repo):
    """Branches, tags and expressions name commits; what does not is told, and is never an option of git."""
    first = git(repo, "rev-parse", "HEAD")
    git(repo, "tag", "-a", "v1", "-m", "a tag with a message")
    second = commit(repo, "the second")
    assert checkout.resolve(repo, "v1") == checkout.resolve(repo, "HEAD~1") == first
    assert checkout.resolve(repo, "main") == second
    for unknown in ("nonsense", "", "--all", "v2..main", "HEAD:a.py"):
        with pytest.raises(UserError, match="there is no commit"):
            checkout.resolve(repo, unknown)
    assert checkout.describe(repo, second).endswith("'the second'")
    assert second.startswith(checkout.describe(repo, second).split()[0])


def test_a_remote_branch_is_suggested(repo, tmp_path):
    """A branch that only the remote has is found under its full name."""
    git(repo, "branch", "there")
    git(tmp_path, "clone", "-q", str(repo), "clone")
    with pytest.raises(UserError, match="did you mean origin/there"):
        checkout.resolve(tmp_path / "clone", "there")


def test_no_commit_yet(tmp_path):
    """A repository without a commit has nothing to compare with."""
    git(tmp_path, "init", "-q")
    for ask in (checkout.default_base, lambda repo: checkout.resolve(repo, "main")):
        with pytest.raises(UserError, match="no commit yet"):
            ask(tmp_path)


def test_the_base_is_where_the_branch_began(repo):
    """Later commits of the main branch do not count; on the main branch itself it is the last commit."""
    first = git(repo, "rev-parse", "HEAD")
    git(repo, "checkout", "-q", "-b", "branch")
    commit(repo, "on the branch")
    git(repo, "checkout", "-q", "main")
    last = commit(repo)
    assert checkout.default_base(repo) == last
    git(repo, "checkout", "-q", "branch")
    assert checkout.default_base(repo) == first


def test_the_remote_main_branch_comes_first(repo, tmp_path):
    """Commits that were not pushed yet are part of the change."""
    first = git(repo, "rev-parse", "HEAD")
    git(tmp_path, "clone", "-q", str(repo), "clone")
    commit(tmp_path / "clone")
    assert checkout.default_base(tmp_path / "clone") == first


def test_a_dangling_remote_head_is_passed_over(repo, tmp_path):
    """origin/HEAD may name a branch that is gone; the next name is taken."""
    git(tmp_path, "clone", "-q", str(repo), "clone")
    git(tmp_path / "clone", "symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/gone")
    assert checkout.default_base(tmp_path / "clone") == git(repo, "rev-parse", "HEAD")


def test_no_main_branch(repo):
    """Where no name is known the user has to say one."""
    git(repo, "branch", "-m", "trunk")
    with pytest.raises(UserError, match="say --base REV"):
        checkout.default_base(repo)


def test_unrelated_histories(repo):
    """A branch that has nothing in common with main has no base."""
    git(repo, "checkout", "-q", "--orphan", "other")
    commit(repo)
    with pytest.raises(UserError, match="both HEAD and main come; say --base"):
        checkout.default_base(repo)


def test_the_base_of_a_pull_request(repo, tmp_path, monkeypatch):
    """In GitHub's CI the branch that the pull request is for is the base; where it is missing CI is told how."""
    git(repo, "checkout", "-q", "-b", "release")
    release = commit(repo)
    git(repo, "checkout", "-q", "-b", "change")
    commit(repo)
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(repo), "clone")
    monkeypatch.setenv("GITHUB_BASE_REF", "release")
    assert checkout.default_base(clone) == release
    monkeypatch.setenv("GITHUB_BASE_REF", "nowhere")
    with pytest.raises(UserError, match="no origin/nowhere here; set `fetch-depth: 0`"):
        checkout.default_base(clone)
    monkeypatch.setenv("GITHUB_BASE_REF", "")
    assert checkout.default_base(clone) == git(repo, "rev-parse", "change")  # the branch cloned is its main branch


def test_a_shallow_clone(repo, tmp_path, taken):
    """Whatever cannot be found because a clone is shallow is told as that."""
    first = git(repo, "rev-parse", "HEAD")
    git(repo, "checkout", "-q", "-b", "branch")
    commit(repo, "on the branch")
    git(repo, "checkout", "-q", "main")
    commit(repo)
    git(repo, "checkout", "-q", "branch")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", "--depth=1", "--no-single-branch", repo.as_uri(), "clone")
    git(clone, "symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main")
    for ask in (checkout.default_base, lambda repo: checkout.resolve(repo, first)):
        with pytest.raises(UserError, match=r"shallow.*git fetch --unshallow.*fetch-depth: 0"):
            ask(clone)
    assert taken(clone) == files(clone)
    git(clone, "fetch", "-q", "--unshallow")
    assert checkout.default_base(clone) == checkout.resolve(clone, first) == first


def test_submodules_are_warned_of(repo, tmp_path, taken):
    """A worktree has no submodules; a change of one is a change."""
    library = make(tmp_path / "library", {"library.py": "1\n"})
    git(repo, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library), "library")
    first = commit(repo)
    assert checkout.changed_files(repo, first) == ()
    assert [text for text in checkout.warnings(repo) if "submodules" in text and "library" in text]
    write(repo, {"library/library.py": "2\n"})
    assert checkout.changed_files(repo, first) == ("library",)
    assert b"library/library.py" not in taken(repo)
    commit(repo / "library")
    commit(repo)
    assert checkout.changed_files(repo, first) == ("library",)


def test_ignored_modules_are_warned_of(repo):
    """Compiled or generated modules are on neither side; ignored folders are not worth a word."""
    assert checkout.warnings(repo) == []
    write(repo, {"folder/fast.so": "", "build/lib.so": "", ".gitignore": "*.so\nbuild/\n"})
    (warning,) = checkout.warnings(repo)
    assert "folder/fast.so" in warning
    assert "build" not in warning


def test_one_gate_per_checkout(repo, tmp_path):
    """A second gate is refused, also from another folder of the checkout; another checkout is another matter."""
    linked = tmp_path / "linked"
    git(repo, "worktree", "add", "-q", "--detach", str(linked))
    before = contents(repo)
    with checkout.lock(repo):
        with (
            pytest.raises(UserError, match="another gate is running in this checkout"),
            checkout.lock(repo / "folder"),
        ):
            pass
        with checkout.lock(linked):
            pass
    with checkout.lock(repo / "folder"):
        pass
    assert contents(repo) == before


def test_a_killed_gate_holds_no_lock(repo):
    """The lock is the process's own."""
    script = f"""
from pathlib import Path
from gradperf.gate.sides.checkout import lock
with lock(Path({str(repo)!r})):
    print("held", flush=True)
    input()
"""
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(UserError, match="another gate"), checkout.lock(repo):
            pass
        process.kill()
    with checkout.lock(repo):
        pass
