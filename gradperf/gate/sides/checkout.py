"""Reads the user's checkout, never writes to it: its top folder, commits, lock, and what no copy of it contains."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from gradperf.errors import UserError
from gradperf.gate.sides import filters, git

MAIN = ("origin/HEAD", "origin/main", "origin/master", "main", "master")
"""Names of the main branch; the first that exists is used."""

DEEPER = (
    "this clone is shallow: get the rest with `git fetch --unshallow`, "
    "or with `fetch-depth: 0` of actions/checkout in CI"
)

_SUBMODULE = "160000 "

MOST_NAMED = 5
"""Ignored files and folders that a warning names; the others are counted."""

_BY_PRODUCTS = {"__pycache__", "build", "dist", "htmlcov", "node_modules", "site", "target", "_build", "wheels"}
_BY_PRODUCT_ENDS = (".egg-info", ".pyc", ".pyo", ".log", ".o", ".swp", "~")
"""Names of what tools make again, beside all hidden names."""


def repository(folder: Path) -> Path:
    """Return the top folder of the checkout that contains ``folder``."""
    code, output, message = git.run(folder, "rev-parse", "--show-toplevel")
    if code == 0:
        return Path(os.fsdecode(output).removesuffix("\n"))
    if "not a git repository" in message:
        raise UserError(f"not a git repository: {folder}; give --base-python to compare interpreters without one")
    raise UserError(f"git cannot use the repository of {folder}: {message}")


def worktrees(repo: Path) -> list[Path]:
    """Return the top folders of all worktrees of the repository, with links resolved."""
    listed = os.fsdecode(git.output(repo, "worktree", "list", "--porcelain")).split("\n\n")
    entries = [entry.splitlines() for entry in listed if entry.startswith("worktree ")]
    return [Path(os.path.realpath(lines[0][len("worktree ") :])) for lines in entries if "bare" not in lines]


def _commit(repo: Path, rev: str) -> str | None:
    """Return the commit that ``rev`` names, if any."""
    if not rev or rev.startswith("-"):  # git would take it for an option
        return None
    return git.line(repo, "rev-parse", "--verify", "--quiet", f"{rev}^{{commit}}")


def _is_shallow(repo: Path) -> bool:
    return git.line(repo, "rev-parse", "--is-shallow-repository") == "true"


def head(repo: Path) -> str:
    """Return the commit that is checked out."""
    if commit := _commit(repo, "HEAD"):
        return commit
    raise UserError(f"{repo} has no commit yet, so there is nothing to compare with")


def resolve(repo: Path, rev: str) -> str:
    """Return the full name of the commit that the user calls ``rev``."""
    head(repo)
    if commit := _commit(repo, rev):
        return commit
    remedy = DEEPER if _is_shallow(repo) else f"perhaps it was not fetched: `git fetch origin {rev}`"
    if _commit(repo, f"origin/{rev}"):
        remedy = f"did you mean origin/{rev}?"
    raise UserError(f"there is no commit {rev!r} here; {remedy}")


def default_base(repo: Path) -> str:
    """Return the commit at which the user's branch left the main branch."""
    user_commit = head(repo)
    if target := os.environ.get("GITHUB_BASE_REF"):
        branch = f"origin/{target}"
        if not _commit(repo, branch):
            raise UserError(
                f"GITHUB_BASE_REF is {target!r}, but there is no {branch} here; set `fetch-depth: 0` of "
                f"actions/checkout, or give --base REV"
            )
    else:
        branches = [name for name in MAIN if _commit(repo, name)]
        if not branches:
            deeper = f"; {DEEPER}" if _is_shallow(repo) else ""
            raise UserError(f"no main branch was found ({', '.join(MAIN)}); give --base REV{deeper}")
        branch = branches[0]
    if base := git.line(repo, "merge-base", user_commit, branch):
        return base
    remedy = DEEPER if _is_shallow(repo) else "give --base REV"
    raise UserError(f"HEAD and {branch} have no commit in common; {remedy}")


def describe(repo: Path, commit: str) -> str:
    """Return the short name and the subject of a commit, for people."""
    output = git.output(repo, "log", "-1", "--no-color", "--format=%h %s", commit)
    short, _, subject = output.decode(errors="replace").strip().partition(" ")
    return f"{short} {subject!r}"


def warnings(repo: Path) -> list[str]:
    """Return a warning for each kind of files that neither side has, though a benchmark may need them."""
    found = []
    index = git.split(git.output(repo, "ls-files", "--stage", "-z"))
    if submodules := [entry.partition("\t")[2] for entry in index if entry.startswith(_SUBMODULE)]:
        found.append(f"neither side has the submodules, so code that needs them fails: {_listed(submodules)}")
    # Do not look into ignored folders: they may be large.
    ignored = git.output(repo, "ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory")
    paths = [path for path in git.split(ignored) if not _is_by_product(repo, path)]
    # git also lists a folder in which everything is ignored by a pattern for what it contains.
    needed = [path for path in paths if not any(other != path and other.startswith(path) for other in paths)]
    if needed:
        shown = _listed(needed[:MOST_NAMED]) + (
            f" and {more} more" if (more := len(needed) - MOST_NAMED) > 0 else ""
        )
        found.append(f"neither side has what git ignores, so a test that needs it fails or is skipped: {shown}")
    return found + filters.warnings(repo)


def _is_by_product(repo: Path, path: str) -> bool:
    """Return whether an ignored file or folder is a cache, an environment or a product of building and testing."""
    names = PurePosixPath(path).parts
    return (
        any(name.startswith(".") or name in _BY_PRODUCTS or name.endswith(_BY_PRODUCT_ENDS) for name in names)
        or (repo / path / "pyvenv.cfg").exists()
    )


def _listed(paths: list[str]) -> str:
    """Write paths in a line; they may contain anything."""
    return ", ".join(path if path.isprintable() else repr(path) for path in paths)


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Let only one gate at a time run in the checkout that contains ``folder``.

    The lock is on a folder that exists anyway and ends with the process, so nothing is left behind.
    """
    place = folder
    with suppress(UserError):  # without git, lock the folder itself
        place = Path(git.line(folder, "rev-parse", "--absolute-git-dir") or folder)
    descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise UserError("another gate is running in this checkout; wait for it") from None
            # A network drive may have no locks. Two gates at once would only disturb each other.
        yield
    finally:
        os.close(descriptor)
