"""Saves a run to files, in place of pytest-benchmark: whole or not at all, under a name that no other run takes.

pytest-benchmark's options keep their meaning, and its hooks make the content, so that its own commands read the
files. A run that cannot be saved where it should be is saved elsewhere. Runs in a database stay pytest-benchmark's.
"""

import json
import os
import signal
import tempfile
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gradperf.errors import UserError
from gradperf.files import check_can_write, write
from gradperf.records import numbered, storage
from gradperf.records.facts import read_run
from gradperf.suite import machine_info
from gradperf.text.printable import clean


@dataclass
class Saving:
    """What the user wants to be saved, and what came of it."""

    folder: Path
    name: str | None
    """Of the file, without number; None if the run is not to be stored."""
    rounds: bool
    """Whether the time of each round is stored."""
    json: Path | None
    """A file for the run with all its rounds, beside or instead of the stored one."""
    fixtures: list[Any] = field(default_factory=list)
    """pytest-benchmark's, in the order in which the tests ran."""
    lines: list[str] = field(default_factory=list)
    """What to tell the user."""


KEY = pytest.StashKey[Saving]()


def prepare(config: pytest.Config, folder: Path | None, *, is_recorded: bool) -> None:
    """Take over from pytest-benchmark what is to be saved; ``folder`` is its storage, None if that is a database.

    A run that ``is_recorded`` is saved also if the user gave no name. Raises UserError if a folder or a file cannot
    be written.
    """
    option = config.option
    name = option.benchmark_save or option.benchmark_autosave
    if is_recorded and not name:
        # Two runs of one moment must not get the same name, also where they draw the same number.
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}_{os.getpid()}"
    if is_recorded and option.benchmark_json:
        check_can_write("--benchmark-json", option.benchmark_json)
    if folder is None:
        option.benchmark_autosave = option.benchmark_autosave or name
        return
    folder = folder / storage.MACHINE_ID
    if is_recorded:
        check_writable(folder)
    config.stash[KEY] = Saving(folder, name, option.benchmark_save_data, option.benchmark_json)
    option.benchmark_save = option.benchmark_autosave = option.benchmark_json = None


def check_writable(folder: Path) -> None:
    """Raise UserError if no file can be made in ``folder``. A folder that does not exist is made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(
            f"cannot write results to {folder}: {error.strerror}. "
            "Give another folder with --benchmark-storage=file:///absolute/path"
        ) from None


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, Any, Any]:
    """Remember each ``benchmark``, however a test asked for it."""
    made = yield
    if fixturedef.argname == "benchmark" and hasattr(made, "stats") and KEY in request.config.stash:
        request.config.stash[KEY].fixtures.append(made)
    return made


@pytest.hookimpl(wrapper=True)  # before pytest-benchmark makes its tables: if that fails, the run is not lost
def pytest_sessionfinish(session: pytest.Session) -> Generator[None]:
    """Save the run."""
    saving = session.config.stash.get(KEY, None)
    if saving and (saving.name or saving.json):
        with _without_interrupt():
            if not _save_all(session.config, saving):
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
    return (yield)


@contextmanager
def _without_interrupt() -> Iterator[None]:
    """Ignore Ctrl-C: it was pressed once already, or the run is at its end; saving takes a moment."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def _save_all(config: pytest.Config, saving: Saving) -> bool:
    """Save what is wanted; return whether all of it was saved where it should be."""
    benchmarks = [fixture.stats for fixture in saving.fixtures if fixture.stats]
    if not benchmarks:
        if saving.fixtures and saving.fixtures[0].enabled:
            saving.lines.append("nothing was saved, because no benchmark was timed")
        return True
    hook = config.hook
    commit = hook.pytest_benchmark_generate_commit_info(config=config)
    hook.pytest_benchmark_update_commit_info(config=config, commit_info=commit)
    machine = machine_info.own(config)

    def content(rounds: bool) -> dict[str, Any]:
        """Return what pytest-benchmark would save."""
        output: dict[str, Any] = hook.pytest_benchmark_generate_json(
            config=config, benchmarks=benchmarks, include_data=rounds, machine_info=machine, commit_info=commit
        )
        hook.pytest_benchmark_update_json(config=config, benchmarks=benchmarks, output_json=output)
        return output

    saved = True
    if saving.json:
        try:
            write(saving.json, _text(content(rounds=True)))
            saving.lines.append(f"saved, with all rounds, as {shown(saving.json)}")
        except UserError as error:
            saved = False
            saving.lines.append(f"ERROR: --benchmark-json={error}; {_rescued(saving.json.stem, content(True))}")
    if saving.name:
        stored = content(saving.rounds)
        partial = read_run(stored).partial
        name = f"{saving.name}_partial" if partial else saving.name
        try:
            file = numbered.add(saving.folder, name, _text(stored))
        except (OSError, ValueError) as error:
            saved = False
            reason = getattr(error, "strerror", None) or error
            place, advice = shown(saving.folder), "make room there, or give another with --benchmark-storage"
            saving.lines.append(
                f"ERROR: the run cannot be saved in {place}: {reason}; {_rescued(name, stored)}; {advice}"
            )
        else:
            only = f", a partial run ({clean(partial)}): it never counts as the last run" if partial else ""
            saving.lines.append(f"saved as {shown(file)}{only}")
    return saved


def _text(content: dict[str, Any]) -> str:
    """Return the JSON as pytest-benchmark writes it, which has to cope with a test's own ``extra_info`` too."""
    return json.dumps(content, indent=4, default=lambda value: f"UNSERIALIZABLE[{value!r}]")


def _rescued(name: str, content: dict[str, Any]) -> str:
    """Save a run that found no room in its place in another; return a phrase that says where."""
    for folder in (Path(tempfile.gettempdir()), Path.home(), Path.cwd()):
        try:
            return f"it is kept as {shown(numbered.add(folder / 'gradperf-rescued', name, _text(content)))}"
        except (OSError, ValueError):
            continue
    return "it is lost, because no other place was left for it"


def shown(path: Path) -> str:
    """Return a path for the user: relative to the working directory where that is shorter."""
    whole = str(path.absolute())
    try:
        return clean(min(whole, os.path.relpath(whole), key=len))
    except (OSError, ValueError):  # the working directory is gone, or on another drive
        return clean(whole)
