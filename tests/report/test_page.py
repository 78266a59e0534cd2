"""The page: one file that asks for nothing, in which texts stay texts; and the command that writes it."""

import json
import os
import re
import sys

import pytest

from tests.records import record
from tests.report.runs import SINE, write, write_case
from tests.report.test_data import HOSTILE

pytest.importorskip("jinja2")


@pytest.fixture
def report(run_gradperf, tmp_path):
    """Return ``report(*arguments)``: the command in a folder with what was written, and the page."""

    def run(*arguments):
        done = run_gradperf("report", *arguments, "--output", str(tmp_path / "page.html"))
        page = tmp_path / "page.html"
        return done, page.read_text() if page.exists() else None

    return run


def test_a_page(report, tmp_path):
    """All runs of a folder, or those that are named."""
    for number in (1, 2, 3):
        write(tmp_path / "results", number)
    done, page = report("--results", str(tmp_path / "results"))
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r".*page\.html: 3 runs, 0\.\d MB\n", done.stdout)
    assert "3 recorded runs" in page
    done, page = report("2", str(tmp_path / "results" / "0003_run.json"), "--results", str(tmp_path / "results"))
    assert "2 recorded runs" in page


def test_it_asks_for_nothing(report, tmp_path):
    """No address is in what a browser reads, and a policy forbids every request."""
    write(tmp_path / "results")
    _, page = report(str(tmp_path / "results"))
    assert "default-src 'none'" in page
    assert not re.findall(r"""(?:src|href)=["'](?!#|data:)""", page)
    assert not [one for one in re.findall(r"https?://[^\s\"'<)]*", page) if "www.w3.org" not in one]
    assert len(page) < 200_000


def test_a_page_of_single_cases(report, tmp_path):
    """It needs no recorded run, and may name files."""
    files = [write_case(tmp_path / "cases"), write_case(tmp_path / "cases", "sine.json", **SINE)]
    done, page = report(*map(str, files))
    assert (done.returncode, done.stderr) == (0, "")
    assert "page.html: 2 single cases, 0." in done.stdout
    assert "2 single cases." in page
    write(tmp_path / "results")
    done, page = report(*map(str, files), "1", "--results", str(tmp_path / "results"))
    assert "page.html: 1 run and 2 single cases" in done.stdout


def test_texts_stay_texts(report, tmp_path):
    """Markup in a record closes no element of the page, and begins none."""
    write(tmp_path / "results", benchmarks=[record(), record() | {"extra_info": HOSTILE | {"step_s": 1e-5}}])
    (tmp_path / "results" / "<img src=x onerror=alert(1)>.json").write_text("{")
    done, page = report(str(tmp_path / "results"))
    assert done.returncode == 0
    assert "<script>alert" not in page
    assert "<img" not in page
    (stored,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert "</script><script>alert(1)</script>" in [
        each["problem"] for each in json.loads(stored)["details"]["0"]["groups"]
    ]


def test_bad_input(report, tmp_path, run_gradperf):
    """One line each, and an old page stays as it was."""
    page = tmp_path / "page.html"
    page.write_text("old")
    done, _ = report("--results", str(tmp_path / "nowhere"))
    assert (done.returncode, page.read_text()) == (2, "old")
    assert "there is no such folder" in done.stderr
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "0001_x.json").write_text("[]")
    done, _ = report("--results", str(tmp_path / "results"))
    assert (done.returncode, page.read_text()) == (2, "old")
    assert "nothing to report" in done.stderr
    done, _ = report("nosuchrun", "--results", str(tmp_path / "results"))
    assert done.returncode == 2
    assert "no recorded run 'nosuchrun'" in done.stderr
    write(tmp_path / "results", 2)
    done = run_gradperf("report", str(tmp_path / "results"), "--output", str(tmp_path / "no" / "page.html"))
    assert done.returncode == 2
    assert "--output: cannot write" in done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full device here")
def test_a_full_disk(tmp_path, run_gradperf):
    """One line says that the page cannot be written."""
    write(tmp_path / "results")
    done = run_gradperf("report", str(tmp_path / "results"), "--output", "/dev/full")
    assert done.returncode == 2
    assert "cannot be written" in done.stderr


def test_without_jinja(tmp_path, monkeypatch):
    """The extra is named."""
    from gradperf.errors import UserError
    from gradperf.report import page

    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(UserError, match=r"pip install 'gradperf\[report\]'"):
        page.html(None, "gradperf report")
