"""The page in a real browser: every figure has its marks, and works by mouse and by keyboard.

These tests need Playwright, axe and Chromium: ``pip install 'gradperf[browser]'``, Debian ``apt install chromium``.
"""

import shutil
import sys

import pytest

from gradperf.commands import main
from tests.report.runs import MACHINE, write

playwright = pytest.importorskip("playwright.sync_api")
pytest.importorskip("jinja2")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium here")
FIGURES = ["matrix", "times", "train", "roofline", "error", "autograd", "size", "history", "styles", "runs"]


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    """Return a page of several runs of two machines, one of which became slower."""
    folder = tmp_path_factory.mktemp("report")
    for number, factor, cpu in ((1, 1.0, "A"), (2, 1.0, "B"), (3, 1.4, "A"), (4, 1.4, "A")):
        write(folder / "results", number, factor=factor, machine=MACHINE | {"cpu_model": cpu})
    assert main.main(["report", str(folder / "results"), "--output", str(folder / "page.html")]) == 0
    return folder / "page.html"


@pytest.fixture(scope="module")
def browser():
    """Return one browser for all tests."""
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def page(browser, page_file, request):
    """Return the opened page; nothing may go wrong in it, and it may ask for nothing."""
    options = getattr(request, "param", {})
    opened = browser.new_page(
        viewport={"width": options.get("width", 1280), "height": 900}, **options.get("more", {})
    )
    wrong, asked = [], []
    opened.on(
        "console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None
    )
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("request", lambda sent: asked.append(sent.url))
    opened.goto(page_file.as_uri())
    yield opened
    assert wrong == []
    assert [url for url in asked if not url.startswith("data:")] == [page_file.as_uri()]
    opened.close()


def test_every_figure_has_its_marks(page):
    """Each is shown, with its numbers as a table and its command."""
    shown = page.eval_on_selector_all("main > section:not([hidden])", "nodes => nodes.map(node => node.id)")
    assert shown == FIGURES
    for name in ("times", "train", "roofline", "error", "autograd", "size", "history"):
        assert page.locator(f"#{name} svg.plot .mark").count() >= 2, name
    for name in FIGURES:
        assert page.locator(f"#{name} details table tbody tr").count() >= 1, name
        assert page.locator(f"#{name} .tools code").inner_text() != "", name
    assert page.locator("#matrix td.base").count() == 3
    assert page.locator("#history polygon.mark").count() == 1  # slower once, and never across machines


def test_the_slider_ranks_anew(page):
    """By keyboard: a few steps are fastest without a compiler, many with one."""
    first = "#train ol.ranking li >> nth=0"
    slider = page.locator("#train input[type=range]")
    slider.focus()
    page.keyboard.press("Home")
    assert page.locator(first).inner_text().startswith("numpy.by_hand")
    page.keyboard.press("End")
    assert page.locator(first).inner_text().startswith("jax.jit")
    assert page.locator("#train output").inner_text() == "100,000,000"
    assert "up to 28,521: numpy.by_hand" in page.locator("#train ul:not(.legend)").inner_text()


def test_baseline_problem_and_quantity_are_chosen(page):
    """By the controls: the matrix, the figures and the quantity follow."""
    page.get_by_role("combobox", name="baseline").select_option("torch.autograd")
    row = page.locator("#matrix tr", has=page.get_by_role("rowheader", name="torch.autograd")).first
    assert row.locator("td").first.inner_text() == "1"
    page.locator("#times").get_by_role("button", name="memory").click()
    assert "MiB" in page.locator("#times svg.plot").inner_html()
    page.get_by_role("combobox", name="problem", exact=True).select_option(label="matmul_128x128x128, cpu, float64")
    assert page.locator("#times svg.plot .mark").count() == 1


def test_figures_are_saved(page):
    """As SVG with its colours, and as CSV."""
    with page.expect_download() as saved:
        page.locator("#times").get_by_role("button", name="Save SVG").click()
    text = saved.value.path().read_text()
    assert text.startswith("<svg")
    assert 'fill="rgb(' in text
    with page.expect_download() as saved:
        page.locator("#times").get_by_role("button", name="Save CSV").click()
    assert saved.value.path().read_text().startswith("style,time per step,from,to,rank")


@pytest.mark.parametrize(
    "page",
    [
        {"more": {"color_scheme": "light"}},
        {"more": {"color_scheme": "dark"}},
        {"width": 390, "more": {"color_scheme": "dark"}},
    ],
    indirect=True,
    ids=["light", "dark", "phone"],
)
def test_accessible(page):
    """Axe finds no fault that is serious, and nothing is wider than the screen."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    found = axe.Axe().run(page).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_marks_are_read_by_keyboard(page):
    """Each mark can be reached, and says what it shows."""
    page.locator("#times svg.plot .mark").first.focus()
    assert "jax.jit: 14 µs" in page.locator("#tip").inner_text()
    assert sys.getsizeof(page.content()) < 10**6
