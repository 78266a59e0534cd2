"""Commits are found, files that no copy has are reported, and one gate at a time runs in a checkout."""

import subprocess
import sys

import pytest

from gradperf.errors import UserError
from gradperf.gate.sides import checkout, filters
from tests.gate.repositories import CONFIGURATION, commit, contents, git, make, write

FIRST = {"a.py": "1\n", "folder/b.py": "2\n"}


@pytest.fixture(autouse=True)
def no_configuration(monkeypatch):
    """The tests depend neither on the user's git configuration, nor on where they are run."""
    for name, value in CONFIGURATION.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("GITHUB_BASE_REF", raising=False)


@pytest.fixture
def repo(tmp_path):
    return make(tmp_path / "repository", FIRST)


def test_the_top_folder_is_found(repo, tmp_path):
    """It is found from any folder of the checkout; elsewhere the message says what to do instead."""
    assert checkout.repository(repo / "folder") == repo
    with pytest.raises(UserError, match=r"not a git repository.*--base-python"):
        checkout.repository(tmp_path)
    with pytest.raises(UserError, match="work tree"):
        checkout.repository(repo / ".git")


def test_without_git(repo, tmp_path, monkeypatch):
    """Without git there is a message, and the lock still works."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="git is not installed"):
        checkout.repository(repo)
    with checkout.lock(repo), pytest.raises(UserError, match="another gate"), checkout.lock(repo):
        pass


def test_revisions(repo):
    """Branches, tags and expressions name commits; anything else is an error, and never an option of git."""
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
    """For a branch that only the remote has, the message suggests its full name."""
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
    """Later commits of the main branch do not count; on the main branch itself, the base is its last commit."""
    first = git(repo, "rev-parse", "HEAD")
    git(repo, "checkout", "-q", "-b", "branch")
    commit(repo, "on the branch")
    git(repo, "checkout", "-q", "main")
    last = commit(repo)
    assert checkout.default_base(repo) == last
    git(repo, "checkout", "-q", "branch")
    assert checkout.default_base(repo) == first


def test_the_remote_main_branch_comes_first(repo, tmp_path):
    """Commits that are not pushed yet are part of the change."""
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
    """If no main branch is found, the user has to name a base."""
    git(repo, "branch", "-m", "trunk")
    with pytest.raises(UserError, match="give --base REV"):
        checkout.default_base(repo)


def test_unrelated_histories(repo):
    """A branch that has nothing in common with main has no base."""
    git(repo, "checkout", "-q", "--orphan", "other")
    commit(repo)
    with pytest.raises(UserError, match="HEAD and main have no commit in common; give --base"):
        checkout.default_base(repo)


def test_the_base_of_a_pull_request(repo, tmp_path, monkeypatch):
    """In GitHub's CI the target branch gives the base; if it is missing, the message says how to fetch it."""
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


def test_a_shallow_clone(repo, tmp_path):
    """If a commit is missing because the clone is shallow, the message says so."""
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
    git(clone, "fetch", "-q", "--unshallow")
    assert checkout.default_base(clone) == checkout.resolve(clone, first) == first


def test_submodules_are_warned_of(repo, tmp_path):
    """No copy has submodules, and code may need them."""
    library = make(tmp_path / "library", {"library.py": "1\n"})
    git(repo, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library), "library")
    assert [text for text in checkout.warnings(repo) if "submodules" in text and "library" in text]


def test_what_git_ignores_is_warned_of(repo):
    """Modules, generated packages and data are named; caches, environments and what tools build are not."""
    assert checkout.warnings(repo) == []
    write(
        repo,
        {
            **dict.fromkeys(
                ["folder/fast.so", "build/lib.so", "env/pyvenv.cfg", ".cache/x", "__pycache__/a.pyc"], ""
            ),
            **dict.fromkeys(["tests/data/big.json", "made/__init__.py", "a.log", "thing.egg-info/x"], ""),
            ".gitignore": "*.so\nbuild/\nenv/\n.cache/\n__pycache__/\ndata/\nmade/\n*.log\n*.egg-info/\n",
        },
    )
    (warning,) = checkout.warnings(repo)
    assert warning.endswith(": folder/fast.so, made/, tests/data/")
    write(repo, {f"made_{number}/x": "" for number in range(9)} | {".gitignore": "made*/\n*.so\n"})
    assert checkout.warnings(repo)[0].endswith("made_2/ and 6 more")


FILTERS = {
    "lfs": "install git-lfs (https://git-lfs.com), then `git lfs install` and `git lfs pull`",
    "git-crypt": "install git-crypt, then `git-crypt unlock`",
    "own": "install it, or change git's setting filter.own",
}


@pytest.mark.parametrize("kind", ["process", "clean", "smudge"])
@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_that_is_not_installed(repo, name, kind):
    """A required filter whose program is missing is one line: the filter, the files, the program, what to do."""
    write(repo, {".gitattributes": f"*.bin filter={name}\n", "x.bin": "1", "y/z é.bin": "2"})
    commit(repo)
    git(repo, "config", f"filter.{name}.{kind}", '"no-such-program" run -- %f')
    if kind != "process":
        git(repo, "config", f"filter.{name}.{'clean' if kind == 'smudge' else 'smudge'}", "cat")
    warned = f"without the filter {name!r}, as its program no-such-program is not installed: {FILTERS[name]}"
    assert checkout.warnings(repo) == [f"both sides have 'x.bin' and 1 more as git stores it, {warned}"]
    git(repo, "config", f"filter.{name}.required", "yes")
    message = (
        f"git cannot copy 'x.bin' and 1 more without the filter {name!r}, but its program no-such-program is not "
        f"installed: {FILTERS[name]}"
    )
    with pytest.raises(UserError) as error:
        filters.check(repo)
    assert str(error.value) == message
    git(repo, "config", f"filter.{name}.{kind}", "cat")
    filters.check(repo)
    assert checkout.warnings(repo) == []


def test_a_filter_that_is_not_set_up(repo):
    """Files of which both sides have only what git stores, as after a clone without git-lfs, are warned of."""
    write(repo, {".gitattributes": "*.bin filter=lfs\n*.txt filter\n*.py -filter\n", "x.bin": "1", "y.txt": ""})
    (warning,) = checkout.warnings(repo)
    assert warning.startswith(
        "both sides have 'x.bin' as git stores it, without the filter 'lfs', as it is not set up"
    )
    assert warning.endswith("`git lfs pull`")


@pytest.mark.parametrize(
    "command",
    ["git cat-file -p x", "./tool %f", "VARIABLE=1 no-such-program", "cat | tr a b", "'unfinished", "cd /"],
)
def test_filters_that_may_run(repo, command):
    """Programs in the checkout, those of git and of the shell, and whole scripts are not taken for missing."""
    write(repo, {".gitattributes": "*.bin filter=own\n", "x.bin": "1", "tool": "#!/bin/sh\ncat\n"})
    (repo / "tool").chmod(0o755)
    git(repo, "config", "filter.own.smudge", command)
    assert checkout.warnings(repo) == []
    git(repo, "config", "filter.own.required", "true")
    filters.check(repo)


def test_one_gate_per_checkout(repo, tmp_path):
    """A second gate is refused, also from another folder of the checkout, but not in another checkout."""
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
    """The lock ends with the process."""
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
