"""The page of stored runs is computed from the stored moments, and shows what is known of made-up runs."""

import json
import math
import os
import random
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradperf import files
from gradperf.errors import UserError
from gradperf.progress.display import Lines
from gradperf.stability import analysis, measure, runs
from gradperf.stability.page import ALL, markdown
from gradperf.stability.runs import Case, Run
from gradperf.stability.study import study
from gradperf.timing.moment import Moment
from tests.conftest import ROOT
from tests.terminals import Shown

HAND = "tiny_3x2x1-numpy.by_hand-cpu-float32"
TORCH = "tiny_3x2x1-torch.autograd-cpu-float32"
SLOW = "two_layer_784x30x10-jax.grad-cpu-float64"
STEPS_S = {HAND: 1e-5, TORCH: 4e-5, SLOW: 5e-3}
"""Time of a step of each case."""

CALL_S = 2e-5
"""What a call pays once."""

START = datetime.fromisoformat("2026-03-01T06:10:00+00:00")


def baseline_of(problem):
    return {"tiny_3x2x1": "numpy.by_hand"}.get(problem)


def moment(step_s, *, at=START, process="main", factor=1.0, reference_s=1e-5):
    """Return a moment with calls of 50 steps and of 5."""
    long_s, short_s = factor * (CALL_S + 50 * step_s), factor * (CALL_S + 5 * step_s)
    return Moment(at.isoformat(), process, long_s, short_s, 90, 9, 0.98, reference_s)


def case(step_s, factors=(1.0, 1.0, 1.01, 1.01), start=START):
    """Return a case with a moment for each factor by which calls took longer, every second in another process."""
    moments = tuple(
        moment(
            step_s, at=start + timedelta(seconds=30 * place), process=("main", "second")[place % 2], factor=factor
        )
        for place, factor in enumerate(factors)
    )
    return Case(50, 5, step_s, 0.01, CALL_S, 1e-5, 0.1, moments)


def run(number=0, *, kind="quiet", planted=None, cases=None, slower=None, machine="a CPU"):
    """Return the run of this number, an hour after the one before; ``slower`` is a factor for each case."""
    start = START + timedelta(hours=number)
    factors = {id_: 1 + share for id_, share in (planted or {}).items()} | (slower or {})
    made = {id_: case(step_s * factors.get(id_, 1.0), start=start) for id_, step_s in (cases or STEPS_S).items()}
    return Run(
        started=start.isoformat(),
        finished=(start + timedelta(seconds=130)).isoformat(),
        kind=kind,
        planted=planted or {},
        arguments=measure.ARGUMENTS,
        cases=made,
        failed=0,
        load={"start": 0.5, "end": 1.5},
        steal=0.01,
        cpu_model=machine,
        versions={"numpy": "2.4.6"},
        commit="0123456789",
        dirty=False,
    )


def on_another(factor, numbers, **kinds):
    """Return runs of these numbers on a machine where every step takes ``factor`` times as long."""
    return [run(n, slower=dict.fromkeys(STEPS_S, factor), machine="another CPU", **kinds) for n in numbers]


def all_measured(several):
    return [analysis.measured(one) for one in several]


def row(page, start):
    """Return the cells of the first row that begins with ``start``."""
    line = next(line for line in page.splitlines() if line.startswith(f"| {start} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


# --- the store ---


def test_a_run_is_read_as_it_was_stored(tmp_path):
    """In the order of their beginnings, with every moment, to five digits; no store has no run."""
    store = tmp_path / "store.jsonl"
    assert runs.read(store) == []
    later, earlier = run(5, kind="planted", planted={HAND: 0.1}), run(1, kind="busy")
    runs.add(store, later)
    runs.add(store, earlier)
    found = runs.read(store)
    assert [one.kind for one in found] == ["busy", "planted"]
    assert [one.entry() for one in found] == [earlier.entry(), later.entry()]
    assert found[1].cases[HAND].moments[1].process == "second"
    assert found[1].cases[HAND].moments[1].at == (START + timedelta(hours=5, seconds=30)).isoformat()
    assert found[1].cases[HAND].moments[0].long_s == pytest.approx(later.cases[HAND].moments[0].long_s, rel=1e-4)
    assert found[1].seconds == 130


def damaged(change):
    entry = json.loads(json.dumps(run().entry()))
    change(entry)
    return json.dumps(entry)


DAMAGES = {
    "cut": json.dumps(run().entry())[:700],
    "no object": "[1, 2]",
    "another kind": damaged(lambda entry: entry.update(kind="idle")),
    "no time": damaged(lambda entry: entry.update(started="yesterday")),
    "a fact too few": damaged(lambda entry: entry.pop("versions")),
    "a fact too many": damaged(lambda entry: entry.update(more=1)),
    "no moments": damaged(lambda entry: entry["cases"][HAND].update(moments=[])),
    "a moment too short": damaged(lambda entry: entry["cases"][HAND]["moments"][0].pop()),
    "a time of nothing": damaged(lambda entry: entry["cases"][HAND]["moments"][0].__setitem__(2, None)),
    "a negative time": damaged(lambda entry: entry["cases"][HAND]["moments"][0].__setitem__(2, -1.0)),
    "another process": damaged(lambda entry: entry["cases"][HAND]["moments"][0].__setitem__(1, "cold")),
    "too deep": "[" * 100_000,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_line_is_named(tmp_path, damage):
    """By the file and the number of the line."""
    store = tmp_path / "store.jsonl"
    runs.add(store, run())
    with store.open("a") as file:
        file.write(DAMAGES[damage] + "\n")
    with pytest.raises(UserError, match=r"store\.jsonl, line 2: not a run of `gradperf stability`: "):
        runs.read(store)


def test_a_line_without_end_does_not_spoil_the_next(tmp_path):
    """An editor may have removed the last line feed."""
    store = tmp_path / "store.jsonl"
    store.write_text(json.dumps(run().entry()))
    runs.add(store, run(1))
    assert len(runs.read(store)) == 2


def test_a_full_disk_leaves_the_store_as_it_was(monkeypatch, tmp_path):
    """A line that cannot be written is reported in one sentence."""
    with pytest.raises(UserError, match="cannot be written: No space left on device"):
        files.append(type(tmp_path)("/dev/full"), {"a": 1})


# --- the numbers ---


@given(st.floats(0.001, 0.5), st.integers(2, 6))
def test_deviation_of_known_times(sigma, half):
    """Half of the runs faster, half slower by σ: the sample deviation is σ·√(n/(n−1)). Another case has none."""
    several = [run(n, slower={HAND: math.exp(sigma * (-1) ** n)}) for n in range(2 * half)]
    found = analysis.deviations(analysis.times(several))
    assert found[HAND] == pytest.approx(sigma * math.sqrt(2 * half / (2 * half - 1)), rel=1e-6)
    assert found[TORCH] == pytest.approx(0, abs=1e-9)


@given(st.lists(st.lists(st.floats(-0.3, 0.3), min_size=1, max_size=5), min_size=1, max_size=4))
def test_deviation_within_machines(logs):
    """It is that of a least-squares fit with one mean for each machine; a machine with one run changes nothing."""
    times_s = {
        HAND: {f"{place}": [10.0**place * math.exp(value) for value in of_one] for place, of_one in enumerate(logs)}
    }
    values = np.concatenate(logs)
    which = np.repeat(np.arange(len(logs)), [len(of_one) for of_one in logs])
    design = (which[:, None] == np.arange(len(logs))).astype(float)
    fit, _, rank, _ = np.linalg.lstsq(design, values)
    free = len(values) - rank
    found = analysis.deviations(times_s)
    if not free:
        assert found == {}
        return
    assert found[HAND] == pytest.approx(math.sqrt(np.sum((values - design @ fit) ** 2) / free), rel=1e-6, abs=1e-9)
    times_s[HAND]["alone"] = [7.0]
    assert analysis.deviations(times_s) == found


def test_deviation_of_two_machines_in_numbers():
    """Two runs that differ by 0.2, and three on a machine seven times as slow: √((0.02 + 0.08) / (1 + 2))."""
    several = [run(0, slower={HAND: math.exp(0.1)}), run(1, slower={HAND: math.exp(-0.1)})]
    slow = [
        run(n, slower={HAND: 7 * math.exp(log)}, machine="another CPU") for n, log in enumerate((0.2, 0.0, -0.2), 2)
    ]
    chosen = study([*several, *slow])
    assert chosen.deviations[HAND] == pytest.approx(math.sqrt(0.1 / 3), rel=1e-6)
    assert chosen.deviations[TORCH] == pytest.approx(0, abs=1e-9)
    assert study([*several, *slow[:1]]).deviations[HAND] == pytest.approx(math.sqrt(0.02), rel=1e-6)


def test_a_single_run_has_no_deviation():
    """And a case that only one run has is left out."""
    assert analysis.deviations(analysis.times([run()])) == {}
    assert analysis.summary([]) is None


def test_summary():
    """90 % of the values are at most that of "most"."""
    found = analysis.summary([value / 10 for value in range(1, 21)])
    assert (found.count, found.median, found.most, found.worst) == (20, 1.05, 1.8, 2.0)


def test_short_steps_are_told_by_the_median_run():
    """One slow run does not make a case a long one; a machine that is always slower does."""
    several = [run(0), run(1), run(2, slower={TORCH: 100})]
    assert analysis.short_cases(analysis.times(several)) == {HAND, TORCH}
    assert analysis.short_cases(analysis.times([*several, *on_another(100, (3,))])) == {HAND}


def test_ratio_to_the_baseline_is_of_one_run():
    """A machine that was slower as a whole changes no ratio; a case that was slower alone does."""
    several = [run(0), run(1, slower=dict.fromkeys(STEPS_S, 2.0)), run(2, slower={TORCH: 1.3})]
    found = analysis.ratio_differences(all_measured(several), baseline_of)
    assert found.keys() == {TORCH}  # the third case has no baseline, the first is one
    assert found[TORCH] == pytest.approx([0, math.log(1.3), math.log(1.3)], abs=1e-6)


def test_ratios_are_compared_within_a_machine():
    """The ratio on another machine is another one, and that is no difference from run to run."""
    there = [run(n, slower={TORCH: factor}, machine="another CPU") for n, factor in ((2, 3.0), (3, 3.3))]
    found = analysis.ratio_differences(all_measured([run(0), there[0], run(1), there[1]]), baseline_of)
    assert found[TORCH] == pytest.approx([0, math.log(1.1)], abs=1e-6)


def test_false_alarms_are_counted_by_pair():
    """Of four runs the third was slower: both earlier pairs call it slower, the later pair faster."""
    several = all_measured([run(0), run(1), run(2, slower={TORCH: 1.3}), run(3)])
    found = analysis.alarms(several, baseline_of)
    assert (found.pairs, found.slower, found.faster) == (6, 2, 1)
    assert found.cases == {TORCH: 3}
    assert (found.disjoint, found.disjoint_slower) == (2, 0)
    assert analysis.alarms(several[1:3], baseline_of).disjoint_slower == 1
    quiet = analysis.alarms(all_measured([run(0), run(1)]), baseline_of)
    assert (quiet.slower, quiet.faster, quiet.cases) == (0, 0, {})


def test_runs_of_two_machines_are_no_pair():
    """Of two and three runs there are 1 + 3 pairs, and 1 + 1 that share no run, in whatever order they came."""
    slow = on_another(3.0, (1, 3, 4))
    several = all_measured([run(0), *slow[:1], run(2), *slow[1:]])
    found = analysis.alarms(several, baseline_of)
    assert (found.pairs, found.disjoint, found.slower, found.faster) == (4, 2, 0, 0)


def test_planted_work_is_sought_on_its_machine():
    """A planted run is compared with the unchanged runs of its machine alone."""
    (planted,) = all_measured(on_another(0.1, (4,), kind="planted"))
    unchanged = all_measured([run(0), run(1), *on_another(0.1, (2, 3, 5))])
    found = list(analysis.seen([planted], unchanged, baseline_of))
    assert len(found) == 3 * len(STEPS_S)
    assert {round(one.ratio, 4) for one in found} == {1.0}


def test_planted_work_is_found_or_missed():
    """30 % is found in each pair of runs, and 1 % is not; nothing else is called slower."""
    planted = run(3, kind="planted", planted={HAND: 0.3, TORCH: 0.01})
    found = list(analysis.seen(all_measured([planted]), all_measured([run(0), run(1)]), baseline_of))
    assert Counter((one.case, one.planted, one.found) for one in found) == {
        (HAND, 0.3, True): 2,
        (TORCH, 0.01, False): 2,
        (SLOW, 0.0, False): 2,
    }
    assert {round(one.ratio, 4) for one in found} == {1.3, 1.01, 1.0}


def test_stored_estimates_are_not_trusted(monkeypatch):
    """All numbers are of the moments, and of the estimator and the rules as they are now."""
    several = [run(0), run(1), run(2, kind="planted", planted={HAND: 0.3})]
    lying = [
        replace(
            one,
            cases={id_: replace(found, step_s=7.0, step_error=9.0, call_s=7.0) for id_, found in one.cases.items()},
        )
        for one in several
    ]
    assert markdown(lying) == markdown(several)
    monkeypatch.setattr("gradperf.timing.estimate.HIDDEN_ERROR", 0.2)
    assert "| 30 % | **all** | 2 | 0 % | 1.300× |" in markdown(several)
    monkeypatch.setattr(analysis, "estimate", lambda moments, **_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        markdown(several)


def test_other_estimators():
    """Each does to a case with known moments what its name says."""
    one = case(1e-5, factors=(1.5, 1.2, 1.04, 1.1))
    times_s = {name: time_of(one) for name, time_of in analysis.OTHERS.items()}
    assert times_s == pytest.approx(
        {
            "one moment only, the first": 1.5e-5,
            "the median of the moments, not the fastest": 1.15e-5,
            "the fastest moment, both lengths of call from it": 1.04e-5,
            "the long call only, what it pays once included": 1.04 * (CALL_S + 50e-5) / 50,
            "without the second process": 1.04e-5,
            "the reference ignored": 1.04e-5,
            "divided by the reference": 1.04,
        }
    )
    slow, _, _, second = one.moments
    hidden = replace(one, moments=(slow, replace(second, reference_s=2e-5)))
    assert analysis.step_s(hidden) == pytest.approx(1.5e-5)  # the faster one was at a slow moment
    assert analysis.OTHERS["the reference ignored"](hidden) == pytest.approx(1.1e-5)
    assert analysis.OTHERS["without the second process"](hidden) == pytest.approx(1.5e-5)


# --- the page ---


def test_page_of_good_runs():
    """Aims that were reached are met; what was not measured is not."""
    cases = (
        {
            f"tiny_3x2x1-{framework}.style{number}-cpu-float32": 1e-5
            for framework in ("numpy", "torch", "tensorflow", "jax")
            for number in range(9)
        }
        | STEPS_S
        | {"tiny_3x2x1-jax.scan-cpu-float32": 1e-5}
    )
    several = [run(n, kind=("quiet", "busy")[n % 2], cases=cases) for n in range(20)]
    page = markdown(several)
    assert "20 runs of 40 cases: 10 quiet, 10 beside two busy processes, 0 with planted work" in page
    assert [
        line.split("|")[3].strip() for line in page.splitlines() if line.startswith("| ") and "met" in line
    ] == (["met"] * 5)
    assert page.count("| not measured |") == 2
    assert "Every unchanged run is compared with every earlier one of its machine: 190 pairs. 0 of them" in page
    assert "10 pairs share none" in page
    assert "at most 26 % of such pairs do" in page  # 1 − 0.05^(1/10)
    assert "**missed**" not in page


def test_page_of_bad_runs():
    """Aims that were not reached are missed, and the worst case is named."""
    several = [run(n, slower={TORCH: 1 + 0.3 * n, SLOW: 1 + 0.1 * n}) for n in range(3)]
    page = markdown([*several, run(9, kind="planted", planted={HAND: 0.1, SLOW: 0.05})])
    assert page.count("**missed**") == 6  # not 10 % of planted work, in numpy.by_hand
    worst = page.partition("## The cases that differ most")[2]
    assert [line.split("|")[1].strip() for line in worst.splitlines()[6:8]] == [f"`{TORCH}`", f"`{SLOW}`"]
    assert row(page, f"`{TORCH}`")[1] == "3"  # of three pairs
    assert row(page.partition("## From run to run")[2], "torch") == ["torch", "1", *["24 %"] * 3]
    assert row(page, "10 %")[1:] == ["numpy", "3", "100 %", "1.100×"]
    planted = page.partition("## Planted work that was found")[2].partition("##")[0]
    assert planted.count("| **all** | 3 |") == 2  # each share by itself


def test_page_of_two_machines():
    """It names both, counts the hours of both, and shows nothing of how far the two differ."""
    slow = [*on_another(5.0, (2, 3, 4)), *on_another(5.0, (5, 6), kind="busy")]
    several = [run(0), run(1), *slow]
    page = markdown(several)
    assert "- on 2 machines: another CPU (5 runs), a CPU (2 runs)" in page
    assert "7 runs of 3 cases in 3 frameworks, 7 hours, 2 busy" in page
    assert "one of its machine: 11 pairs. 0 of them call some case slower (0 %), 0 call" in page
    assert "3 pairs share none" in page
    for name in ("quiet runs alone", "busy runs alone", ALL):
        assert row(page.partition("## From run to run")[2], name)[1:] == ["3", "0 %", "0 %", "0 %"]
    for time_of in analysis.OTHERS.values():
        assert max(analysis.deviations(analysis.times(several, time_of)).values()) < 1e-9
    worst = page.partition("## The cases that differ most")[2]
    assert row(worst, f"`{HAND}`")[1] == "50.0 µs"  # of the machine with the most runs
    assert row(worst, f"`{HAND}`")[-1] == "1.00–1.00×"


def test_other_selections_and_versions_are_left_out():
    """Only runs of one kind are compared, and the page tells how many others there are."""
    other = replace(run(3, slower={HAND: 9.0}), versions={"numpy": "1.0"})
    chosen = study([run(0), other, run(1)])
    assert (len(chosen.runs), chosen.others) == (2, 1)
    assert chosen.deviations[HAND] == pytest.approx(0, abs=1e-9)
    assert "left out, of another selection or set of versions: 1 run" in markdown([run(0), other, run(1)])


def test_page_of_a_single_run():
    """Nothing can be compared yet, and the page says so."""
    for one in (run(), run(kind="planted", planted={HAND: 0.1})):
        page = markdown([one])
        assert "Not measured yet." in page
        assert page.count("| not measured |") == 6


def test_page_in_the_docs_is_that_of_its_store():
    """The committed page is made from the committed store."""
    store = ROOT / "docs" / "stability.jsonl"
    if not store.exists():
        pytest.skip("no run is stored yet")
    assert (ROOT / "docs" / "stability.md").read_text() == markdown(runs.read(store))


# --- the runs ---


@given(st.sets(st.text(max_size=3)), st.integers())
def test_slowdowns(cases, seed):
    """A third of the cases get 10 %, a third 5 %, and the rest nothing."""
    planted = measure.slowdowns(cases, random.Random(seed))  # noqa: S311 - an order
    third = round(len(cases) / 3)
    assert Counter(planted.values()) == Counter({share: third for share in (0.10, 0.05) if third})
    assert planted.keys() <= cases


def test_runs_come_in_a_random_order_and_each_is_stored(monkeypatch, tmp_path, capsys):
    """As many of each kind as asked for. One that measured nothing is reported; the others go on."""
    store, started = tmp_path / "store.jsonl", []

    def recorded(arguments, planted):
        started.append(planted)
        return (None, "no memory") if len(started) == 3 else ({"planted": planted}, "")

    monkeypatch.setattr(measure, "_recorded", recorded)
    monkeypatch.setattr(
        measure,
        "read_record",
        lambda stored, kind, planted, arguments, dirty: run(len(started), kind=kind, planted=planted),
    )
    monkeypatch.setattr(measure, "busy_processes", measure.nullcontext)
    shown = Shown()
    counts = {"quiet": 3, "busy": 2, "planted": 2}
    measure.measure(counts, measure.ARGUMENTS, store, tmp_path / "page.md", shown)
    assert len(shown.texts) == len(started)
    assert re.fullmatch(rf"run 2 of {len(started)}, since \d\d:\d\d, all end about .*; \w+", shown.texts[1])
    found = runs.read(store)
    assert len(found) == len(started) - 1 in (6, 7)  # one more if the first one would have been planted
    assert "3 of " in capsys.readouterr().out
    for one in found:
        assert Counter(one.planted.values()) == (Counter([0.10, 0.05]) if one.kind == "planted" else Counter())


def test_a_first_run_that_measures_nothing_ends_it(tmp_path):
    """With the last lines of pytest: the arguments are wrong, and no other run would measure anything."""
    missing = str(tmp_path / "missing")
    with pytest.raises(UserError, match=r"(?s)a run measured nothing:.*file or directory not found"):
        measure.measure(
            {"quiet": 1, "busy": 0, "planted": 0}, [missing], tmp_path / "s.jsonl", tmp_path / "p.md", Lines(print)
        )
    assert not (tmp_path / "s.jsonl").exists()


def test_busy_processes_end_with_the_run():
    """And by themselves if their parent was killed."""
    with measure.busy_processes() as started:
        assert [process.poll() for process in started] == [None, None]
    assert all(process.returncode is not None for process in started)
    orphan = subprocess.run([sys.executable, "-c", measure._BUSY, str(os.getppid())], timeout=60, check=True)
    assert orphan.returncode == 0  # its parent is another


def test_the_command(run_gradperf, tmp_path):
    """It runs two small cases, stores one line, and writes the page; without runs, it writes the page again."""
    store, page = tmp_path / "store.jsonl", tmp_path / "page.md"
    names = ("--store", store, "--page", page)
    suite = (ROOT / "perf" / "test_matmul.py", "--rootdir", ROOT, "--problem", "matmul_5x784x10")
    chosen = (*suite, "--framework", "numpy", "--style", "operator,einsum", "--no-first-calls")
    done = run_gradperf("stability", "--quiet", "1", *names, "--", *chosen)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = runs.read(store)
    assert sorted(found.cases) == [f"matmul_5x784x10-numpy.{style}-cpu-float32" for style in ("einsum", "operator")]
    assert all(
        [one.process for one in made.moments][:4] == ["main", "second", "main", "second"]
        for made in found.cases.values()
    )
    assert (found.kind, found.planted, found.failed) == ("quiet", {}, 0)
    assert "1 run of 2 cases: 1 quiet" in page.read_text()
    written = page.read_text()
    page.unlink()
    assert run_gradperf("stability", *names).returncode == 0
    assert page.read_text() == written
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("arguments", "reported"),
    [
        (("--quiet", "-1"), "argument --quiet: expected a whole number of at least 0"),
        (("--store", "missing/store.jsonl"), "--store: cannot write missing/store.jsonl"),
        (("perf",), "unrecognized arguments: perf; put arguments for pytest after --"),
    ],
)
def test_a_mistake_is_told_before_anything_runs(run_gradperf, arguments, reported):
    """In one line, with exit code 2."""
    done = run_gradperf(
        "stability", *arguments, *(() if "--store" in arguments else ("--store", "s", "--page", "p"))
    )
    assert done.returncode == 2
    assert reported in done.stderr
    assert "Traceback" not in done.stderr
