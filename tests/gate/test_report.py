"""The report in the terminal, in Markdown and in annotations. The tests check facts, not wordings."""

import math
import os
import re
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gradperf.gate.decision.findings import Finding, Outcome, Verdict
from gradperf.gate.report import terminal, words
from gradperf.gate.report.github import annotations, in_actions
from gradperf.gate.report.markdown import markdown
from gradperf.gate.report.sentences import exit_text, headline
from gradperf.text import printable
from gradperf.text.table import Terminal
from tests.gate.outcomes import CONTROLS, EVERY, case, cases, control, groups, name, outcome, slow, untimed

NASTY = "tests/`a|b`.py::test[x\n| y\\|<b>\x1b[31m*_é数@someone]"

ratios = st.none() | st.floats(allow_nan=True, allow_infinity=True)
texts = st.text(max_size=120) | st.just(NASTY)


def findings(verdicts=words.ORDER):
    """Return findings with any values that their types allow."""
    return st.builds(
        Finding,
        id=texts,
        verdict=st.sampled_from(verdicts),
        group=texts,
        ratio=ratios,
        ci_low=ratios,
        ci_high=ratios,
        p_adjusted=ratios,
        pairs=st.integers(0, 10**4),
        smallest_visible_change=st.none() | st.floats(min_value=0),
        base_s=ratios,
        head_s=ratios,
        modes=st.just("") | texts,
        reason=texts,
        accepted=st.just("") | texts,
    )


outcomes = st.builds(
    outcome,
    verdict=st.sampled_from(
        ["regressed", "untrusted", "incomplete", "suspect", "inconclusive", "improved", "unchanged", "identical"]
    ),
    cases=st.lists(findings(), max_size=20),
    groups=st.lists(findings(), max_size=3).map(tuple),
    warnings=st.lists(texts, max_size=2).map(tuple),
    controls=st.sampled_from([(), CONTROLS, (control(result="failed", ratio=1.06), control(0.05, "not seen"))]),
    environment=st.just({"command": NASTY, "base": NASTY}),
)


def table(outcome, width, ascii_only):
    """Return the report for a terminal of this width."""
    return terminal.lines(outcome, Terminal(width, ascii_only))


def shown(outcome, width=200):
    """Return the report as one line, whatever its line breaks."""
    return " ".join(" ".join(table(outcome, width, ascii_only=False)).split())


def below(lines, heading):
    """Return the lines from the one that starts with ``heading`` to the next empty one."""
    place = next(number for number, line in enumerate(lines) if line.startswith(heading))
    return lines[place + 1 : [*lines, ""].index("", place)]


def rows_of(text):
    """Return the rows of all tables in Markdown as lists of cells."""
    return [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]


@pytest.mark.parametrize(
    ("ratio", "low", "high", "text"),
    [
        (1.07, 1.05, 1.09, "1.07× slower (between 1.05 and 1.09)"),
        (1 / 1.08, 1 / 1.11, 1 / 1.05, "1.08× faster (between 1.05 and 1.11)"),
        (1.001, 0.99, 1.01, "no difference (between 0.99 and 1.01)"),
        (0.999, 0.99, 1.01, "no difference (between 0.99 and 1.01)"),
        (1.004, 1.001, 1.007, "1.004× slower (between 1.001 and 1.007)"),
        (1.07, None, math.inf, "1.07× slower (no interval)"),
        (1.07, 1.05, math.inf, "1.07× slower (above 1.05)"),
        (0.5, 0.0, 0.8, "2.00× faster (above 1.25)"),
        (0.5, 0.4, None, "2.00× faster (below 2.50)"),
        (1234.0, 1000.0, 2000.0, "1,234× slower (between 1,000 and 2,000)"),
        (None, None, None, "–"),
        (math.nan, 1.0, 1.1, "–"),
        (math.inf, 1.0, math.inf, "–"),
        (0.0, 0.0, 1.0, "–"),
    ],
)
def test_a_ratio_has_its_direction_and_its_bounds(ratio, low, high, text):
    """What is faster is shown by the inverses of ratio and bounds. An infinite bound is not shown."""
    assert words.ratio_text(ratio, low, high) == text


@given(ratio=st.floats(0.01, 100), low=st.floats(0.5, 0.99), high=st.floats(1.01, 2))
def test_bounds_are_in_order(ratio, low, high):
    """The first bound of an interval is never above the second, in either direction."""
    text = words.ratio_text(ratio, ratio * low, ratio * high)
    first, second = re.search(r"\(between ([\d.,e-]+) and ([\d.,e-]+)\)", text).groups()
    assert float(first.replace(",", "")) <= float(second.replace(",", ""))


@given(outcome=outcomes, width=st.integers(0, 250), ascii_only=st.booleans())
@example(outcome=outcome("regressed", [slow(), replace(slow(), id=NASTY * 9)]), width=80, ascii_only=True)
def test_no_line_exceeds_the_width_or_moves_the_cursor(outcome, width, ascii_only):
    """Every line fits into the width from 80 columns up, and is printable; it is ASCII if ``ascii_only``."""
    for line in table(outcome, width, ascii_only):
        assert len(line) <= max(width, 80)
        assert line.isprintable()
        assert line.isascii() or not ascii_only


@pytest.mark.parametrize("key", EVERY)
def test_every_verdict_fits_into_every_width(key):
    """The first line is the verdict, in the terminal and in Markdown; the last line has the exit code."""
    for width in (80, 100, 140, 500):
        lines = table(EVERY[key], width, ascii_only=False)
        assert lines[0].startswith(f"{EVERY[key].verdict.upper()}: ")
        assert " ".join(lines[: lines.index("")]).split(": ", 1)[1].split() == f"{headline(EVERY[key])}.".split()
        assert lines[-1] == exit_text(EVERY[key])
    assert f"Exit code {EVERY[key].exit_code}:" in markdown(EVERY[key])
    assert markdown(EVERY[key]).startswith(f"## gradperf gate: {EVERY[key].verdict} – ")


def test_no_number_is_parted_from_its_percent_sign():
    """No line begins with a %."""
    for width in range(80, 140):
        lines = table(EVERY["one regression"], width, ascii_only=False)
        assert any(" %" in line for line in lines)
        assert not any(line.lstrip().startswith("%") for line in lines), lines


@pytest.mark.parametrize("width", [80, 200])
def test_the_culprit_stands_first(width):
    """Of two regressions among many cases, the worse stands first, below the verdict, and both in full."""
    lines = table(
        outcome("regressed", cases(40, case(0, "inconclusive", 1.5), slow(1, 1.07), slow(2, 1.4))), width, False
    )
    assert lines[0] == "REGRESSED: 2 of 40 cases slower."
    slower = "".join(line.strip() for line in below(lines, "Slower:"))
    assert slower.index(f"{name(2)}1.40× slower (between 1.37 and 1.43)") < slower.index(name(1))
    assert name(0) not in slower


def test_numbers_need_no_legend():
    """A case that is open has its ratio, its bounds and what would have shown, in words."""
    shown_case = case(0, "inconclusive", 1.03, 0.05, p_adjusted=0.013, smallest_visible_change=0.023)
    (words_of_case,) = below(table(outcome("inconclusive", [shown_case]), 200, False), "Open")[1:]
    assert words_of_case.strip() == "1.03× slower (between 0.98 and 1.08), would have shown 2.3 %, p 0.013, 8 pairs"


def test_rows_stand_in_the_order_of_their_urgency():
    """What needs action comes before what is better, what is open, what is new and what is as it was."""
    order = (
        "regressed",
        "different",
        "failed",
        "removed",
        "suspect",
        "improved",
        "unstable",
        "inconclusive",
        "new",
    )
    one_of_each = [case(n, verdict) for n, verdict in enumerate(reversed(words.ORDER))]
    text = shown(outcome("incomplete", one_of_each))
    headings = [f"{words.MEANINGS[verdict].heading}: " for verdict in (*order, "unchanged", "identical")]
    places = [text.index(heading) for heading in headings]
    assert places == sorted(places)
    assert set(words.ORDER) == {*order, "unchanged", "identical"}
    assert [text.index(one.id) for one in reversed(one_of_each)] == sorted(
        map(text.index, map(name, range(len(order) + 2)))
    )


def test_every_verdict_has_its_meaning():
    """What a finding may be called, and what the report knows, are the same."""
    assert set(words.MEANINGS) == set(get_args(Verdict))


def test_quiet_cases_are_listed_only_if_they_are_few():
    """Up to twelve cases are all listed; of more, the unchanged and the identical are counted."""
    few, many = (table(outcome(cases=cases(count)), 120, ascii_only=False) for count in (12, 13))
    assert len(below(few, "Unchanged:")) == 12
    assert not any(line.startswith("Unchanged") for line in many)
    assert "13 cases unchanged" in many


def test_what_may_wait_is_counted_if_it_is_much():
    """Of many open cases, twelve are shown and the others counted; of what is slower, all."""
    many = [*(case(n, "inconclusive") for n in range(20)), *(slow(n) for n in range(20, 40))]
    lines = table(outcome("regressed", many), 200, ascii_only=False)
    assert below(lines, "Open")[-1].strip().startswith("and 8 more")
    assert sum("perf/" in line for line in below(lines, "Open")) == 12
    assert sum("perf/" in line for line in below(lines, "Slower")) == 20


def test_cut_names_can_be_told_apart():
    """At 80 columns, names that differ only in their middle are cut at a part that they share."""
    rows = below(table(outcome(cases=cases(10)), 80, ascii_only=False), "Unchanged:")
    assert len({line.split()[-1] for line in rows}) == len(rows) == 10
    assert all("…" in row for row in rows)


def test_a_name_that_needs_a_look_is_not_cut():
    """At 80 columns it takes two lines, and is broken where its parts meet."""
    lines = below(table(EVERY["one regression"], 80, ascii_only=False), "Slower:")
    assert [line.strip() for line in lines[:2]] == [name(0)[: name(0).index("[")], name(0)[name(0).index("[") :]]


def test_cut_names_that_look_alike_are_cut_elsewhere():
    """Two tests of one file, with the same parameters, among tests of another file."""
    parameters = [f"[tiny_bias_3x2x1-numpy.{style}-cpu-float32]" for style in ("by_hand", "by_hand_inplace")]
    tests = ("phases.py::test_forward", "phases.py::test_backward", "training.py::test_training")
    cut = printable.cut_alike([f"perf/test_{test}{those}" for test in tests for those in parameters], 45)
    assert len(set(cut)) == 6
    assert max(map(len, cut)) == 45
    assert cut[0] == "…forward[tiny_bias_3x2x1-numpy.by_hand-cpu-f…"


@given(names=st.lists(st.text("abc", min_size=1, max_size=60), min_size=1, max_size=5), width=st.integers(3, 60))
def test_a_name_that_fits_is_not_cut(names, width):
    """No cut name is wider than its room, and those that fit stand as they are."""
    for whole, cut in zip(names, printable.cut_alike(names, width), strict=True):
        assert len(cut) <= width
        assert cut == whole or len(whole) > width


def test_no_regression_says_what_would_have_been_seen():
    """Without a regression, the report has the slowdowns that are visible in half of the cases and in all."""
    some = outcome(cases=[case(n, smallest_visible_change=share) for n, share in enumerate((0.01, 0.024, 0.3))])
    for text in (shown(some), markdown(some).partition("<details>")[0]):
        assert "2.4 %" in text
        assert "30 %" in text


def test_what_could_not_be_decided_is_named():
    """Cases that are inconclusive or unstable are named, though the run passes."""
    text = shown(outcome(cases=cases(40, case(0, "inconclusive"), case(1, "unstable"))))
    assert name(0) in text
    assert name(1) in text


def test_a_group_may_regress_if_no_case_does():
    """The verdict says that no single case did, and the group is named with its size."""
    assert shown(EVERY["group"]).startswith("REGRESSED: no single case, but numpy slower as a whole.")
    assert "the 10 cases of numpy as a whole 1.021× slower" in shown(EVERY["group"])
    assert rows_of(markdown(EVERY["group"]))[2][3].endswith("group <code>numpy</code> ")
    assert any("group numpy" in line for line in annotations(EVERY["group"]) if line.startswith("::error"))


def test_a_failed_control_withdraws_every_verdict():
    """First line, the sentence below it and the error report the failed control; none calls anything regressed."""
    text = shown(EVERY["untrusted"])
    assert text.startswith("UNTRUSTED: a control failed, no verdict may be believed. Control FAILED, no verdict")
    assert "base against base gave 1.06× slower" in text.partition("Slower:")[0]
    assert "regress" not in text
    assert "Control FAILED" in markdown(EVERY["untrusted"]).partition("|")[0]
    errors = [line for line in annotations(EVERY["untrusted"]) if line.startswith("::error")]
    assert len(errors) == 1
    assert "control failed" in errors[0]


def test_failures_have_their_reason():
    """A reason is shown once for all cases that share it. Crashed cases count as not compared."""
    text = shown(EVERY["incomplete"], 300)
    assert text.count("signal 9 Traceback") == 1
    assert text.startswith("INCOMPLETE: 4 of 40 cases could not be compared.")
    assert all(name(number) in text for number in range(4))


def test_nothing_compared_is_not_called_good():
    """Without a case there is an error, and the report does not claim that there is no regression."""
    for text in (shown(EVERY["nothing"]), markdown(EVERY["nothing"])):
        assert "nothing was compared" in text
        assert "no regression" not in text.lower()
    assert annotations(EVERY["nothing"])[0].startswith("::error")


def test_different_results_are_untrusted():
    """If the sides return different results, the report has the case and the reason."""
    assert f"{name(0)} results differ by 3e-3, bound 1e-9: loss" in shown(EVERY["different"])


def test_what_is_identical_was_not_timed():
    """The report on identical sides claims no visible slowdown."""
    text = shown(EVERY["identical"])
    assert text.startswith("IDENTICAL: nothing that a benchmark can import has changed, so nothing was timed.")
    assert "would have been seen" not in text


def test_identical_with_a_new_case_is_not_all_identical():
    """A new case beside identical ones is named, and the report does not claim that nothing changed."""
    assert "nothing" not in shown(EVERY["identical and new"])
    assert f"New: only the head has it: {name(0)}" in shown(EVERY["identical and new"])


def test_a_regression_does_not_hide_what_crashed():
    """If one case is slower and another crashed, the verdict counts both, and both are named."""
    text = shown(EVERY["regression and crash"])
    assert text.startswith("REGRESSED: 1 of 40 cases slower, 1 could not be compared.")
    assert f"{name(0)} 1.07× slower" in text
    assert f"Failed: {name(1)}" in text


def test_a_group_may_improve_if_no_case_does():
    """The group is named; no number of faster cases is claimed."""
    assert "numpy faster as a whole" in markdown(EVERY["group improved"])
    assert "the 10 cases of numpy as a whole 1.026× faster" in shown(EVERY["group improved"])


def test_what_was_accepted_is_shown_with_its_reason_and_no_error():
    """An accepted regression is shown with its ratio and reason, and has no annotation."""
    text = shown(EVERY["accepted"])
    assert f"Accepted, so not counted: {name(0)} 1.07× slower" in text
    assert "regressed, but accepted: a stricter check of the shapes" in text
    assert annotations(EVERY["accepted"]) == []


def test_a_suspect_is_named_and_fails_the_gate():
    """It is named with its ratio, and is an error, because the gate does not let it pass."""
    for key, who in (("suspect", name(0)), ("group suspect", "numpy")):
        text = shown(EVERY[key])
        assert text.startswith("SUSPECT: ")
        assert who in text.partition("Probably slower, but not proven")[2].partition("Unchanged")[0]
        assert "does not let it pass" in text
        errors = [line for line in annotations(EVERY[key]) if line.startswith("::error")]
        assert len(errors) == 1
        assert "suspect" in errors[0]
        assert who in errors[0]
        assert "probably slower" in markdown(EVERY[key]).splitlines()[0]


def test_a_regression_does_not_hide_a_suspect():
    """Both are named."""
    text = shown(outcome("regressed", cases(40, slow(), case(1, "suspect", 1.03))))
    assert text.index(f"{name(0)} 1.07× slower") < text.index(f"{name(1)} 1.03× slower")
    assert "Probably slower, but not proven" in text


def test_a_run_that_did_not_see_its_planted_slowdown_shows_nothing():
    """Its first words say so, also if a case improved."""
    text = shown(EVERY["nothing shown"])
    assert text.startswith("INCONCLUSIVE: nothing was shown: the planted slowdown was not seen")
    assert "nothing was shown" in markdown(EVERY["nothing shown"]).splitlines()[0]
    assert "o regression" not in text


def test_the_number_of_cases_of_which_too_little_is_known():
    """The others are not among them."""
    unclear = outcome("inconclusive", cases(40, case(0, "inconclusive"), case(1, "unstable")))
    assert shown(unclear).startswith("INCONCLUSIVE: no regression found, but too little is known of 2 of 40 cases.")
    of_all = outcome("inconclusive", cases(40), groups=groups("inconclusive"))
    assert "too little is known of 40 cases as a whole." in shown(of_all)


def test_too_large_a_planted_slowdown_is_explained():
    """If far more was measured than was planted, the report says what that usually means."""
    for key in ("not the work", "nothing shown"):
        assert "does not wait" in shown(EVERY[key])
        assert any("does not wait" in line for line in annotations(EVERY[key]))
    assert "does not wait" not in shown(EVERY["untrusted"])


def test_two_speeds_are_told():
    """They stand beside the case, in the terminal and in Markdown."""
    told = "in 4 of 32 processes the base was 1.7× slower"
    assert f"{name(0)} no difference (between 0.99 and 1.01), would have shown 2.0 %, 8 pairs {told}" in shown(
        EVERY["two speeds"], 300
    )
    assert told in markdown(EVERY["two speeds"])


def test_a_planted_slowdown_that_was_not_seen_is_a_warning():
    """It is reported in the terminal, in Markdown and in an annotation."""
    unseen = outcome("inconclusive", controls=(control(), control(0.05, "not seen")))
    assert any("NOT SEEN" in line for line in table(unseen, 80, ascii_only=False)[:4])
    assert "NOT SEEN" in markdown(unseen).partition("<details>")[0]
    assert any("NOT SEEN" in line for line in annotations(unseen) if line.startswith("::warning"))


def test_a_control_without_a_value():
    """A control that was not measured claims no number."""
    missing = replace(control(0.05, "not seen"), ratio=None, ci_low=None, ci_high=None, p=1.0, case="")
    text = shown(outcome("incomplete", controls=(missing,)))
    assert (
        "Control NOT MADE, so nothing may be called unchanged: a slowdown of 5 % planted on purpose has no value."
        in text
    )


@given(outcome=outcomes)
def test_a_table_in_markdown_has_its_cells_whatever_a_name_holds(outcome):
    """Each row has as many cells as its head, no tag but those of the report, and no Markdown from a name."""
    text = markdown(outcome)
    assert {len(row) for row in rows_of(text)} <= {4, 6, 8}
    assert set(re.findall(r"<[^!][^>]*>", text)) <= {
        *("<details>", "</details>", "<summary>", "</summary>", "<code>", "</code>", "<pre>", "</pre>")
    }
    assert text.count("<details>") == text.count("</details>")
    assert not re.search(r"@\w", text)
    assert "\\" not in text


@pytest.mark.parametrize("long", [1, 5, 40])
def test_markdown_of_a_thousand_cases_fits_into_a_comment(long):
    """It is shorter than GitHub's limit, shows the slow case, and counts the cases that were left out."""
    some = [
        replace(
            case(n, "failed" if n % 2 else "unchanged", reason=f"{n} " * 50 * long), id=name(n) + "|" * 40 * long
        )
        for n in range(999)
    ]
    text = markdown(outcome("regressed", [*some, slow(999)], groups=groups(), warnings=("|" * 3000,) * 100))
    assert len(text) < 65_536
    assert "`" + name(999) + "`" in text or f"<code>{name(999).replace('[', '&#91;')}</code>" in text
    assert "the JSON record has" in text


@given(outcome=outcomes, ascii_only=st.booleans())
def test_an_annotation_is_one_command(outcome, ascii_only):
    """Each line is one command with one property, for any name. There are at most ten of a kind."""
    lines = annotations(outcome, ascii_only)
    for line in lines:
        assert re.fullmatch(r"::(error|warning) title=(?:[^:,%]|%25|%3A|%2C)*::(?:[^%]|%25|%0A|%0D)*", line)
        assert line.isprintable()
        assert line.isascii() or not ascii_only
    for kind in ("::error", "::warning"):
        assert sum(line.startswith(kind) for line in lines) <= 10
    assert not outcome.exit_code or any(line.startswith("::error") for line in lines)


def test_the_tenth_annotation_counts_the_others():
    """Ten are shown as they are; of twelve, nine, and then that there are three more."""
    ten, twelve = (annotations(outcome("incomplete", [untimed(n, "removed") for n in range(k)])) for k in (10, 12))
    assert all("removed" in line for line in ten)
    assert len(twelve) == 10
    assert "3 more" in twelve[-1]


def test_outside_github_there_are_no_annotations(tmp_path):
    """Without GITHUB_ACTIONS=true there is no line, and no summary is written."""
    summary = tmp_path / "summary.md"
    assert in_actions(EVERY["one regression"], {"GITHUB_STEP_SUMMARY": str(summary)}) == []
    assert not summary.exists()


def test_the_summary_is_appended(tmp_path):
    """What other steps wrote into the summary stays before the report."""
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    environ = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}
    assert in_actions(EVERY["one regression"], environ) == annotations(EVERY["one regression"])
    assert summary.read_text(encoding="utf-8") == "before\n" + markdown(EVERY["one regression"])


@pytest.mark.parametrize("place", ["missing/summary.md", "."])
def test_a_summary_that_cannot_be_written_is_a_warning(tmp_path, place):
    """The annotations are still there, and one more with the file and the reason."""
    environ = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(tmp_path / place)}
    lines = in_actions(EVERY["one regression"], environ)
    assert lines[:-1] == annotations(EVERY["one regression"])
    assert re.match(r"::warning .*cannot be written: (No such file|Is a directory)", lines[-1])


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a full disk")
def test_a_full_disk_under_the_summary_is_a_warning():
    """A full disk loses only the summary."""
    lines = in_actions(EVERY["unchanged"], {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": "/dev/full"})
    assert "No space left" in lines[-1]


def test_signs_are_all_that_a_report_adds_to_names():
    """A stream that can hold SIGNS can hold any report whose names and reasons are ASCII."""
    crash_free = [one for key, one in EVERY.items() if key != "incomplete"]
    text = "".join(
        line for one in crash_free for width in (80, 140) for line in table(one, width, ascii_only=False)
    )
    assert {sign for sign in text if not sign.isascii()} <= set(printable.SIGNS)


def test_outcomes_are_of_their_type():
    """The examples here are what the gate makes."""
    assert all(isinstance(one, Outcome) for one in EVERY.values())
