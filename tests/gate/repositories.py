"""Small git repositories for the tests, made without the user's configuration."""

import os
import subprocess
from pathlib import Path

CONFIGURATION = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.org",
}
LOCATION = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY")


def git(folder, *arguments):
    """Run git; return its output."""
    inherited = {name: value for name, value in os.environ.items() if name not in LOCATION}
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(
        command, env={**inherited, **CONFIGURATION}, capture_output=True, text=True, check=True
    ).stdout.strip()


def write(folder, files):
    """Write the files of a map from path to text."""
    for path, text in files.items():
        file = Path(folder) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def commit(folder, subject="a change"):
    """Commit everything; return the commit."""
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "-m", subject)
    return git(folder, "rev-parse", "HEAD")


def make(folder, files):
    """Make a repository with one commit on ``main``."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "--quiet", "--template=", "--initial-branch=main")
    write(folder, files)
    commit(folder, "the first")
    return folder


def contents(folder, *, leave_out=()):
    """Map every path below ``folder``, as bytes, to its kind, mode and bytes."""
    found = {}
    top = os.fsencode(folder)
    for above, folders, files in os.walk(top):
        folders[:] = [name for name in folders if os.fsdecode(name) not in leave_out]
        for name in [*files, *folders]:
            path = os.path.join(above, name)
            relative = os.path.relpath(path, top)
            if os.fsdecode(name) in leave_out:
                continue
            if os.path.islink(path):
                found[relative] = ("link", os.readlink(path))
            elif os.path.isdir(path):
                found[relative] = ("folder",)
            else:
                found[relative] = (
                    "file",
                    bool(os.stat(path).st_mode & 0o100),
                    Path(os.fsdecode(path)).read_bytes(),
                )
    return found


def files(folder):
    """Return the files and links of a working tree, without git's own and without folders."""
    return {path: what for path, what in contents(folder, leave_out=(".git",)).items() if what != ("folder",)}


def state(folder):
    """Map every path below ``folder`` to what is there, and the time of its last change.

    A file that came and went changes the time of its folder. Times of objects and shared indexes are left out: git
    renews them when it needs one again.
    """
    top = os.fsencode(folder)
    found = {b".": os.lstat(top).st_mtime_ns}
    for path, what in contents(folder).items():
        is_renewed = what[0] == "file" and (b"/objects/" in b"/" + path or b"sharedindex." in path)
        found[path] = what if is_renewed else (what, os.lstat(os.path.join(top, path)).st_mtime_ns)
    return found


def changes(before, after):
    """List the paths in which two states differ."""
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
