"""Both copies have the right files, and nothing is written into the user's checkout, not even for a moment."""

import os
import shutil
import subprocess

import pytest

from gradperf.errors import UserError
from gradperf.gate.sides import checkout, copies
from tests.gate.repositories import CONFIGURATION, changes, commit, files, git, make, state, write

FIRST = {"a.py": "1\n", "folder/b.py": "2\n", "folder/c.py": "3\n", ".gitignore": "*.ignored\nbuild/\n"}


@pytest.fixture(autouse=True)
def no_configuration(monkeypatch):
    """The tests do not depend on the user's git configuration."""
    for name, value in CONFIGURATION.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def repo(tmp_path):
    return make(tmp_path / "repository", FIRST)


class Copies:
    """Two copies, their files, and how they differ."""

    def __init__(self, repo, folder, base):
        """Make them in ``folder``."""
        folder.mkdir()
        self.base, self.head = folder / "base", folder / "head"
        differences = copies.make(repo, checkout.resolve(repo, base), self.base, self.head)
        self.changed, self.uncommitted = differences.changed, differences.uncommitted
        self.base_files, self.head_files = files(self.base), files(self.head)


@pytest.fixture
def copied(tmp_path):
    """Return ``copied(repo)``, which makes copies and checks that the checkout is as it was: bytes and times."""
    folders = iter(range(100))

    def copy(repo, base="HEAD"):
        git_folders = {repo / git(repo, "rev-parse", option) for option in ("--git-dir", "--git-common-dir")}
        before = [state(folder) for folder in (repo, *git_folders)]
        made = Copies(repo, tmp_path / f"copies {next(folders)}", base)
        for folder, state_before in zip((repo, *git_folders), before, strict=True):
            assert changes(state_before, state(folder)) == []
        return made

    return copy


def visible(repo):
    """Return the files of a checkout that git does not ignore."""
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


def forced(repo):
    write(repo, {"x.ignored": "1\n"})
    git(repo, "add", "--force", "x.ignored")


def ignored_but_tracked(repo):
    forced(repo)
    write(repo, {"x.ignored": "2\n"})


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
    forced: ["x.ignored"],
    ignored_but_tracked: ["x.ignored"],
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
def test_the_head_is_the_working_tree(repo, copied, change):
    """The head has the user's files, uncommitted ones too, the base those of its commit; what differs is listed."""
    first, committed = git(repo, "rev-parse", "HEAD"), files(repo)
    change(repo)
    expected = visible(repo)
    both = copied(repo, first)
    assert both.head_files == expected
    assert both.base_files == committed
    assert sorted(both.changed) == sorted(CHANGES[change])
    if git(repo, "rev-parse", "HEAD") == first:
        assert both.uncommitted == both.changed


def test_the_uncommitted_files_are_listed(repo, copied):
    """What differs from HEAD is uncommitted, wherever the base is; the list can be had without copies."""
    first = git(repo, "rev-parse", "HEAD")
    write(repo, {"a.py": "later\n", "folder/b.py": "later\n"})
    commit(repo)
    write(repo, {"a.py": FIRST["a.py"], "new.py": "1\n"})
    both = copied(repo, first)
    assert both.changed == ("folder/b.py", "new.py")
    assert both.uncommitted == ("a.py", "new.py")
    before = state(repo)
    assert copies.uncommitted(repo) == both.uncommitted
    assert changes(before, state(repo)) == []


def test_the_base_is_the_commit(repo, copied):
    """The base has the files of its commit and none of the uncommitted ones."""
    first, expected = git(repo, "rev-parse", "HEAD"), files(repo)
    write(repo, {"a.py": "later\n"})
    commit(repo)
    write(repo, {"a.py": "uncommitted\n", "new.py": "1\n"})
    assert copied(repo, first).base_files == expected


def test_committed_and_taken_back_is_no_change(repo, copied):
    """What was committed and then undone on disk is equal to the base."""
    first = git(repo, "rev-parse", "HEAD")
    write(repo, {"a.py": "later\n", "folder/b.py": "later\n"})
    commit(repo)
    write(repo, {"a.py": FIRST["a.py"]})
    assert copied(repo, first).changed == ("folder/b.py",)


def test_a_deleted_file_of_the_base_that_is_untracked_again(repo, copied):
    """Only what is on disk counts, not what git tracks."""
    first = git(repo, "rev-parse", "HEAD")
    git(repo, "rm", "-q", "a.py")
    commit(repo)
    write(repo, {"a.py": FIRST["a.py"]})
    assert copied(repo, first).changed == ()


def test_a_change_of_equal_size_in_the_same_moment(repo, copied):
    """A file that was written right after git looked at it is read again, although size and time are equal."""
    git(repo, "config", "core.trustctime", "false")
    moment = (1_000_000_000, 1_000_000_000)
    write(repo, {"a.py": "2\n"})
    os.utime(repo / "a.py", moment)
    git(repo, "add", "a.py")
    write(repo, {"a.py": "3\n"})
    os.utime(repo / "a.py", moment)
    os.utime(repo / ".git" / "index", moment)
    both = copied(repo)
    assert both.head_files[b"a.py"][2] == b"3\n"
    assert both.changed == ("a.py",)


@pytest.mark.parametrize("with_commit", [True, False])
def test_an_untracked_repository_is_copied_without_its_history(repo, copied, with_commit):
    """A clone that lies in the checkout is part of the head, and counts as a change."""
    git(repo, "config", "status.showUntrackedFiles", "no")
    make(repo / "folder" / "nested", {"x.py": "1\n"})
    (repo / "folder" / "nested" / "link").symlink_to("nowhere")
    if not with_commit:
        shutil.rmtree(repo / "folder" / "nested" / ".git")
        git(repo / "folder" / "nested", "init", "--quiet")
    both = copied(repo)
    assert both.head_files[b"folder/nested/x.py"] == ("file", False, b"1\n")
    assert both.head_files[b"folder/nested/link"] == ("link", b"nowhere")
    assert not (both.head / "folder" / "nested" / ".git").exists()
    assert both.changed == both.uncommitted == ("folder/nested/",)


def test_an_untracked_repository_that_cannot_be_copied(repo, tmp_path):
    """A head that would lack files of the user's is an error."""
    os.mkfifo(make(repo / "nested", {"x.py": "1\n"}) / "pipe")
    with pytest.raises(UserError, match=r"cannot copy .*nested"):
        Copies(repo, tmp_path / "copies", "HEAD")


def test_no_program_of_the_users_is_started(repo, tmp_path, copied):
    """Neither hooks nor a file system monitor run; the same git would run them."""
    program = repo / ".git" / "hooks" / "post-checkout"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\ntouch '{tmp_path}/started'\n")
    program.chmod(0o755)
    for hook in ("post-index-change", "pre-commit", "reference-transaction"):
        shutil.copy(program, program.parent / hook)
    git(repo, "config", "core.fsmonitor", str(program))
    git(repo, "update-index", "--fsmonitor")
    for arguments in (["status"], ["add", "--all"]):
        assert (tmp_path / "started").exists(), "this git started nothing, so the test would prove nothing"
        (tmp_path / "started").unlink()
        git(repo, *arguments)
    (tmp_path / "started").unlink()
    write(repo, {"a.py": "changed\n"})
    assert copied(repo).changed == ("a.py",)
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize("safe", ["true", "false"])
def test_line_ends_are_converted_alike(repo, copied, safe):
    """Line ends that git converts are converted on both sides, and are no change."""
    git(repo, "config", "core.autocrlf", "true")
    git(repo, "config", "core.safecrlf", safe)
    (repo / "a.py").write_bytes(b"1\r\n")
    both = copied(repo)
    assert both.changed == ()
    assert both.base_files[b"a.py"] == both.head_files[b"a.py"] == ("file", False, b"1\r\n")
    (repo / "a.py").write_bytes(b"changed\r\n")
    write(repo, {"new.py": "line ends of another system\n"})
    both = copied(repo)
    assert both.head_files[b"a.py"] == ("file", False, b"changed\r\n")
    assert both.changed == ("a.py", "new.py")


def test_filters_are_applied_alike(repo, copied):
    """A filter of the repository applies on both sides; uncommitted attributes count as if they were committed."""
    git(repo, "config", "filter.rot.clean", "tr a-y b-z")
    git(repo, "config", "filter.rot.smudge", "tr b-z a-y")
    git(repo, "config", "filter.rot.required", "true")
    write(repo, {".gitattributes": "*.txt filter=rot\n", "x.txt": "abc\n"})
    os.utime(repo / "x.txt", (1, 1))  # else git may read it again
    commit(repo)
    assert git(repo, "show", "HEAD:x.txt") == "bcd"
    write(repo, {"new.txt": "abc\n"})
    both = copied(repo)
    for copy, name in ((both.base_files, b"x.txt"), (both.head_files, b"x.txt"), (both.head_files, b"new.txt")):
        assert copy[name][2] == b"abc\n"
    assert both.changed == ("new.txt",)
    write(repo, {".gitattributes": ""})
    uncommitted = copied(repo)
    assert uncommitted.base_files == both.base_files
    commit(repo)
    assert uncommitted.head_files == copied(repo).base_files


@pytest.mark.parametrize("kind", ["process", "clean", "smudge", None])
def test_a_required_filter_that_is_missing(repo, tmp_path, kind):
    """Nothing can be copied without it; the message is one line, and names filter and file."""
    write(repo, {".gitattributes": "*.bin filter=lfs\n", "x.bin": "1\n"})
    commit(repo)
    git(repo, "config", "filter.lfs.required", "true")
    if kind:
        git(repo, "config", f"filter.lfs.{kind}", "no-such-program %f")
    write(repo, {"x.bin": "2\n"})
    with pytest.raises(
        UserError, match=r"^git cannot copy 'x.bin' without the filter 'lfs', but .*install git-lfs"
    ):
        copies.make(repo, checkout.head(repo), tmp_path / "base", tmp_path / "head")
    if kind in ("process", "clean"):
        with pytest.raises(UserError, match="without the filter 'lfs'"):
            copies.uncommitted(repo)


def test_the_base_has_its_own_attributes(repo, copied):
    """The attributes of a commit hold for its files, and not those that the user has now."""
    write(repo, {".gitattributes": "a.py eol=crlf\n"})
    both = copied(repo)
    assert both.base_files[b"a.py"][2] == b"1\n"
    assert both.head_files[b"a.py"][2] == b"1\r\n"


def test_ignore_rules_of_every_kind_hold(repo, tmp_path, copied):
    """Files that the repository itself or the user's configuration ignores are on neither side."""
    (repo / ".git" / "info").mkdir(exist_ok=True)
    (repo / ".git" / "info" / "exclude").write_text("*.here\n")
    (tmp_path / "ignored everywhere").write_text("*.everywhere\n")
    git(repo, "config", "core.excludesFile", str(tmp_path / "ignored everywhere"))
    write(repo, {"x.here": "1\n", "x.everywhere": "1\n", "x.seen": "1\n"})
    assert copied(repo).changed == ("x.seen",)


def test_from_within_a_hook(repo, tmp_path, copied, monkeypatch):
    """The folder counts, not the repository that git's variables name."""
    other = make(tmp_path / "other", {"other.py": "1\n"})
    write(repo, {"new.py": "1\n"})
    before = state(other)
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(other / ".git" / "objects"))
    monkeypatch.setenv("GIT_PREFIX", "folder/")
    monkeypatch.setenv("GIT_TEMPLATE_DIR", str(other))
    assert checkout.repository(repo / "folder") == repo
    both = copied(repo)
    assert both.changed == ("new.py",)
    assert b"new.py" in both.head_files
    assert state(other) == before


def test_from_a_linked_worktree(repo, tmp_path, copied):
    """In a linked worktree, its files are compared."""
    linked = tmp_path / "linked"
    git(repo, "worktree", "add", "-q", "-b", "branch", str(linked))
    write(linked, {"a.py": "in the worktree\n", "new.py": "1\n"})
    git(linked, "add", "new.py")
    before = state(repo)
    assert checkout.repository(linked / "folder") == linked
    both = copied(linked, checkout.default_base(linked))
    assert both.changed == ("a.py", "new.py")
    assert both.head_files == files(linked)
    assert both.base_files == files(repo)
    assert state(repo) == before


def test_a_repository_with_its_files_elsewhere(repo, tmp_path, copied):
    """The setting core.worktree is respected."""
    (repo / ".git").rename(tmp_path / "history")
    git(tmp_path / "history", "config", "core.worktree", str(repo))
    (repo / ".git").write_text(f"gitdir: {tmp_path / 'history'}\n")
    write(repo, {"a.py": "changed\n"})
    assert checkout.repository(repo / "folder") == repo
    both = copied(repo)
    assert both.changed == ("a.py",)
    assert both.head_files == files(repo)


@pytest.mark.parametrize("cone", ["--cone", "--cone --sparse-index", "--no-cone"])
def test_a_sparse_checkout_has_no_deleted_files(repo, copied, cone):
    """What a sparse checkout leaves out is no change and on neither side; what is there nevertheless is on both."""
    write(repo, {"left out/x.py": "1\n", "left out/y.py": "2\n", "folder/deep/z.py": "3\n"})
    commit(repo)
    git(repo, "sparse-checkout", "set", *cone.split(), "folder" if "--cone" in cone else "/folder/")
    assert not (repo / "left out").exists()
    both = copied(repo)
    assert both.changed == both.uncommitted == ()
    assert both.base_files == both.head_files == files(repo)
    write(repo, {"left out/x.py": "changed\n", "left out/new.py": "1\n", "folder/b.py": "changed\n"})
    both = copied(repo)
    assert both.changed == both.uncommitted == ("folder/b.py", "left out/new.py", "left out/x.py")
    assert both.head_files == files(repo)
    assert both.base_files.keys() == files(repo).keys() - {b"left out/new.py"}


def test_files_of_one_side_in_a_sparse_checkout(repo, copied):
    """The base may have files that are not in the user's index at all, and lack others that are left out."""
    first = git(repo, "rev-parse", "HEAD")
    git(repo, "rm", "-q", "folder/b.py")
    write(repo, {"folder/new.py": "1\n"})
    commit(repo)
    git(repo, "sparse-checkout", "set", "--no-cone", "/a.py", "/.gitignore")
    both = copied(repo, first)
    assert both.changed == ("folder/b.py", "folder/new.py")
    assert both.base_files.keys() - both.head_files.keys() == {b"folder/b.py"}


@pytest.mark.parametrize("setting", ["core.splitIndex", "core.untrackedCache", "core.ignoreStat", "index.threads"])
def test_kinds_of_index(repo, copied, setting):
    """Every kind of index is read, and nothing is written beside it."""
    git(repo, "config", setting, "true")
    write(repo, {f"many/{number}.py": f"{number}\n" for number in range(20)})
    commit(repo)
    git(repo, "status")
    write(repo, {"many/3.py": "changed\n", "a.py": "staged\n", "new.py": "1\n"})
    git(repo, "add", "a.py")
    both = copied(repo)
    assert both.changed == ("a.py", "many/3.py", "new.py")
    assert both.head_files == files(repo)


def test_while_another_git_works(repo, copied):
    """Locks of a git that runs, or was killed, do not matter."""
    for name in ("index.lock", "HEAD.lock", "packed-refs.lock", "config.lock"):
        (repo / ".git" / name).touch()
    write(repo, {"a.py": "changed\n"})
    assert copied(repo).changed == ("a.py",)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_repository(repo, copied):
    """Nothing in the user's checkout has to be writable."""
    write(repo, {"a.py": "changed\n", "new.py": "1\n"})
    modes = {path: path.stat().st_mode for path in (repo, *repo.rglob("*"))}
    try:
        for path, mode in modes.items():
            path.chmod(mode & ~0o222)
        assert copied(repo).changed == ("a.py", "new.py")
    finally:
        for path, mode in modes.items():
            path.chmod(mode)


def test_objects_that_are_shared(repo, tmp_path, copied):
    """A clone may borrow its objects, from one that borrows too, by a relative path as well."""
    git(tmp_path, "clone", "-q", "--shared", str(repo), "borrower")
    git(tmp_path, "clone", "-q", "--shared", "borrower", "second")
    alternates = tmp_path / "second" / ".git" / "objects" / "info" / "alternates"
    alternates.write_text("../../../borrower/.git/objects\n")
    write(tmp_path / "second", {"a.py": "changed\n"})
    both = copied(tmp_path / "second")
    assert both.changed == ("a.py",)
    assert both.base_files == files(repo)


@pytest.mark.parametrize("name", [b"a b", b"line\nend", b"\xff", b'"quoted', b"#x", b"a:b;c", b"back\\slash"])
def test_a_checkout_of_any_name(tmp_path, copied, name):
    """The user's objects are found wherever they lie."""
    repo = make(tmp_path / os.fsdecode(name), FIRST)
    write(repo, {"a.py": "changed\n"})
    both = copied(repo)
    assert both.changed == ("a.py",)
    assert git(both.head, "cat-file", "-t", "HEAD") == "commit"


def test_another_kind_of_names(tmp_path, copied):
    """A repository whose objects are named by SHA-256."""
    git(tmp_path, "init", "--quiet", "--template=", "--object-format=sha256", "repository")
    write(tmp_path / "repository", FIRST)
    first = commit(tmp_path / "repository")
    write(tmp_path / "repository", {"a.py": "changed\n"})
    both = copied(tmp_path / "repository", first)
    assert len(git(both.base, "rev-parse", "HEAD")) == 64
    assert both.changed == ("a.py",)


def test_a_shallow_clone_is_copied(repo, tmp_path, copied):
    """A shallow clone can be copied, and the copies know that their history is cut."""
    commit(repo)
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", "--depth=1", repo.as_uri(), "clone")
    both = copied(clone)
    assert both.head_files == files(clone)
    assert git(both.head, "log", "--format=%H") == git(clone, "log", "--format=%H")


def test_a_clone_without_all_contents(repo, tmp_path, copied):
    """Contents that a partial clone lacks are fetched into the copy, not into the clone."""
    first = git(repo, "rev-parse", "HEAD")
    write(repo, {"a.py": "later\n"})
    commit(repo)
    git(repo, "config", "uploadpack.allowFilter", "true")
    git(repo, "config", "uploadpack.allowAnySHA1InWant", "true")
    git(tmp_path, "clone", "-q", "--filter=blob:none", repo.as_uri(), "clone")
    both = copied(tmp_path / "clone", first)
    assert both.base_files[b"a.py"] == ("file", False, b"1\n")
    assert both.changed == ("a.py",)


def test_each_copy_knows_its_version(repo, copied):
    """Tools that ask git for a version find the commit, its tags, and whether files are uncommitted."""
    git(repo, "tag", "-a", "v1.0", "-m", "a tag with a message")
    commit(repo)
    git(repo, "tag", "v1.1")
    both = copied(repo, "v1.0")
    for copy in (both.base, both.head):
        assert git(copy, "diff-files", "--name-only") == "", "the index has no times, so git reads every file again"
    assert git(both.base, "describe", "--tags", "--dirty") == "v1.0"
    assert git(both.head, "describe", "--tags", "--dirty") == "v1.1"
    assert git(both.head, "status", "--porcelain") == git(both.base, "status", "--porcelain") == ""
    assert git(both.head, "rev-parse", "main", "HEAD") == git(repo, "rev-parse", "main", "HEAD")
    write(repo, {"a.py": "changed\n"})
    both = copied(repo, "v1.0")
    assert git(both.base, "describe", "--tags", "--dirty") == "v1.0"
    assert git(both.head, "describe", "--tags", "--dirty") == "v1.1-dirty"
    assert git(both.head, "diff", "HEAD", "--name-only") == "a.py"


def test_a_copy_may_be_written(repo, tmp_path, copied):
    """A commit that a suite makes in a copy does not reach the user's repository."""
    both = copied(repo)
    before = state(repo)
    commit(both.head)
    git(both.head, "tag", "-d", *git(both.head, "tag").split())
    git(both.head, "branch", "new")
    assert state(repo) == before


def test_submodules_are_on_neither_side(repo, tmp_path, copied):
    """A change of a submodule, committed or not, is a change."""
    part = make(tmp_path / "part", {"part.py": "1\n"})
    git(repo, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(part), "part")
    git(repo, "config", "submodule.part.ignore", "all")
    git(repo, "config", "submodule.recurse", "true")
    first = commit(repo)
    assert copied(repo, first).changed == ()
    write(repo, {"part/part.py": "2\n"})
    both = copied(repo, first)
    assert both.changed == both.uncommitted == ("part",)
    assert b"part/part.py" not in both.head_files
    commit(repo / "part")
    both = copied(repo, first)
    assert both.changed == both.uncommitted == ("part",)
    git(repo, "add", "part")
    git(repo, "commit", "-q", "-m", "a change")
    both = copied(repo, first)
    assert both.changed == ("part",)
    assert both.uncommitted == ()
    assert list((both.head / "part").iterdir()) == list((both.base / "part").iterdir()) == []


def test_a_folder_in_the_way(repo, tmp_path):
    """A copy is not made over something else."""
    (tmp_path / "head").write_text("in the way")
    with pytest.raises(UserError, match=r"cannot make the folder .*head: File exists"):
        copies.make(repo, checkout.head(repo), tmp_path / "base", tmp_path / "head")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_cannot_be_read(repo, tmp_path):
    """A head that would lack files of the user's is an error."""
    write(repo, {"new.py": "1\n"})
    (repo / "new.py").chmod(0)
    with pytest.raises(UserError, match=r"update-index failed.*new.py"):
        Copies(repo, tmp_path / "copies", "HEAD")


def test_a_file_that_is_no_file(repo, tmp_path):
    """Git stores no named pipe; where a tracked file was, that is an error."""
    (repo / "a.py").unlink()
    os.mkfifo(repo / "a.py")
    with pytest.raises(UserError, match=r"git add failed.*a.py"):
        Copies(repo, tmp_path / "copies", "HEAD")
