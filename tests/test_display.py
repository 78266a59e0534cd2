"""Where a command shows how far it is: the line that changes, the lines that stay, and what they say."""

import io
import os
from datetime import datetime, timedelta

import pytest

from gradperf.progress import steps
from gradperf.progress.display import EVERY_S, Lines, Live, has_colours, is_terminal
from gradperf.progress.steps import Series, Span, Steps
from tests.terminals import Screen, Shown, open_terminal, resize


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    """Nothing in the environment says whether lines may change."""
    for name in ("CI", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


@pytest.fixture
def terminal():
    """Return both ends of a terminal of 80 columns: a function that reads what came, and a stream to write to."""
    ours, theirs = open_terminal()

    def read():
        output.write("\0")  # what was written may come late, and in parts
        output.flush()
        came = b""
        while not came.endswith(b"\0"):
            came += os.read(ours, 65536)
        return came[:-1].decode()

    with open(theirs, "w", encoding="utf-8") as output:
        yield read, output
    os.close(ours)


# --- lines ---


def test_lines_come_from_time_to_time():
    """Not whenever something is shown; what is said comes at once."""
    written, now_s = [], 0.0
    lines = Lines(written.append, "gradperf gate: ", clock=lambda: now_s)
    for number in range(21):
        now_s = number * EVERY_S / 8
        lines.show(f"case {number}")
    assert written == ["gradperf gate: case 8", "gradperf gate: case 16"]
    lines.say("stays")
    lines.clear()
    assert written[2:] == ["gradperf gate: stays"]


def test_lines_hold_no_command_of_a_terminal():
    """A name may hold anything."""
    written = []
    Lines(written.append).say("one\ntwo\x1b[2J")
    assert written == ["one two?[2J"]


# --- the line that changes ---


def test_line_that_changes(terminal):
    """It fits the terminal, keeps the end of a long name, holds no markup of its own, and is gone at the end."""
    read, output = terminal
    live, screen = Live(output, "gradperf gate: "), Screen()
    live.show(f"1 of 3 cases; checking [red]{'x' * 80}-cpu-float64")
    screen.write(read())
    (line,) = screen.lines
    assert len(line) == 79
    assert line.startswith("1 of 3 cases; checking [red]x")
    assert line.endswith("xx-cpu-float64")
    assert "…" in line
    live.show(f"1 of 3 cases, {'y' * 44}; starting two processes")
    assert screen.write(read()).lines == [f"1 of 3 cases, {'y' * 44}; starting two proce…"]
    live.show("2 of 3 cases\x1b[2J")
    assert screen.write(read()).lines == ["2 of 3 cases?[2J"]
    live.say("[b]stays[/b]")
    assert screen.write(read()).lines == ["gradperf gate: [b]stays[/b]", "2 of 3 cases?[2J"]
    live.clear()
    assert screen.write(read()).lines == ["gradperf gate: [b]stays[/b]", ""]
    live.clear()
    assert read() == ""
    live.say("stays too")
    assert screen.write(read()).lines[1:] == ["gradperf gate: stays too", ""]


@pytest.mark.parametrize("columns", [120, 40, 7, 1])
def test_line_after_a_change_of_the_width(terminal, columns):
    """The old line goes away in all its rows, and the new one fits."""
    read, output = terminal
    live, screen = Live(output), Screen()
    live.show("x" * 100)
    screen.write(read())
    resize(output, columns)
    screen.columns = columns
    live.show("y" * 100)
    (line,) = screen.write(read()).lines
    assert len(line) == max(1, min(100, columns - 1))
    assert "x" not in line
    resize(output, 30)
    screen.columns = 30
    live.clear()
    assert screen.write(read()).lines == [""]


def test_wide_characters_fit(terminal):
    """They take two columns each."""
    read, output = terminal
    Live(output).show("漢" * 100)
    assert read().count("漢") == 39


def test_terminal_without_other_signs():
    """What its encoding lacks is spelt in ASCII, within the width."""
    output = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    live = Live(output, width=30)
    live.show("µ" * 30)
    live.show(f"1 of 3; {'x' * 30}")
    (line,) = Screen(30).write(output.buffer.getvalue().decode()).lines
    assert line.startswith("1 of 3; ")
    assert line.endswith("xx")
    assert len(line) == 29
    assert "…" not in line


def test_terminal_that_is_gone():
    """It is no error, whether its other end or the stream was closed."""
    ours, theirs = open_terminal()
    with open(theirs, "w") as output:
        live = Live(output)
        live.show("one")
        os.close(ours)
        live.show("two")
        live.say("three")
    live.clear()
    closed = io.TextIOWrapper(io.BytesIO())
    live = Live(closed)
    closed.close()
    live.show("one")
    live.clear()


# --- where it is which ---


@pytest.mark.parametrize(
    ("variables", "changes", "coloured"),
    [
        ({}, True, True),
        ({"TERM": "dumb"}, False, False),
        ({"CI": "true"}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, True, False),
        ({"FORCE_COLOR": "1", "CI": "true"}, False, True),
        ({"FORCE_COLOR": "", "CI": "", "NO_COLOR": ""}, True, True),  # empty is as not set
    ],
    ids=str,
)
def test_variables(terminal, monkeypatch, variables, changes, coloured):
    """NO_COLOR and FORCE_COLOR decide about colours alone; TERM and CI say where no line can change."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    read, output = terminal
    assert (is_terminal(output), has_colours(output)) == (changes, coloured)
    Live(output).show("2 failed; checking")
    assert ("\x1b[1;31m2 failed" in read()) == coloured


def test_no_terminal(monkeypatch):
    """A pipe has no colours of its own, and no line can change in it, whatever FORCE_COLOR says."""
    read, written = os.pipe()
    with open(read) as _, open(written, "w") as output:
        assert (is_terminal(output), has_colours(output)) == (False, False)
        monkeypatch.setenv("FORCE_COLOR", "1")
        assert (is_terminal(output), has_colours(output)) == (False, True)
    assert not is_terminal(output)  # it is closed
    assert not is_terminal(io.StringIO())
    written = []
    Lines(written.append, colours=True).say("WARNING: other work")
    assert written == ["\x1b[1;33mWARNING\x1b[0m: other work"]


# --- what it says ---


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1:00 min"),
        (3599.4, "59:59 min"),
        (3600, "1:00 h"),
        (45_000, "12:30 h"),
    ],
)
def test_span(seconds, text):
    assert steps.span(seconds) == text


def test_steps():
    """What is left is known after the first step, and gets less within a step, but not less than nothing."""
    shown, now_s = Shown(), 100.0
    taken = Steps(shown, "pair", 4, clock=lambda: now_s)
    now_s = 105.0
    taken.show("timing a")
    assert shown.last == "pair 1 of 4, 5 s; timing a"
    now_s = 110.0
    taken.end_of_step()
    taken.show("timing b")
    assert shown.last == "pair 2 of 4, 10 s, about 30 s left; timing b"
    now_s = 114.0
    taken.show("timing a")
    assert shown.last == "pair 2 of 4, 14 s, about 26 s left; timing a"
    now_s = 200.0
    taken.show("timing a")
    assert shown.last == "pair 2 of 4, 1:40 min, soon done; timing a"


def test_known_time():
    """A command that takes a known time."""
    shown, now_s = Shown(), 0.0
    known = Span(shown, 60, clock=lambda: now_s)
    now_s = 14.0
    known.show("reading the clock")
    assert shown.last == "14 s, about 46 s left; reading the clock"
    now_s = 61.0
    known.show("reading the clock")
    assert shown.last == "1:01 min, soon done; reading the clock"


def test_series():
    """Long runs are told by the time of day; when they end is known from earlier runs, then from those before."""
    shown, now = Shown(), datetime(2026, 5, 4, 9, 58)
    Series(shown, 2, clock=lambda: now).begin("quiet")
    assert shown.last == "run 1 of 2, since 09:58; quiet"
    series = Series(shown, 3, (60.0, 120.0), clock=lambda: now)
    series.begin("quiet")
    assert shown.last == "run 1 of 3, since 09:58, all end about 10:02; quiet"
    now += timedelta(minutes=10)
    series.begin("busy")
    assert shown.last == "run 2 of 3, since 10:08, all end about 10:28; busy"
    now += timedelta(hours=12)
    series.begin("busy")
    assert shown.last == "run 3 of 3, since 22:08, all end about Tue 04:13; busy"
