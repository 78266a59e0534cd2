"""``gradperf compare`` reports what changed between two recorded runs, and refuses what cannot be compared."""

import csv
import io
import json

import pytest

from gradperf.commands.main import main
from gradperf.comparison.ranks import ranks
from gradperf.records.facts import read_benchmark
from tests.records import record

MACHINE = {
    "cpu_model": "AMD EPYC",
    "logical_cpus": 2,
    "blas": {"name": "openblas"},
    "versions": {"numpy": "2.4.6", "torch": "2.13.0"},
    "python_version": "3.11.7",
    "settings": {"tier": "quick", "threads": 1, "seed": 0},
}
RUN = {"schema": 2, "selection": {"paths": ["perf"]}, "benchmarks_selected": 3, "benchmarks_finished": 3}
STYLES = {"numpy.by_hand": 1e-5, "torch.autograd": 1e-4, "jax.scan": 1e-6}


def case(label, step_s, *, error=0.01, reference_s=1e-5, **info):
    return record(label, step_s=step_s, step_error=error, reference_s=reference_s, **info)


def store(folder, number, times, day=20, machine=MACHINE, run=RUN, **named):
    """Write a run with these times of a step, and return its file."""
    file = folder / f"{number:04}_run.json"
    benchmarks = []
    for label, step_s in times.items():
        one = case(label, step_s, **named)
        benchmarks.append(one)
    stored = {"benchmarks": benchmarks, "machine_info": machine, "gradperf": run}
    file.write_text(json.dumps(stored | {"datetime": f"2026-11-{day:02}T00:00:00+00:00"}))
    return file


@pytest.fixture
def compare(tmp_path, capsys, monkeypatch):
    """Return ``compare(*arguments)``: the exit code, what is printed, and what is reported as wrong."""
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments):
        code = main(["compare", "--results", str(tmp_path), *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def changed(**factors):
    return {label: step_s * factors.get(label.partition(".")[0], 1) for label, step_s in STYLES.items()}


def test_a_slower_case_is_named_first(tmp_path, compare):
    """With the ratio, its interval and what could have been seen; the code is 10 only with --fail."""
    store(tmp_path, 1, STYLES)
    store(tmp_path, 2, changed(torch=1.2, jax=0.7), day=21)
    code, out, err = compare()
    assert (code, err) == (0, "")
    rows = [line for line in out.splitlines() if line.startswith(("slower ", "faster ", "nothing "))]
    assert [row.split()[0] for row in rows] == ["slower", "faster", "nothing"]
    assert "1.20 (1." in rows[0]
    assert "torch.autograd" in rows[0]
    assert "since then, of 3 cases: 1 slower, 1 faster, 1 with nothing seen" in out
    assert max(map(len, rows)) <= 80
    assert compare("--fail")[0] == 10
    store(tmp_path, 3, changed(torch=1.2), day=22)
    store(tmp_path, 4, changed(torch=1.2), day=23)
    assert compare("--fail")[0] == 0


def test_runs_are_named_by_number_path_or_versions(tmp_path, compare):
    """As the help says."""
    old = MACHINE | {"versions": {"numpy": "2.4.6", "torch": "2.12.0"}}
    store(tmp_path, 1, STYLES, machine=old)
    file = store(tmp_path, 2, changed(torch=1.5), day=21)
    for words in (("1", "2"), ("0001", str(file)), ("torch=2.12",), ("torch=2.12", "last")):
        code, out, _ = compare(*words)
        assert code == 0
        assert "1.50 (1." in out
        assert "versions.torch: 2.12.0 then, 2.13.0 now" in out
    assert compare("2", "1")[1].count("faster") >= 1


def test_the_earlier_run_is_the_last_comparable_one(tmp_path, compare):
    """Not one of another selection, not a partial one, and none of other versions."""
    store(tmp_path, 1, changed(torch=2), run=RUN)
    store(tmp_path, 2, STYLES, day=21, run=RUN | {"selection": {"paths": ["perf/x.py"]}})
    store(tmp_path, 3, STYLES, day=22, run=RUN | {"benchmarks_finished": 1})
    store(tmp_path, 4, STYLES, day=23, machine=MACHINE | {"python_version": "3.12.1"})
    store(tmp_path, 5, STYLES, day=24)
    code, out, _ = compare()
    assert code == 0
    assert "0001_run.json" in out.splitlines()[0]
    assert "0.50 (0." in out
    code, _, err = compare("0005", "0005")
    assert code == 2
    assert "compared with itself" in err


def test_another_machine_is_compared_by_the_reference(tmp_path, compare):
    """Seconds of two machines say nothing; with another BLAS the baseline is all that is left."""
    store(tmp_path, 1, STYLES)
    twice = {label: 2 * step_s for label, step_s in STYLES.items()}
    store(tmp_path, 2, twice, day=21, machine=MACHINE | {"cpu_model": "other"}, reference_s=2e-5)
    code, out, _ = compare("1", "2", "--fail")
    assert code == 0
    assert "multiples of the reference" in out.replace("\n  ", " ")
    store(tmp_path, 3, twice, day=22, machine=MACHINE | {"cpu_model": "other", "blas": {"name": "mkl"}})
    code, out, _ = compare("1", "3", "--fail")
    assert code == 0
    assert "baseline of each problem" in out.replace("\n  ", " ")


def test_a_slower_minute_is_no_slower_case(tmp_path, compare):
    """If the reference took as much longer, the ratios are without that, and the summary says so."""
    store(tmp_path, 1, STYLES)
    store(tmp_path, 2, {k: 1.4 * v for k, v in STYLES.items()}, day=21, reference_s=1.4e-5)
    code, out, _ = compare("1", "2", "--fail")
    assert code == 0
    assert "the machine was 1.40 times slower now" in out.replace("\n  ", " ")


def test_an_older_record_has_a_ratio_and_no_verdict(tmp_path, compare):
    """Its error is not known."""
    store(tmp_path, 1, STYLES, run=RUN | {"schema": 1}, error=None)
    store(tmp_path, 2, changed(torch=3), day=21)
    code, out, _ = compare("1", "2", "--fail")
    assert code == 0
    assert "3 without a known error" in out.replace("\n  ", " ")
    assert "3.00" in out


@pytest.mark.parametrize("text", ["=1+1", "<b>|x`", "a\x1b[31mb", "../../etc", "@someone"])
def test_hostile_names_are_escaped(tmp_path, compare, text):
    """A control character, markup or a formula never reaches a terminal, a page or a spreadsheet."""
    for number in (1, 2):
        store(tmp_path, number, STYLES, day=20 + number, problem=text)
    out = compare("1", "2")[1]
    assert "\x1b" not in out
    page = compare("1", "2", "--format", "markdown")[1]
    assert "<b>" not in page
    assert all(line.count("|") == 7 for line in page.splitlines() if line.startswith("|"))
    rows = list(csv.reader(io.StringIO(compare("1", "2", "--format", "csv")[1])))
    assert len(rows) == 4
    assert not any(row[0].startswith(("=", "+", "-", "@")) for row in rows[1:])
    parsed = json.loads(compare("1", "2", "--format", "json")[1])
    assert len(parsed["cases"]) == 3


def test_json_and_csv_hold_the_same_numbers(tmp_path, compare):
    """Both name every case with its verdict, ratio and interval; --output writes the file."""
    store(tmp_path, 1, STYLES)
    store(tmp_path, 2, changed(torch=1.2), day=21)
    parsed = json.loads(compare("--format", "json")[1])
    assert parsed["basis"] == "seconds"
    first = parsed["cases"][0]
    assert first["verdict"] == "slower"
    assert first["low"] < first["ratio"] < first["high"]
    file = tmp_path / "out.csv"
    assert compare("--format", "csv", "--output", str(file))[:2] == (0, "")
    rows = list(csv.DictReader(file.read_text().splitlines()))
    assert float(rows[0]["ratio"]) == first["ratio"]


def test_what_cannot_be_compared(tmp_path, compare):
    """One line each: nothing stored, an unknown name with the nearest, no common case, an unwritable output."""
    code, _, err = compare()
    assert code == 2
    assert "there is no complete run in it" in err
    store(tmp_path, 1, STYLES)
    code, _, err = compare()
    assert code == 2
    assert "name the run to compare with" in err
    code, _, err = compare("001_rum")
    assert code == 2
    assert "0001_run.json" in err
    store(tmp_path, 2, {"torch.other": 1e-5}, day=21)
    code, _, err = compare("1", "2")
    assert code == 2
    assert "no case in common" in err
    (tmp_path / "x.json").write_text('{"benchmarks": [], "version": "of another tool"}')
    assert compare("1", str(tmp_path / "x.json"))[0] == 2
    store(tmp_path, 3, STYLES, day=22)
    code, _, err = compare("1", "3", "--output", str(tmp_path / "no" / "file"))
    assert code == 2
    assert "--output: cannot write" in err


def test_ranks_are_shared_by_what_cannot_be_told_apart():
    """A rank is 1 plus the number of styles that are faster for sure; a disturbed style has none."""

    def style(step_s, error):
        return read_benchmark(record(step_s=step_s, step_error=error))

    styles = [style(1.0, 0.01), style(1.02, 0.01), style(1.2, 0.01), style(1.05, 0.3), style(1.25, 0.02)]
    assert ranks(styles) == [1, 1, 3, None, 3]
    assert ranks([style(1.0, None)]) == [None]
