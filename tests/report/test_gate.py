"""The page of a gate's record: what was found, the urgent first, and no text that could be more than text."""

import json

import pytest

from gradperf.errors import UserError
from gradperf.gate.report import record
from gradperf.report import gate, page
from tests.gate import outcomes

pytest.importorskip("jinja2")


@pytest.fixture
def found():
    """Return the record of a run with a slower case."""
    return record.record(outcomes.outcome("regressed", [*outcomes.cases(6), outcomes.slow(7, 1.3)], exit_code=10))


def test_what_it_shows(found):
    """The slower case is first and right of 1; the others lie in the band."""
    shown = gate.gather(found)
    assert (shown.verdict, shown.exit_code) == ("regressed", 10)
    first = shown.lines[0]
    assert (first.verdict, first.name) == ("regressed", outcomes.name(7))
    assert shown.one < first.low < first.x < first.high
    assert "1.3× slower" in first.words
    assert all(
        shown.band[0] < line.low < line.high < shown.band[1] for line in shown.lines if line.verdict == "unchanged"
    )
    assert [line.name for line in shown.controls] == ["base against base", "planted slowdown"]
    text = page.gate_html(shown)
    assert "<h1>Regressed</h1>" in text
    assert text.count('<circle class="mark regressed"') >= 1
    assert "<script" not in text


def test_texts_stay_texts(found):
    """Markup in a name or a warning begins no element."""
    found["cases"][0]["id"] = "</svg><script>alert(1)</script>"
    found["warnings"] = ["<img src=x>", "\x1b[31m"]
    text = page.gate_html(gate.gather(json.loads(json.dumps(found))))
    assert "<script>" not in text
    assert "<img" not in text
    assert "\x1b" not in text


@pytest.mark.parametrize("damage", [{"cases": [{}]}, {"plan": None}, {"controls": 3}, {"exit_code": "x"}])
def test_a_damaged_record(found, damage):
    """It is refused in one line."""
    with pytest.raises(UserError, match="the record of the gate is damaged"):
        gate.gather(found | damage)


def test_the_command(found, run_gradperf, tmp_path):
    """A record becomes a page by `gradperf report`; something else is no record."""
    (tmp_path / "gate.json").write_text(json.dumps(found))
    done = run_gradperf("report", str(tmp_path / "gate.json"), "--output", str(tmp_path / "page.html"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "a run of the gate" in done.stdout
    assert "<h1>Regressed</h1>" in (tmp_path / "page.html").read_text()
    assert gate.read(tmp_path / "page.html") is None
    assert gate.read(tmp_path / "nothing") is None
