"""The certificate counts the results of whole runs of the gate, and makes its page from the store alone."""

import json
import os
import re
import subprocess
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradperf.certificate import measure, runs
from gradperf.certificate.page import markdown
from gradperf.certificate.runs import Run
from gradperf.commands import main
from gradperf.errors import UserError
from gradperf.machine import load
from tests.gate.repositories import commit, git, make
from tests.gate.suites import DEAF, QUICK, QUIET, command

QUIETLY = Run(
    kind="unchanged",
    arguments=("bench",),
    planted={},
    group="",
    cases={"a": "unchanged", "b": "unchanged", "c": "inconclusive"},
    case_groups={"a": "x", "b": "x", "c": "y"},
    groups={"x": "unchanged", "y": "inconclusive", "all": "unchanged"},
    visible={"a": 0.02, "b": 0.03, "c": 0.05},
    verdict="inconclusive",
    exit_code=0,
    seed=7,
    commit="0123456789abcdef",
    started="2026-01-02T03:04:05+00:00",
    seconds=60.0,
    others=0.1,
    steal=0.02,
    cpu_model="a CPU",
    cpus=2.0,
)


def regressed(run, *cases, groups=()):
    """Return the run with these cases and groups regressed."""
    return replace(
        run,
        cases={id_: "regressed" if id_ in cases else verdict for id_, verdict in run.cases.items()},
        groups={name: "regressed" if name in groups else verdict for name, verdict in run.groups.items()},
        verdict="regressed",
        exit_code=10,
    )


def row(page, start):
    """Return the cells of the only row that begins with ``start``."""
    (line,) = [line for line in page.splitlines() if line.startswith(f"| {start} ")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_left_alone():
    """Slowed cases, their groups and the group of all are not left alone; everything else is."""
    assert Counter(QUIETLY.left_alone) == Counter({"unchanged": 4, "inconclusive": 2})
    planted = replace(QUIETLY, kind="planted", planted={"a": 0.05})
    assert regressed(planted, "a", groups=("x", "all")).left_alone.count("regressed") == 0
    assert regressed(planted, "a", "b").left_alone.count("regressed") == 1
    assert regressed(planted, "a", "c", groups=("y",)).left_alone.count("regressed") == 2
    failed = replace(planted, cases={**planted.cases, "b": "failed", "d": "new"}, planted={})
    assert failed.verdicts.keys() == {"a", "c"}


def test_page_counts():
    """The page counts alarms, caught slowdowns and missed ones."""
    several = [
        QUIETLY,
        regressed(QUIETLY, "b"),
        replace(
            QUIETLY, verdict="untrusted", exit_code=12, seconds=90.0, others=0.8, steal=0.1, visible={"c": 0.07}
        ),
        regressed(replace(QUIETLY, kind="planted", planted={"a": 0.03, "b": 0.05, "c": 0.1}), "b", "c"),
        regressed(replace(QUIETLY, kind="planted", planted={"a": 0.05, "b": 0.03, "c": 0.1}), "b", "c"),
        regressed(
            replace(QUIETLY, kind="group", group="x", planted={"a": 0.02, "b": 0.02}, gradperf="1.2"), groups=("x",)
        ),
        replace(QUIETLY, kind="group", group="y", planted={"c": 0.02}),
    ]
    page = markdown(several)
    alarms, planted, group, visible, times = page.split("## ")[1:]
    # One of 3: the larger root of 1 - p**3 - 3·p²·(1 - p) = 0.95, so of (1 - p)²·(1 + 2·p) = 0.05.
    counts = ["3", "**1**", "86 %", "1 untrusted", "5 of 9", "1"]
    assert row(alarms, "`bench`") == ["`bench`", *counts]
    assert row(alarms, "**all**") == ["**all**", *counts]
    assert "0 of 5 cases and groups without one were called regressed, in 4 runs." in alarms
    assert "ended" not in alarms
    untrusted = markdown([*several, replace(several[3], verdict="untrusted", exit_code=12)])
    assert "in 5 runs. 1 run ended untrusted, which caught nothing." in untrusted
    assert row(planted, "x") == ["x", "1 of 2 (1–99 %)", "1 of 2 (1–99 %)", "–"]
    assert row(planted, "y") == ["y", "–", "–", "2 of 2 (16–100 %)"]
    assert row(planted, "**all**")[2] == "1 of 2 (1–99 %)"
    assert row(group, "x")[1] == "1 of 1 (3–100 %)"
    assert row(group, "y")[1] == "0 of 1 (0–97 %)"
    assert "| x | `a` | 3 | 2.0 % | none |" in visible
    assert row(visible, "y")[1:] == ["`c`", "3", "5.0 %", "7.0 %"]
    assert "| `bench` | 3 | 0 | 60 s in the median of 2, 60 s at most | 90 s |" in times
    assert "| `bench` | 3 | 2 | 60 s in the median of 2, 60 s at most | – |" in times
    assert "| `bench` | 3 | 3 | 60 s in the median of 2, 60 s at most | – |" in times
    assert "7 runs on a CPU, 2 CPUs" in page
    assert "commit 0123456 (7 runs)" in page
    assert "by gradperf 1.2" in page
    assert "1 run beside other work" in page
    assert "2.0 % of the wanted CPU time in the median run, 10 % at most" in page


@given(st.dictionaries(st.text(max_size=3), st.sampled_from("abcd"), min_size=1), st.randoms(use_true_random=False))
def test_slowdowns(groups, coin):
    """Each share occurs once per group, in all groups if there is room, in less than half of a large suite."""
    planted = measure.slowdowns(groups, coin)
    hit = Counter(groups[case] for case in planted)
    sizes = Counter(groups.values())
    assert hit
    for group, count in hit.items():
        shares = [share for case, share in planted.items() if groups[case] == group]
        assert count == min(3, sizes[group])
        assert len(set(shares)) == count
        assert set(shares) <= set(measure.SHARES)
    if len(hit) > 1:
        assert 3 * len(planted) <= len(groups)
    if 9 * len(sizes) <= len(groups):
        assert set(hit) == set(sizes)


def test_others():
    """CPU time of the gate itself and of the host does not count as used by others."""
    ticks = os.sysconf("SC_CLK_TCK")
    before = load.CpuTimes(1000, 50), 3.0, 100.0
    after = load.CpuTimes(1000 + 15 * ticks, 50 + 2 * ticks), 11.0, 110.0
    assert measure._others(before, after) == pytest.approx(0.5)
    assert measure._others((None, 3.0, 100.0), after) is None
    assert measure._others(after, (*after[:2], 111.0)) == 0


def test_untrusted_is_not_caught():
    """A run with a failed control caught nothing, even if case and group are called regressed."""
    for kind, planted, group in [("planted", {"a": 0.05}, ""), ("group", {"a": 0.02, "b": 0.02}, "x")]:
        run = regressed(replace(QUIETLY, kind=kind, planted=planted, group=group), "a", groups=("x",))
        assert "1 of 1" in " ".join(row(markdown([run]), "x"))
        assert "0 of 1" in " ".join(row(markdown([replace(run, verdict="untrusted", exit_code=12)]), "x"))


def test_group_is_caught_in_its_own():
    """A group is caught if a member or the mean of all cases regressed, but not if another group did."""
    run = replace(QUIETLY, kind="group", group="x", planted={"a": 0.02, "b": 0.02})
    assert not regressed(run, "c", groups=("y",)).caught_group
    assert regressed(run, "b").caught_group
    assert regressed(run, groups=("all",)).caught_group


def test_store(tmp_path):
    """Written runs are read again; the number of a broken line is reported."""
    store = tmp_path / "store.jsonl"
    assert runs.read(store) == []
    store.write_text(json.dumps(asdict(QUIETLY)) + "\n" + json.dumps(asdict(regressed(QUIETLY, "a"))) + "\n")
    assert runs.read(store) == [QUIETLY, regressed(QUIETLY, "a")]
    store.write_text(json.dumps(asdict(QUIETLY)) + "\n{}\n")
    with pytest.raises(UserError, match="line 2"):
        runs.read(store)


SUITE = {
    "bench/test_work.py": """
import pytest

@pytest.mark.parametrize("name", "abc")
def test_work(benchmark, name):
    benchmark(lambda: sum(range(5000)))
"""
}


@pytest.fixture
def certify(tmp_path, monkeypatch):
    """Make certificates of a repository, from runs with few pairs, short turns, and large slowdowns planted."""
    own = subprocess.run

    def quick(words, **more):
        if words[1:4] == ["-m", "gradperf", "gate"]:
            words = [*command(*([*QUICK, "--min-effect", "1%"] if "--plant" in words else DEAF)), *words[4:]]
        return own(words, **more)

    monkeypatch.setattr(subprocess, "run", quick)
    monkeypatch.setattr(measure, "SHARES", (0.8, 0.9, 0.99))
    monkeypatch.setattr(measure, "GROUP_SHARE", 0.99)
    monkeypatch.chdir(make(tmp_path / "repo", SUITE))
    return lambda *words: main.main(["certificate", *words, "--", "bench", *QUIET])


def test_end_to_end(certify, capsys):
    """Every kind of run is made, stored and reported; a second command adds to the runs of the first."""
    assert certify("--unchanged", "1", "--store", "runs.jsonl", "--page", "page.md") == 0
    assert certify("--planted", "1", "--group", "1", "--store", "runs.jsonl", "--page", "page.md") == 0
    unchanged, planted, group = runs.read(Path("runs.jsonl"))
    assert [run.kind for run in (unchanged, planted, group)] == ["unchanged", "planted", "group"]
    assert unchanged.exit_code == 0
    assert unchanged.controls["base against base"][0] == "passed"
    assert "regressed" not in unchanged.left_alone
    assert set(unchanged.cases) == {f"bench/test_work.py::test_work[{name}]" for name in "abc"}
    assert sorted(planted.planted.values()) == [0.8, 0.9, 0.99]
    assert set(planted.cases.values()) == {"regressed"}
    assert group.group == "bench/test_work.py"
    assert group.verdict == "regressed"
    assert {run.commit for run in (unchanged, planted, group)} == {git(Path(), "rev-parse", "HEAD")}
    assert Path("page.md").read_text() == markdown([unchanged, planted, group])
    text, errors = capsys.readouterr()
    assert "planted 1 of 1: regressed" in text
    assert "3 runs so far, in runs.jsonl; written to page.md" in text
    begun = "gradperf certificate: run {} of {}, since {}; {} 1 of 1"
    patterns = [
        begun.format(1, 1, r"\d\d:\d\d", "unchanged"),
        begun.format(1, 2, r"\d\d:\d\d, all end about .*", "planted"),  # as the one before
        begun.format(2, 2, r"\d\d:\d\d, all end about .*", "group"),
    ]
    assert re.fullmatch("\n".join([*patterns, ""]), errors)


def test_unclean(certify, capsys):
    """Uncommitted changes are refused, because unchanged code is measured."""
    Path("more.py").write_text("")
    assert certify("--unchanged", "1", "--store", "runs.jsonl", "--page", "page.md") == 2
    assert "more.py is uncommitted" in capsys.readouterr().err
    assert not Path("runs.jsonl").exists()


def test_gate_that_cannot_run(certify, capsys):
    """If the gate ends without a result, its own message is shown and nothing is stored."""
    Path("bench/test_work.py").write_text("import nothing_of_this_name\n")
    commit(Path())
    assert certify("--unchanged", "1", "--store", "runs.jsonl", "--page", "page.md") == 2
    assert "nothing_of_this_name" in capsys.readouterr().err
    assert not Path("runs.jsonl").exists()


@pytest.mark.slow
def test_gate_that_cannot_run_any_more(certify, capsys):
    """After a suite was compared once, a run that compares nothing counts as a failure of the gate."""
    files = ("--store", "runs.jsonl", "--page", "page.md")
    assert certify("--unchanged", "1", *files) == 0
    Path("bench/test_work.py").write_text("import nothing_of_this_name\n")
    commit(Path())
    assert certify("--unchanged", "1", "--planted", "1", *files) == 0
    once, nothing, planted = runs.read(Path("runs.jsonl"))
    assert once.exit_code == 0
    assert (nothing.verdict, nothing.exit_code, nothing.verdicts) == ("incomplete", 13, {})
    assert len(planted.planted) == 3
    assert not any(map(planted.caught, planted.planted))
    page = Path("page.md").read_text()
    assert "| 1 incomplete |" in page
    assert "0 of 1 (0–97 %)" in page


def test_only_the_page(certify, capsys):
    """Without runs, the page is written again, even with uncommitted changes."""
    Path("more.py").write_text("")
    Path("runs.jsonl").write_text(json.dumps(asdict(QUIETLY)) + "\n")
    assert certify("--store", "runs.jsonl", "--page", "page.md") == 0
    assert Path("page.md").read_text() == markdown([QUIETLY])
    assert "1 run so far" in capsys.readouterr().out
