"""``gradperf show`` prints the tables of a recorded run, and refuses what is none."""

import argparse
import csv
import io
import json
import re

import pytest

from gradperf import problems
from gradperf.commands import main, show
from gradperf.comparison import table, values
from gradperf.errors import UserError
from gradperf.records import history, storage
from gradperf.records.facts import SCHEMA
from gradperf.text import printable
from gradperf.text.table import Terminal
from tests.records import RUN, lines, record


def store(file, records=(), **keys):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"benchmarks": list(records), **keys}))
    return file


@pytest.fixture
def shown(monkeypatch, capsys):
    """Return ``shown(path)``: what the command prints on 100 columns."""
    monkeypatch.setenv("COLUMNS", "100")

    def show_path(path, *words, columns=(), sort="step_s", format="table"):  # noqa: A002 - as the option is called
        chosen = {"columns": columns, "sort": sort, "format": format}
        assert show.show_run(argparse.Namespace(run=str(path), words=words, results=path, **chosen)) == 0
        return capsys.readouterr()

    return show_path


def test_show_a_file(tmp_path, shown):
    """The name, when and where it was recorded, and the table that a live run prints."""
    when = "2026-11-21T23:30:23.682711+01:00"
    file = store(tmp_path / "0001_x.json", RUN, datetime=when, machine_info={"cpu_model": "AMD EPYC"})
    out = shown(file).out.splitlines()
    assert out[0] == f"{file}, recorded 2026-11-21 22:30 UTC, on AMD EPYC"
    assert out[2:] == lines(RUN, width=100, baseline_of=problems.baseline_of)
    assert any("base" in line for line in out[3:8])


def test_show_some_cases(tmp_path, shown):
    """Only those whose ids hold all words; none is an error."""
    file = store(tmp_path / "0001_x.json", RUN)
    everything = shown(file).out
    some = shown(file, "torch", "polynomial").out
    assert "torch.compiled" in some
    assert len(some) < len(everything)
    with pytest.raises(UserError, match="no case in it has torch and nothing in its id"):
        shown(file, "torch", "nothing")


def test_some_cases_are_compared_with_all(tmp_path, shown):
    """Rank and ratio are those of the whole table, also if the baseline is not shown."""
    records = [record("numpy.by_hand", step_s=1e-6), record("torch.autograd", step_s=3e-6)]
    file = store(tmp_path / "0001_x.json", records)
    out = shown(file, "torch").out
    assert "numpy.by_hand" not in out
    assert re.search(r"torch\.autograd +3\.00 +\S+ +2 +3\.00\b", out)
    (row,) = json.loads(shown(file, "torch", format="json").out)
    assert (row["rank"], row["ratio"]) == (2, 3.0)


def test_chosen_columns(tmp_path, shown):
    """They are shown in the order in which they are named, also those that do not fit otherwise."""
    file = store(tmp_path / "0001_x.json", RUN)
    out = shown(file, columns=("gradient_error", "step_s")).out
    head = next(line.split() for line in out.splitlines() if "/step" in line)
    assert head[:2] == ["style", "error"]
    assert head[2].endswith("/step")
    assert len(head) == 3


def test_sorted_by_a_column(tmp_path, shown):
    """The smallest first, and styles without a value last; rank and ratio stay those of the times."""
    records = [
        record("numpy.by_hand", step_s=1e-6, first_call_s=3.0),
        record("torch.autograd", step_s=2e-6, first_call_s=1.0),
        record("jax.jit", step_s=3e-6, first_call_s=None),
        record("jax.scan", step_s=4e-6, first_call_s=2.0),
    ]
    file = store(tmp_path / "0001_x.json", records)
    for form in ("table", "csv"):
        printed = shown(file, sort="first_call_s", format=form).out
        rows = [
            line for line in printed.splitlines() if re.match(r"(polynomial_degree4,)?(numpy|torch|jax)\.", line)
        ]
        styles = [re.findall(r"(?:numpy|torch|jax)\.\w+", line)[0] for line in rows]
        assert styles == ["torch.autograd", "jax.scan", "numpy.by_hand", "jax.jit"]


def test_every_number_as_json_and_csv(tmp_path, shown):
    """They are in seconds, bytes and shares, not rounded; what is not known is null, or empty."""
    file = store(tmp_path / "0001_x.json", [record("numpy.by_hand", step_s=1.23456789e-6, memory_peak_bytes=None)])
    (row,) = json.loads(shown(file, format="json").out)
    assert row["step_s"] == 1.23456789e-6
    assert (row["style"], row["rank"], row["ratio"], row["memory_peak_bytes"]) == ("numpy.by_hand", 1, 1.0, None)
    assert set(values.COLUMNS) < set(row)
    (from_csv,) = csv.DictReader(io.StringIO(shown(file, format="csv").out))
    assert from_csv["step_s"] == "1.23456789e-06"
    assert from_csv["memory_peak_bytes"] == ""
    assert [*from_csv] == [*row]


def test_hostile_names_in_every_format(tmp_path, shown):
    """A style's name is no formula for a spreadsheet, no markup, and no control sequence."""
    hostile = "=HYPERLINK(1)|<b>\x1b[2J"
    file = store(tmp_path / "0001_x.json", [record("numpy.by_hand", problem=hostile)])
    for form in values.FORMATS:
        out = shown(file, format=form).out
        assert "\x1b" not in out
    assert "<b>" not in shown(file, format="markdown").out
    (from_csv,) = csv.DictReader(io.StringIO(shown(file, format="csv").out))
    assert from_csv["problem"].startswith("'=")


def test_columns_have_the_same_names_everywhere():
    """What the tables show can be written as values, but for what changed since another run."""
    assert {*table._COLUMNS} - {"change", "visible"} == {*values.COLUMNS}


def test_unknown_column(capsys):
    """The nearest name is proposed."""
    with pytest.raises(SystemExit) as error:
        main.main(["show", "--columns", "step_s,first_cal"])
    assert error.value.code == 2
    assert "unknown column 'first_cal'. Did you mean 'first_call_s'?" in capsys.readouterr().err


def test_show_the_newest_of_a_folder(tmp_path, shown):
    """By the date inside, not by name: numbers start again in every folder."""
    store(tmp_path / "Linux" / "0009_x.json", RUN, datetime="2026-11-21T00:00:00")
    newest = store(tmp_path / "tox" / "Linux" / "0001_x.json", RUN, datetime="2026-11-22T00:00:00+00:00")
    store(tmp_path / "zzz.json", RUN)
    (tmp_path / "cut.json").write_text('{"benchmarks": [')
    printed = shown(tmp_path)
    assert printed.out.startswith(f"{newest}, recorded 2026-11-22 00:00 UTC\n")
    assert (
        printed.err
        == f"gradperf: left out: {tmp_path / 'cut.json'}: not JSON at line 1, column 17: Expecting value\n"
    )


def test_show_a_run_of_an_older_version(tmp_path, shown):
    """A dash for each fact that it lacks."""
    records = [
        {"fullname": "perf/test_training.py::test_training[a-b.c-cpu-float64]", "stats": {"median": 1e-5}},
        {"extra_info": {"problem": "tiny_3x2x1", "framework": "numpy", "style": "by_hand"}},
        {},
    ]
    out = shown(store(tmp_path / "old.json", records, machine_info=None, datetime=7)).out
    assert re.search(r"test_training\[a-b\.c-cpu-float64\] +–", out)
    assert "tiny_3x2x1, –, –\n" in out
    assert re.search(r"numpy\.by_hand +– +– +– +base\n", out)


def test_show_a_run_without_tables(tmp_path, shown):
    """A sentence instead of a table."""
    file = store(tmp_path / "x.json", [record(part="forward")])
    assert shown(file).out == f"{file}\n\nthis run timed nothing that a table shows\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "not JSON at line 1, column 1"),
        (b'{"benchmarks": [{}, ', "not JSON at line 1, column 21"),
        (b"\xff\xfe\xfd", "not JSON that can be read: UnicodeDecodeError"),
        (b"[" * 100_000, "not JSON that can be read: RecursionError"),
        (b"[]", "not a recorded run: it has no key 'benchmarks'"),
        (b'{"steps": 3}', "not a recorded run: it has no key 'benchmarks'"),
        (b'{"benchmarks": {}}', "'benchmarks' is not a list"),
        (b'{"benchmarks": [{}, 3]}', r"benchmarks\[1\] is not an object"),
    ],
)
def test_show_refuses_what_is_no_run(tmp_path, text, message):
    """One message names the file and what is wrong in it."""
    file = tmp_path / "bad.json"
    file.write_bytes(text)
    with pytest.raises(UserError, match=rf"bad\.json: {message}"):
        storage.read(file)
    with pytest.raises(UserError, match=rf"there is no recorded run in it\n  .*bad\.json: {message}"):
        history.newest(tmp_path)


@pytest.mark.parametrize("foreign", [{}, {"name": "test_f", "stats": {"min": 1e-3, "rounds": 5}}])
def test_show_refuses_what_another_suite_recorded(tmp_path, foreign):
    """A table without a single time helps nobody."""
    file = store(tmp_path / "foreign.json", [foreign])
    with pytest.raises(UserError, match="no record of gradperf"):
        show.show_run(argparse.Namespace(run=str(file), words=[], results=file.parent))


def test_show_refuses_a_record_without_benchmarks(tmp_path):
    """A run that was cut short may have none."""
    with pytest.raises(UserError, match=r"empty\.json: no benchmark is in it.*run `pytest perf`"):
        show.show_run(argparse.Namespace(run=str(store(tmp_path / "empty.json", [])), words=[], results=tmp_path))


def test_show_refuses_a_record_of_a_later_schema(tmp_path):
    """Its facts may mean something else; this schema, an earlier one and none are read."""
    facts = [{"schema": schema} for schema in (1, SCHEMA, str(SCHEMA + 1))]
    for run in ({}, {"gradperf": {}}, *({"gradperf": stored} for stored in facts)):
        assert len(storage.read(store(tmp_path / "run.json", RUN, **run)).benchmarks) == len(RUN)
    with pytest.raises(UserError, match=rf"run\.json: has schema {SCHEMA + 1}, from a later gradperf"):
        storage.read(store(tmp_path / "run.json", RUN, gradperf={"schema": SCHEMA + 1}))


def test_show_refuses_what_is_not_there(tmp_path):
    """A folder without runs, and no file at all."""
    with pytest.raises(UserError, match="there is no recorded run in it"):
        history.newest(tmp_path)
    with pytest.raises(UserError, match=r"no\.json: cannot be read: No such file or directory"):
        show.show_run(argparse.Namespace(run=str(tmp_path / "no.json"), words=[], results=tmp_path))


def test_show_in_ascii(tmp_path):
    """For an output that cannot hold the signs; names of files are held to it too."""
    run = storage.read(store(tmp_path / "µ\x1b.json", RUN))
    printed = show.lines(run, Terminal(80, ascii_only=True))
    assert printed[0].endswith("/u?.json")
    assert "".join(printed).isascii()
    assert show.lines(run, Terminal(80))[0].endswith("/µ?.json")
    assert [printable.encodes(name, "±") for name in ("utf-8", "latin-1", "ascii", "nonsense", None)] == [
        True,
        True,
        False,
        False,
        False,
    ]
