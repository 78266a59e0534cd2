"""Text from a record reaches Markdown and spreadsheets escaped: nothing in it is obeyed, nothing of it is lost."""

import csv
import html
import io
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gradperf.text.escaping import csv_cell, markdown
from gradperf.text.printable import clean

HOSTILE = [
    "a|b",
    "`rm`",
    "<script>alert(1)</script>",
    "[here](https://example.org)",
    "https://example.org www.example.org WWW.x",
    "*bold* _loose_ in_word ~~gone~~ $x$ \\| @someone",
    "line\nline\r\n| row |",
    "\x1b[31mred\x07",
    "=HYPERLINK(1)",
    "\t=1+1",
    "\r@SUM(A1)",
    "＝1",
    "-1+1",
    '","',
]


def examples(test):
    for text in HOSTILE:
        test = example(text)(test)
    return test


@examples
@given(st.text())
def test_markdown_shows_the_text_as_it_is(text):
    """One line; without its comments and entities it is the text again."""
    assert html.unescape(markdown(text).replace("<!-- -->", "")) == html.unescape(html.escape(clean(text)))


@examples
@given(st.text())
def test_markdown_obeys_nothing(text):
    """No cell or line ends, and no tag, code, emphasis, link, address or mention begins."""
    shown = markdown(text)
    bare = shown.replace("<!-- -->", "\0")
    assert not set(bare) & set("|`*[\\~$<>\n\r\x1b")
    assert not re.search(r"://|www\.|@(?!\0)", bare, re.IGNORECASE)
    assert not re.search(r"(^|\W)_|_(\W|$)", bare)


@examples
@given(st.text())
def test_csv_cell_is_text(text):
    """It begins no formula, and comes back from a file as it was put in."""
    cell = csv_cell(text)
    assert not re.match(r"[=+\-@\t\r＝＋－＠]", cell)
    assert cell.removeprefix("'") == clean(text).removeprefix("'")
    file = io.StringIO(newline="")
    csv.writer(file).writerow([cell, "next"])
    assert next(csv.reader(io.StringIO(file.getvalue(), newline=""))) == [cell, "next"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [("=1+1", "'=1+1"), ("  =1", "'=1"), ("@x", "'@x"), ("a=1", "a=1"), ("\x00=1", "?=1"), ("", "")],
)
def test_formula_gets_an_apostrophe(text, shown):
    """Only at the beginning, where a spreadsheet looks for one."""
    assert csv_cell(text) == shown
