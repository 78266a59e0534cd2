"""Makes copies of the user's checkout: the base as it was committed, the head as the files are now.

The user's ``.git`` is only read. Each copy has a small ``.git`` of its own: HEAD, the user's branches and tags, an
index, and new objects. It borrows the other objects from the user's repository (git's alternates). Git makes the
copies with the user's GIT_DIR, so the user's configuration, attributes and ignore rules hold.

The head contains what git would commit now: tracked files, and untracked files that git does not ignore. On both
sides, files pass through git's filters and its conversion of line ends.
"""

import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from gradperf.errors import UserError
from gradperf.gate.sides import checkout, filters, git


@dataclass(frozen=True)
class Differences:
    """Paths in which the user's files differ from two commits; a renamed file is two paths.

    A path that ends in ``/`` is an untracked repository. What is not known to be equal counts as different.
    """

    uncommitted: tuple[str, ...]
    """From HEAD."""
    changed: tuple[str, ...]
    """From the base."""


@dataclass(frozen=True)
class _Copy:
    """A folder with a ``.git`` of its own."""

    repo: Path
    git_dir: Path
    """The user's ``.git``."""
    folder: Path
    pipe: int | None

    @property
    def own(self) -> Path:
        """The copy's ``.git``."""
        return self.folder / ".git"

    def git(self, *arguments: str, work_tree: Path | None = None, stdin: bytes = b"") -> bytes:
        """Run git with the user's files and configuration, but with the index and the objects of this copy."""
        work_tree = work_tree or self.repo
        environment = {
            "GIT_DIR": str(self.git_dir),
            "GIT_WORK_TREE": str(work_tree),
            "GIT_INDEX_FILE": str(self.own / "index"),
            "GIT_OBJECT_DIRECTORY": str(self.own / "objects"),
        }
        return git.output(work_tree, *arguments, stdin=stdin, environment=environment, pipe=self.pipe)


@dataclass(frozen=True)
class _Stored:
    """The user's files, stored as a tree in a copy's objects."""

    tree: str
    uncommitted: tuple[str, ...]
    not_in_tree: frozenset[str]
    """Paths with content that git does not store: changed submodules, untracked repositories."""
    left_out: frozenset[str]
    """Paths that a sparse checkout leaves out."""


def make(repo: Path, base_commit: str, base: Path, head: Path, pipe: int | None = None) -> Differences:
    """Make the copies ``base`` and ``head``, folders that do not exist yet.

    Every git that writes into them inherits ``pipe`` (see :meth:`gradperf.gate.janitor.Janitor.pipe`).
    """
    with _clearer_errors(repo):
        return _make(repo, base_commit, base, head, pipe)


def _make(repo: Path, base_commit: str, base: Path, head: Path, pipe: int | None) -> Differences:
    copy = _start(repo, checkout.head(repo), head, pipe)
    stored = _store(copy)
    _check_out(copy, stored.tree, stored.left_out)
    for path in stored.not_in_tree:
        if path.endswith("/"):
            _copy_repository(repo / path, head / path)
    _check_out(_start(repo, base_commit, base, pipe), base_commit, stored.left_out)
    differing = copy.git(
        "diff-tree", "-r", "-z", "--no-renames", "--name-only", "--ignore-submodules=none", base_commit, stored.tree
    )
    return Differences(stored.uncommitted, tuple(sorted({*git.split(differing), *stored.not_in_tree})))


def uncommitted(repo: Path) -> tuple[str, ...]:
    """List the paths in which the user's files differ from HEAD."""
    with _clearer_errors(repo), tempfile.TemporaryDirectory() as folder:
        return _store(_start(repo, checkout.head(repo), Path(folder) / "copy", None)).uncommitted


@contextmanager
def _clearer_errors(repo: Path) -> Iterator[None]:
    """Where git fails for want of a filter, say so: its own message may not even name the file."""
    try:
        yield
    except UserError:
        filters.check(repo)
        raise


def _start(repo: Path, commit: str, folder: Path, pipe: int | None) -> _Copy:
    """Make ``folder`` with a ``.git`` in which ``commit`` is HEAD."""
    try:
        folder.mkdir()
    except OSError as error:
        raise UserError(f"cannot make the folder {folder}: {error.strerror}") from None
    formats = {"GIT_DEFAULT_HASH": "sha1" if len(commit) == 40 else "sha256", "GIT_DEFAULT_REF_FORMAT": "files"}
    git.output(folder, "init", "--quiet", "--template=", environment=formats, pipe=pipe)
    copy = _Copy(repo, _path_in_git(repo, "--absolute-git-dir"), folder, pipe)
    (copy.own / "HEAD").write_text(f"{commit}\n")
    (copy.own / "packed-refs").write_bytes(git.output(repo, "for-each-ref", "--format=%(objectname) %(refname)"))
    objects = _path_in_git(repo, "--git-path", "objects")
    (copy.own / "objects" / "info" / "alternates").write_bytes(_quoted(objects) + b"\n")
    with suppress(FileNotFoundError):
        shutil.copyfile(_path_in_git(repo, "--git-path", "shallow"), copy.own / "shallow")
    return copy


def _path_in_git(repo: Path, *arguments: str) -> Path:
    return repo / os.fsdecode(git.output(repo, "rev-parse", *arguments)).removesuffix("\n")


def _quoted(path: Path) -> bytes:
    """Quote a path as in C: it may contain a line end."""
    return b'"' + b"".join(b"\\%03o" % byte for byte in os.fsencode(path)) + b'"'


def _store(copy: _Copy) -> _Stored:
    """Store the user's files in the objects of ``copy``, as git would commit them now."""
    with suppress(FileNotFoundError):
        # The file's own time tells git which files may have changed in the moment after it was written.
        shutil.copy2(_path_in_git(copy.repo, "--git-path", "index"), copy.own / "index")
    flags = {entry[2:]: entry[0] for entry in git.split(copy.git("ls-files", "-v", "-z"))}
    left_out = frozenset(
        path for path, flag in flags.items() if flag in "Ss" and not os.path.lexists(copy.repo / path)
    )
    # The user may have told git not to look at some files.
    hidden = [path for path, flag in flags.items() if (flag == "S" or flag.islower()) and path not in left_out]
    for option in ("--no-assume-unchanged", "--no-skip-worktree"):
        copy.git("update-index", option, "-z", "--stdin", stdin=git.join(hidden))
    # Tracked files first: a folder may be where a tracked file was, and the other way round.
    copy.git("add", "--update")
    untracked = git.split(copy.git("ls-files", "-z", "--others", "--exclude-standard"))
    files = [path for path in untracked if not path.endswith("/")]
    copy.git("update-index", "--add", "--remove", "-z", "--stdin", stdin=git.join(files))
    status = copy.git(
        "status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all", "--ignore-submodules=none"
    )
    entries = git.split(status)
    return _Stored(
        tree=copy.git("write-tree").decode().strip(),
        uncommitted=tuple(sorted(entry[3:] for entry in entries)),
        not_in_tree=frozenset(entry[3:] for entry in entries if entry[1] != " "),
        left_out=left_out,
    )


def _check_out(copy: _Copy, tree: str, left_out: Collection[str]) -> None:
    """Write the files of a commit or tree into ``copy``, except those that a sparse checkout leaves out."""
    copy.git("read-tree", tree)
    if left_out:
        both = [path for path in git.split(copy.git("ls-files", "-z")) if path in left_out]
        copy.git("update-index", "--skip-worktree", "-z", "--stdin", stdin=git.join(both))
    copy.git("checkout-index", "--all", "--index", work_tree=copy.folder)


def _copy_repository(source: Path, target: Path) -> None:
    """Copy the files of an untracked repository without its history."""
    try:
        shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns(".git"))
    except OSError as error:
        raise UserError(f"cannot copy {source}: {error}") from None


def duplicate(source: Path, target: Path) -> None:
    """Make one more copy of a side."""
    try:
        shutil.copytree(source, target, symlinks=True)
    except OSError as error:
        raise UserError(f"cannot copy {source}: {error}") from None
