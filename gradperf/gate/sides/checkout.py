"""What git knows of the user's checkout, and copies of it to measure.

Its law: **the checkout itself is only read.** The base is a git worktree elsewhere; the head is a second one with
the user's uncommitted files laid over it. So both are of the same kind, and the user may go on working while the
gate runs. Not even the index is refreshed. What is not known to be equal counts as changed.
"""

import errno
import fcntl
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from gradperf.errors import UserError
from gradperf.gate.janitor import SETTINGS, Janitor, without_location

MAIN = ("origin/HEAD", "origin/main", "origin/master", "main", "master")
"""Names of the main branch; the first that exists is meant."""

DEEPER = (
    "this clone is shallow: get the rest with `git fetch --unshallow`, "
    "or with `fetch-depth: 0` of actions/checkout in CI"
)

_UNMERGED = ("DD", "AU", "UD", "UA", "DU", "AA", "UU")
_SUBMODULE = "160000"
_LINK = "120000"


def _run(folder: Path, arguments: Sequence[str | Path], given: bytes, hold: int | None) -> tuple[int, bytes, str]:
    """Run git in ``folder``; give the exit code, the output and the error message."""
    # Messages in English: some are looked at below. No question is asked on the terminal.
    environment = {**without_location(os.environ.items()), "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(  # noqa: S603 - nothing of it goes through a shell
            ["git", "-C", folder, *SETTINGS, *arguments],  # noqa: S607 - the user's git
            input=given,
            capture_output=True,
            env=environment,
            pass_fds=() if hold is None else (hold,),
            check=False,
        )
    except FileNotFoundError:
        raise UserError(
            "git is not installed, or not on PATH; give --base-python to compare interpreters without it"
        ) from None
    return done.returncode, done.stdout, os.fsdecode(done.stderr).strip()


def _git(folder: Path, *arguments: str | Path, given: bytes = b"", hold: int | None = None) -> bytes:
    """Give git's output; what git complains of becomes a UserError."""
    code, output, message = _run(folder, arguments, given, hold)
    if code:
        raise UserError(f"git {arguments[0]} failed: {message or f'exit code {code}'}")
    return output


def _line(folder: Path, *arguments: str) -> str | None:
    """Give the one line that git answers; None where it says no."""
    code, output, _ = _run(folder, arguments, b"", None)
    # Only git's own line end: a folder's name may end in one as well.
    return os.fsdecode(output).removesuffix("\n") if code == 0 else None


def _entries(output: bytes) -> list[str]:
    """Split what git wrote under -z; names that are no UTF-8 survive."""
    return [os.fsdecode(entry) for entry in output.split(b"\0") if entry]


def repository(folder: Path) -> Path:
    """Give the top folder of the checkout that ``folder`` is in."""
    code, output, message = _run(folder, ["rev-parse", "--show-toplevel"], b"", None)
    if code == 0:
        return Path(os.fsdecode(output).removesuffix("\n"))
    if "not a git repository" in message:
        raise UserError(f"not a git repository: {folder}; give --base-python to compare interpreters without one")
    raise UserError(f"git cannot use the repository of {folder}: {message}")


def _commit(repo: Path, rev: str) -> str | None:
    """Give the commit that ``rev`` names, if any."""
    if not rev or rev.startswith("-"):  # git would take it for an option
        return None
    return _line(repo, "rev-parse", "--verify", "--quiet", f"{rev}^{{commit}}")


def _is_shallow(repo: Path) -> bool:
    return _line(repo, "rev-parse", "--is-shallow-repository") == "true"


def _head(repo: Path) -> str:
    if commit := _commit(repo, "HEAD"):
        return commit
    raise UserError(f"{repo} has no commit yet, so there is nothing to compare with")


def resolve(repo: Path, rev: str) -> str:
    """Give the full name of the commit that the user calls ``rev``."""
    _head(repo)
    if commit := _commit(repo, rev):
        return commit
    remedy = DEEPER if _is_shallow(repo) else f"perhaps it was not fetched: `git fetch origin {rev}`"
    if _commit(repo, f"origin/{rev}"):
        remedy = f"did you mean origin/{rev}?"
    raise UserError(f"there is no commit {rev!r} here; {remedy}")


def default_base(repo: Path) -> str:
    """Give the commit at which the user's branch left the main branch."""
    head = _head(repo)
    if target := os.environ.get("GITHUB_BASE_REF"):
        branch = f"origin/{target}"
        if not _commit(repo, branch):
            raise UserError(
                f"GITHUB_BASE_REF is {target!r}, but there is no {branch} here; set `fetch-depth: 0` of "
                f"actions/checkout, or say --base REV"
            )
    else:
        found = [name for name in MAIN if _commit(repo, name)]
        if not found:
            deeper = f"; {DEEPER}" if _is_shallow(repo) else ""
            raise UserError(f"no main branch was found ({', '.join(MAIN)}); say --base REV{deeper}")
        branch = found[0]
    if base := _line(repo, "merge-base", head, branch):
        return base
    remedy = DEEPER if _is_shallow(repo) else "say --base REV"
    raise UserError(f"no commit is known from which both HEAD and {branch} come; {remedy}")


def describe(repo: Path, commit: str) -> str:
    """Name a commit for people: its short name and its subject."""
    output = _git(repo, "-c", "log.showSignature=false", "log", "-1", "--no-color", "--format=%h %s", commit)
    short, _, subject = output.decode(errors="replace").strip().partition(" ")
    return f"{short} {subject!r}"


def uncommitted(repo: Path) -> dict[str, bool]:
    """Map each path that differs from HEAD, on disk or in the index, to whether it is on disk.

    Untracked files are among them, ignored ones are not. A path that ends in ``/`` is an untracked repository.
    """
    status = _git(
        repo,
        "status",
        "--porcelain=v1",
        "-z",
        "--no-renames",
        "--untracked-files=all",
        "--ignore-submodules=none",
    )
    found: dict[str, bool] = {}
    for entry in _entries(status):
        code, path = entry[:2], entry[3:]
        # Not "does it exist", if git knows: a folder that became a link may lead to a file of that name.
        present = os.path.lexists(repo / path) if code in _UNMERGED else code[1] != "D" and code != "D "
        # `git rm --cached` leaves two entries: deleted, and untracked.
        found[path] = present or found.get(path, False)
    # What git was told not to look at, so `status` does not either: small letters, and S.
    tags = {entry[2:]: entry[0] for entry in _entries(_git(repo, "ls-files", "-v", "-z"))}
    if hidden := [path for path, tag in tags.items() if tag == "S" or tag.islower()]:
        index, present_ones = _index(repo), [path for path in hidden if os.path.lexists(repo / path)]
        on_disk = _on_disk(repo, present_ones)
        found.update({path: True for path in present_ones if index[path] != on_disk[path]})
        # A sparse checkout leaves files out on purpose.
        found.update({path: False for path in hidden if path not in on_disk and tags[path] not in "Ss"})
    return found


def _index(repo: Path) -> dict[str, tuple[str, str]]:
    """Map each tracked path to its mode and content, as git names them."""
    found = {}
    for entry in _entries(_git(repo, "ls-files", "--stage", "-z")):
        facts, _, path = entry.partition("\t")
        mode, content, _ = facts.split(" ")
        found[path] = (mode, content)
    return found


def _tree(repo: Path, commit: str) -> dict[str, tuple[str, str]]:
    """Map each path of a commit to its mode and content, as git names them."""
    found = {}
    for entry in _entries(_git(repo, "ls-tree", "-r", "-z", "--full-tree", commit)):
        facts, _, path = entry.partition("\t")
        mode, _, content = facts.split(" ")
        found[path] = (mode, content)
    return found


def _on_disk(repo: Path, paths: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Map each path to the mode and content that git would note if it were committed now."""
    found = {}
    regular = {}
    for path in paths:
        try:
            mode = os.lstat(repo / path).st_mode
        except OSError:
            mode = 0
        if stat.S_ISREG(mode):
            regular[path] = "100755" if mode & stat.S_IXUSR else "100644"
        elif stat.S_ISLNK(mode):
            link = os.fsencode(os.readlink(repo / path))
            found[path] = (_LINK, _git(repo, "hash-object", "--stdin", given=link).decode().strip())
        else:  # a submodule with changes in it, or gone since
            found[path] = ("", "")
    if regular:
        # One a line; quoted, so that a name may contain a line end.
        quoted = "".join('"' + "".join(f"\\{byte:03o}" for byte in os.fsencode(path)) + '"\n' for path in regular)
        contents = _git(repo, "hash-object", "--stdin-paths", given=quoted.encode()).decode().split()
        found.update({path: (regular[path], content) for path, content in zip(regular, contents, strict=True)})
    return found


def changed_files(repo: Path, base: str) -> tuple[str, ...]:
    """List the paths that differ between the commit ``base`` and the user's files; a renamed file is two paths."""
    before, now = _tree(repo, base), _index(repo)
    dirty = uncommitted(repo)
    # Content has to be looked at only where it might be the base's again.
    looked_at = _on_disk(repo, [path for path, present in dirty.items() if present and path in before])
    for path, present in dirty.items():
        now.pop(path, None)
        if present:
            now[path] = looked_at.get(path, ("", ""))
    return tuple(sorted(path for path in before.keys() | now.keys() if before.get(path) != now.get(path)))


def check_out(repo: Path, commit: str, target: Path, janitor: Janitor) -> None:
    """Make a worktree of ``commit`` at ``target``, which does not exist yet."""
    janitor.worktree(repo, target)
    _git(
        repo,
        "-c",
        "submodule.recurse=false",
        "-c",
        "worktree.useRelativePaths=false",  # would be noted in the repository's configuration
        "worktree",
        "add",
        "--quiet",
        "--detach",
        target,
        commit,
        # Were the gate killed now, this git would go on for a moment; the cleaning waits for it.
        hold=janitor.pipe(),
    )


def snapshot(repo: Path, target: Path, janitor: Janitor) -> Mapping[str, bool]:
    """Make a worktree at ``target`` that contains what the user's does, but for ignored files.

    Gives the paths in which it differs from HEAD, as :func:`uncommitted` does.
    """
    check_out(repo, _head(repo), target, janitor)
    dirty = uncommitted(repo)
    for path, present in dirty.items():
        if not present:
            _drop(target / path, target)
    # Second: where a folder was deleted, there may be a file of its name now, and the other way round.
    for path, present in dirty.items():
        if present:
            _copy(repo / path, target / path, target)
    return dirty


def _drop(path: Path, root: Path) -> None:
    """Remove a file, and the folders that are empty then."""
    if path.is_dir() and not path.is_symlink():  # a submodule's place
        with suppress(OSError):
            path.rmdir()
        return
    path.unlink(missing_ok=True)
    for folder in path.parents:
        if folder == root:
            return
        try:
            folder.rmdir()
        except OSError:
            return


def _copy(source: Path, target: Path, root: Path) -> None:
    """Copy a file, a link, or a whole untracked repository without its history."""
    try:
        mode = source.lstat().st_mode
        if stat.S_ISDIR(mode) and (source / ".git").exists() and target.is_dir() and not any(target.iterdir()):
            return  # a submodule: the other side has no files of it either
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        if stat.S_ISDIR(mode):
            shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns(".git"))
        elif stat.S_ISREG(mode) or stat.S_ISLNK(mode):
            # A file of another kind may be there, and a link would be followed.
            target.unlink(missing_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
    except FileNotFoundError:  # deleted by the user since
        _drop(target, root)
    except (OSError, shutil.Error) as error:
        raise UserError(f"cannot copy {source}: {error}") from None


def warnings(repo: Path) -> list[str]:
    """Say which of the user's files are on neither side, though a benchmark may need them."""
    found = []
    if submodules := [path for path, (mode, _) in _index(repo).items() if mode == _SUBMODULE]:
        found.append(
            f"submodules are on neither side, so what needs them fails: {', '.join(map(_shown, submodules))}"
        )
    # Ignored folders are not looked into: they are build folders and environments, and large.
    ignored = _entries(_git(repo, "ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory"))
    modules = [path for path in ignored if path.endswith((".so", ".py", ".pyd"))]
    if modules:
        shown = ", ".join(map(_shown, modules[:5])) + (", …" if len(modules) > 5 else "")
        found.append(f"modules that git ignores are on neither side, so what imports them fails: {shown}")
    return found


def _shown(path: str) -> str:
    """Write a path that may contain anything."""
    return path if path.isprintable() else repr(path)


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Let only one gate at a time run in the checkout that ``folder`` is in.

    The lock is on a folder that exists anyway, and goes with the process: nothing is left behind.
    """
    place = folder
    with suppress(UserError):  # without git the folder itself is locked
        place = Path(_line(folder, "rev-parse", "--absolute-git-dir") or folder)
    held = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise UserError("another gate is running in this checkout; wait for it") from None
            # A network drive that cannot lock: two gates at once would only disturb each other.
        yield
    finally:
        os.close(held)
