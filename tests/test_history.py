"""Runs are found by number, name, age and version; only complete runs under equal conditions are compared."""

import json
import os
import re
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradperf.errors import UserError
from gradperf.records import history, storage
from gradperf.records.conditions import Conditions, unlike
from gradperf.suite import previous, selection
from gradperf.suite.saving import shown
from tests.conftest import ROOT
from tests.records import record

MACHINE = {
    "cpu_model": "A",
    "python_version": "3.11.7",
    "versions": {"numpy": "2.4.6", "torch": "2.13.0+cpu"},
    "settings": {"tier": "quick", "threads": 1, "seed": 0},
}
SELECTION = {"paths": ["perf"], "keyword": None, "framework": []}


def store(folder, name, day=1, *, machine=(), versions=(), settings=(), count=(2, 2), cut_short=None, **gradperf):
    """Store a run as the suite does; return its file."""
    info = {**MACHINE, **dict(machine)}
    info["versions"] = {**MACHINE["versions"], **dict(versions)}
    info["settings"] = {**MACHINE["settings"], **dict(settings)}
    run = {
        "benchmarks": [record()],
        "datetime": datetime(2026, 1, day, tzinfo=UTC).isoformat(),
        "machine_info": info,
        "commit_info": {"id": "abc"},
        "gradperf": {
            "schema": 1,
            "selection": SELECTION,
            "benchmarks_selected": count[0],
            "benchmarks_finished": count[1],
            "cut_short": cut_short,
            **gradperf,
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(run))
    return folder / name


def damage(file, text="{"):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def choose(folder):
    own = Conditions.described(MACHINE, SELECTION)
    return previous.newest(own, history.files_in(folder), folder)


# Which run is the last one.


def test_the_newest_is_taken(tmp_path):
    """By its number, also where that has five digits; and it is named with its date and its size."""
    for name in ("0001_a.json", "9999_b.json", "10000_c.json"):
        file = store(tmp_path, name, day=5)
    chosen = choose(tmp_path)
    assert [run.file for run in chosen.runs] == [file]
    assert chosen.notes == (f"compared with {file}, recorded 2026-01-05 00:00 UTC, 1 benchmark",)


UNLIKE = [
    ({"count": (2, 1)}, "1 partial"),
    ({"cut_short": "interrupted"}, "1 partial"),
    ({"selection": {**SELECTION, "keyword": "torch"}}, "1 of another selection"),
    ({"settings": {"seed": 7}}, "1 at other settings (settings.seed: 7 then, 0 now)"),
    ({"machine": {"cpu_model": "B"}}, "1 on another machine (cpu_model: B then, A now)"),
    ({"versions": {"torch": "2.12.0"}}, "1 under other versions (versions.torch: 2.12.0 then, 2.13.0+cpu now)"),
    ({"machine": {"python_version": "3.12"}}, "1 under other versions (python_version: 3.12 then, 3.11.7 now)"),
]


@pytest.mark.parametrize(("facts", "reason"), UNLIKE, ids=[reason[2:20] for _, reason in UNLIKE])
def test_another_run_is_passed_over(tmp_path, facts, reason):
    """An older one is taken; without one the reason is reported."""
    store(tmp_path, "0002_newer.json", **facts)
    where = f"no run to compare with: 1 run in {shown(tmp_path)}: "
    assert choose(tmp_path).notes == (where + reason,)
    older = store(tmp_path, "0001_older.json")
    assert [run.file for run in choose(tmp_path).runs] == [older]


def test_what_was_passed_over_is_counted(tmp_path):
    """Of each kind, with what differs in the newest."""
    for place, facts in enumerate([{"count": (3, 2)}] * 2 + [{"versions": {"torch": v}} for v in ("1", "2")]):
        store(tmp_path, f"000{place}_x.json", **facts)
    (note,) = choose(tmp_path).notes
    assert note.startswith("no run to compare with: 4 runs in ")
    assert note.endswith(": 2 under other versions (versions.torch: 2 then, 2.13.0+cpu now), 2 partial")


def test_no_run_at_all(tmp_path):
    """A sentence, no error."""
    assert choose(tmp_path).notes == (f"no run to compare with: no run in {tmp_path}",)


BAD = {
    "damaged": ("{", "not JSON at line 1"),
    "foreign": (json.dumps({"benchmarks": [], "machine_info": {}}), "without a record of what was selected"),
    "later": (json.dumps({"benchmarks": [], "gradperf": {"schema": 99}}), "has schema 99, from a later gradperf"),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_newer_file_that_holds_no_run_is_named(tmp_path, bad):
    """An older run is compared with, and never in silence; an older bad file does not matter."""
    text, reason = BAD[bad]
    damage(tmp_path / "0001_x.json", text)
    good = store(tmp_path, "0002_y.json")
    assert len(choose(tmp_path).notes) == 1
    file = damage(tmp_path / "0003_z.json", text)
    chosen = choose(tmp_path)
    assert [run.file for run in chosen.runs] == [good]
    assert chosen.notes[1].startswith(
        f"WARNING: a file may be newer, and cannot be compared with: {file}: {reason}"
    )
    good.unlink()
    assert [note.split(":")[0] for note in choose(tmp_path).notes] == [
        "no run to compare with",
        "WARNING",
        "WARNING",
    ]


def test_only_what_is_needed_is_read(tmp_path, monkeypatch):
    """Of hundreds of files, the newest."""
    for place in range(1, 30):
        store(tmp_path, f"{place:04}_x.json")
    read, seen = storage.read, []
    monkeypatch.setattr(storage, "read", lambda file: seen.append(file.name) or read(file))
    assert choose(tmp_path).runs[0].file.name == "0029_x.json"
    assert seen == ["0029_x.json"]


def test_differences_of_a_hostile_record_are_printable(tmp_path):
    """And short."""
    deep = "x"
    for _ in range(900):
        deep = [deep]
    store(tmp_path, "0001_x.json", machine={"cpu_model": "\x1b[31m" + "x" * 10_000, "governor": deep})
    (note,) = choose(tmp_path).notes
    assert note.isprintable()
    assert len(note) < 500 + len(str(tmp_path))


def test_two_hostile_records_are_compared_or_not(tmp_path):
    """Both are nested as deeply as can just be read: nothing is raised."""
    for levels in range(900, 1_000, 3):
        files = [store(tmp_path, name, machine={"cpu_model": "deep"}) for name in ("0001_a.json", "0002_b.json")]
        for file in files:
            file.write_text(file.read_text().replace('"deep"', '{"x":' * levels + "0" + "}" * levels))
        with suppress(UserError):
            runs = [storage.read(file) for file in files]
            assert len([*history.comparable(runs[0], runs)]) < 2


def test_runs_that_can_be_compared(tmp_path):
    """Among many: complete, with equal conditions, and not the run itself."""
    store(tmp_path, "0001_a.json")
    store(tmp_path, "0002_b.json", cut_short="interrupted")
    store(tmp_path, "0003_c.json", versions={"numpy": "2.2.6"})
    store(tmp_path, "0004_d.json")
    runs, problems = history.runs(tmp_path)
    assert [run.file.name[:4] for run in runs] == ["0004", "0003", "0002", "0001"]
    assert problems == []
    assert [run.file.name[:4] for run in history.comparable(runs[0], runs)] == ["0001"]
    assert unlike(runs[0], Conditions.of(runs[3])) is None


# What the user selected.


class Config:
    """As much of pytest's configuration as a selection has."""

    def __init__(self, start, *args, **options):
        plain = {"keyword": "", "markexpr": "", "deselect": None, "ignore": None, "ignore_glob": None}
        self.option = type("Option", (), plain | options)
        self.args = args
        self.invocation_params = type("Params", (), {"dir": start})
        self.stash = {selection.CHOICE: options.get("choice", {"framework": (), "style": ()})}


def test_equal_selections_are_equal(tmp_path):
    """However a path is written and wherever pytest starts, in any order; what they lack changes nothing."""
    written = [
        Config(tmp_path, "perf", "perf/test_a.py::test_x[a::b]", keyword=" a  or b"),
        Config(tmp_path / "perf", "test_a.py::test_x[a::b]", str(tmp_path / "perf"), ".", keyword="a or b"),
        Config(tmp_path, "./perf/", "perf/../perf/test_a.py::test_x[a::b]", keyword="a or b ", deselect=[]),
    ]
    (tmp_path / "perf").mkdir()
    first, *others = (selection.selected(config, tmp_path) for config in written)
    assert others == [first, first]
    assert first["paths"] == ["perf", "perf/test_a.py::test_x[a::b]"]
    assert json.loads(json.dumps(first)) == first


@pytest.mark.parametrize(
    "options",
    [
        {"keyword": "x"},
        {"markexpr": "gate"},
        {"deselect": ["perf/test_a.py"]},
        {"ignore": ["perf/test_a.py"]},
        {"ignore_glob": ["*a*"]},
        {"choice": {"framework": ("numpy",), "style": ()}},
    ],
    ids=lambda options: next(iter(options)),
)
def test_other_selections_differ(tmp_path, options):
    """Whatever changes which benchmarks run is part of the selection."""
    plain = selection.selected(Config(tmp_path, "perf"), tmp_path)
    assert selection.selected(Config(tmp_path, "perf", **options), tmp_path) != plain
    assert selection.selected(Config(tmp_path, "perf/test_b.py"), tmp_path) != plain


# Names of runs.


@pytest.fixture
def folder(tmp_path):
    """Return results with runs of two environments."""
    store(tmp_path / "Linux", "0001_a.json", day=1, versions={"torch": "2.9.1"})
    store(tmp_path / "Linux", "0002_b.json", day=4)
    store(tmp_path / "Linux", "0003_c_partial.json", day=5, count=(2, 1))
    store(tmp_path / "tox" / "Linux", "0002_d.json", day=3, versions={"torch": "2.12.1", "jax": "0.9.2"})
    return tmp_path


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("last", "0002_b"),
        ("1", "0001_a"),
        ("0003", "0003_c_partial"),
        ("0002_d", "0002_d"),
        ("torch=2.12", "0002_d"),
        ("torch==2.12.1", "0002_d"),
        ("torch=2", "0002_b"),
        ("torch=2.9", "0001_a"),
        ("torch=2.13.0, numpy=2.4", "0002_b"),
        ("jax=0.9,torch=2.12", "0002_d"),
    ],
)
def test_a_run_is_found_by(folder, name, found):
    """A number, the beginning of a name, age, or versions."""
    run, problems = history.find(name, folder)
    assert run.file.stem == found
    assert problems == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("0009", r"no recorded run '0009' in .*: there are 4, such as 0003_c_partial\.json, "),
        ("0002_x", r"no recorded run '0002_x' in .*: there are 4, such as 0002_[bd]\.json, "),
        ("0002", r"0002 means 2 runs in .*; give the path of one"),
        ("torch=2.1", r"unknown version of torch in .* '2\.1'\. .*There are: 2\.12\.1, 2\.13\.0\+cpu, 2\.9\.1"),
        (
            "torhc=2.12",
            r"unknown package of a run in .* 'torhc'\. Did you mean 'torch'\? There are: jax, ",
        ),
        ("torch=2.9,jax=0.9", r"there is no complete run under torch=2\.9,jax=0\.9"),
        ("torch=", r"'torch=' is not a run: write versions as torch=2\.12"),
        ("nowhere/x.json", r"nowhere/x\.json: cannot be read: No such file"),
    ],
)
def test_an_unknown_run_is_an_error(folder, name, message):
    """With the nearest names."""
    with pytest.raises(UserError, match=message):
        history.find(name, folder)


def test_no_run_in_the_folder(tmp_path):
    """One line, for each way to ask."""
    for name in ("last", "0001", "torch=2"):
        with pytest.raises(UserError, match=r"there is no|no recorded run|unknown package"):
            history.find(name, tmp_path / "nowhere")


def test_last_names_what_may_be_newer(folder):
    """A damaged file is not passed over in silence; by its last change, if nothing else tells its age."""
    file = damage(folder / "Linux" / "0004_e.json")
    old = damage(folder / "old.json")
    os.utime(old, (0, 0))
    run, problems = history.find("last", folder)
    assert run.file.stem == "0002_b"
    assert [problem.split(": ")[0] for problem in problems] == [str(file)]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 28)), max_size=12))
def test_newest_first_is_the_order_of_the_dates(tmp_path_factory, runs):
    """Over all folders, if the numbers in each follow the dates."""
    folder = tmp_path_factory.mktemp("order")
    for place, (name, day) in enumerate(sorted(runs, key=lambda run: run[1])):
        store(folder / name, f"{place:04}_x.json", day=day)
    days = [run.recorded_at.day for run in history.runs(folder)[0]]
    assert days == sorted((day for _, day in runs), reverse=True)


# Files that hold anything.


@pytest.mark.parametrize("how", ["1 GB", "folder", "dangling", "pipe", "100 levels", "not text", "loop"])
def test_what_is_no_run_is_named_and_not_read(tmp_path, how):
    """At once, whatever it is."""
    file = tmp_path / "0009_x.json"
    if how == "1 GB":
        with file.open("wb") as opened:
            opened.truncate(2**30)
        reason = r"1,024 MiB are too large for a recorded run; at most 256 are read"
    elif how == "folder":
        file.mkdir()
        reason = "cannot be read: Is a directory"
    elif how == "dangling":
        file.symlink_to(tmp_path / "nothing")
        reason = "cannot be read: No such file or directory"
    elif how == "loop":
        file.symlink_to(file)
        reason = "cannot be read: Too many levels"
    elif how == "pipe":
        os.mkfifo(file)
        reason = "not a file"
    elif how == "100 levels":
        file.write_text("[" * 100 + "]" * 100)
        reason = "not a recorded run"
    else:
        file.write_bytes(b'{"benchmarks": ["\xff"]}')
        reason = "not JSON that can be read"
    good = store(tmp_path, "0001_y.json")
    chosen = choose(tmp_path)
    assert [run.file for run in chosen.runs] == [good]
    assert re.search(rf"{re.escape(str(file))}: {reason}", chosen.notes[1])
    assert history.find("last", tmp_path)[1][0].startswith(f"{file}: ")


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    stored=st.fixed_dictionaries(
        {"benchmarks": st.lists(st.dictionaries(st.sampled_from(["extra_info", "stats", "fullname"]), ANYTHING))},
        optional={"datetime": ANYTHING, "machine_info": ANYTHING, "commit_info": ANYTHING, "gradperf": ANYTHING},
    ),
    machine=st.dictionaries(st.sampled_from([*MACHINE, "gpus"]), ANYTHING) | ANYTHING,
    gradperf=st.dictionaries(
        st.sampled_from(["selection", "schema", "cut_short", "benchmarks_selected"]), ANYTHING
    ),
)
def test_a_hostile_record_is_read_or_refused(tmp_path_factory, stored, machine, gradperf):
    """Reading, choosing and finding raise nothing but UserError, and what they say is printable."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "0001_x.json").write_text(json.dumps({**stored, "machine_info": machine, "gradperf": gradperf}))
    for note in choose(folder).notes:
        assert note.isprintable()
    for name in ("last", "torch=2", "0001"):
        with suppress(UserError):
            history.find(name, folder)


# The suite.

ONE = (
    *(str(ROOT / "perf"), "--framework", "numpy", "--problem", "tiny_3x2x1", "--style", "by_hand"),
    *("--no-first-calls", "--benchmark-max-time=0.01"),
)


def test_a_partial_run_is_never_the_last(run_pytest, tmp_path):
    """A run that ``-x`` ended early, and a trial of fewer cases: the next run is compared with the complete one."""
    (tmp_path / "fails.py").write_text(
        "def pytest_runtest_setup(item):\n    assert 'backward' not in item.name, 'on purpose'\n"
    )
    assert run_pytest(*ONE).returncode == 0
    assert run_pytest(*ONE, "-x", "-p", "fails", extra_path=tmp_path).returncode == 1
    assert run_pytest(*ONE, "-k", "training").returncode == 0
    done = run_pytest(*ONE, "--benchmark-compare")
    assert re.search(r"gradperf: compared with \S*/0001_\d+T\d+Z_\d+\.json, ", done.stdout), done.stdout
    names = sorted(file.name for file in (tmp_path / "results").rglob("*.json"))
    assert ["_partial" in name for name in names] == [False, True, False, False]
    assert "since then, of" in done.stdout


def test_a_run_to_fail_by_must_be_there(run_pytest, tmp_path):
    """``--benchmark-compare-fail`` without a run to compare with: one line before anything is timed."""
    done = run_pytest(*ONE, "--benchmark-compare", "--benchmark-compare-fail=min:5%")
    assert done.returncode == 4
    assert "ERROR: --benchmark-compare-fail: no run to compare with: no run in " in done.stderr
    assert not list((tmp_path / "results").rglob("*.json"))


HOSTILE = {
    "no machine": {"benchmarks": []},
    "no times": {"benchmarks": [{"fullname": "x"}], "machine_info": {}},
    "no name": {"benchmarks": [{"stats": {"mean": 1}}], "machine_info": [3]},
    "damaged": None,
}


@pytest.mark.parametrize("how", HOSTILE)
def test_a_named_run_that_cannot_be_compared_with(run_pytest, tmp_path, how):
    """It is named, and nothing ends in an internal error; beside a good run of that number it is a warning."""
    folder = tmp_path / "results" / storage.MACHINE_ID
    damage(folder / "0003_x.json", "{" if HOSTILE[how] is None else json.dumps(HOSTILE[how]))
    done = run_pytest(*ONE, "--benchmark-compare=0003", "-k", "training")
    text = done.stdout + done.stderr
    assert done.returncode == (0 if how in ("no machine", "no name") else 4), text
    assert "0003_x.json" in text
    assert "INTERNAL" not in text
    assert "Traceback" not in text
