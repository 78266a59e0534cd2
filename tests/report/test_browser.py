"""The page in a real browser: every figure has its marks, and works by mouse and by keyboard.

These tests need Playwright, axe and Chromium: ``pip install 'gradperf[browser]'``, Debian ``apt install chromium``.
"""

import shutil
import sys

import pytest

from gradperf.commands import main
from tests.report.runs import CEILINGS, MACHINE, SINE, write, write_case

playwright = pytest.importorskip("playwright.sync_api")
pytest.importorskip("jinja2")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium here")
OF_RUNS = ["matrix", "times", "train", "roofline", "error", "autograd", "size", "history", "styles"]
OF_CASES = ["fitted-0", "loss-0", "derivative-1"]
FIGURES = [*OF_RUNS, *OF_CASES, "runs"]
NOT_TIMED = {
    "cannot_run": {"no CUDA device": ["polynomial_degree4-torch.autograd-cuda-float64"]},
    "failed": {"Disagreement: off": ["matmul_64x64x64-jax.jit-cpu-float64"]},
}


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    """Return a page of several runs of two machines, one of which became slower."""
    folder = tmp_path_factory.mktemp("report")
    for number, factor, cpu in ((1, 1.0, "A"), (2, 1.0, "B"), (3, 1.4, "A"), (4, 1.4, "A")):
        facts = {"schema": 2, "command": ["pytest", "perf"], "ceilings": CEILINGS, **NOT_TIMED}
        write(folder / "results", number, factor=factor, machine=MACHINE | {"cpu_model": cpu}, gradperf=facts)
    cases = [str(write_case(folder)), str(write_case(folder, "sine.json", **SINE))]
    assert main.main(["report", str(folder / "results"), *cases, "--output", str(folder / "page.html")]) == 0
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
    for name in (*OF_RUNS[1:-1], *OF_CASES):
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


def test_grey_cells_say_why(page):
    """By mouse, by the arrow keys, and in a list below."""
    cells = page.locator("#matrix td.missing")
    assert sorted(set(cells.all_inner_texts())) == ["failed", "·"]
    page.locator("#matrix td", has_text="failed").hover()
    assert (
        "jax.jit on matmul_64x64x64, cpu, float64\nfailed: Disagreement: off" in page.locator("#tip").inner_text()
    )
    page.locator("#matrix td[tabindex='0']").focus()
    for _ in range(9):
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowUp")
    assert page.locator("#tip").inner_text().startswith("numpy.by_hand on polynomial_degree4")
    page.keyboard.press("ArrowRight")
    assert "the style computes no problem of the family matmul" in page.locator("#tip").inner_text()
    assert page.locator("#matrix td[tabindex='0']").count() == 1
    page.locator("#matrix summary", has_text="2 cases could not run or failed").click()
    assert "cannot run here: no CUDA device (1): polynomial_degree4-torch.autograd-cuda-float64" in (
        page.locator("#matrix .untimed").inner_text()
    )


def test_curves_of_single_cases(page):
    """Losses on either axis, the fitted curve, and a derivative: by mouse and by keyboard, with their numbers."""
    assert page.locator("#fitted-0 .mark").count() == 21 + 1  # one in the legend
    page.locator("#fitted-0 svg.plot .mark").nth(4).hover()
    assert page.locator("#tip").inner_text() == "x = 1\nthe data: 0.841\nfitted by torch.autograd: 0.111"
    page.locator("#derivative-1 svg.plot .mark[tabindex]").last.focus()
    assert "its derivative, by jax.vmap: 0.999" in page.locator("#tip").inner_text()
    assert page.locator("#derivative-1 svg.plot .mark[tabindex]").count() == 16
    page.locator("#loss-0 svg.plot .mark").last.focus()
    assert page.locator("#tip").inner_text() == "before step 1,000: loss 0.105"
    even = page.locator("#loss-0").get_by_role("button", name="even steps")
    even.focus()
    page.keyboard.press("Enter")
    assert page.locator("#loss-0 button[aria-pressed=true]").inner_text() == "even steps"
    with page.expect_download() as saved:
        page.locator("#loss-0").get_by_role("button", name="Save CSV").click()
    assert saved.value.path().read_text().startswith("step,loss\n1,5.1\n")
    assert "torch.autograd --steps 1000" in page.locator("#loss-0 .tools code").inner_text()


@pytest.fixture(scope="module")
def cases_file(tmp_path_factory):
    """Return a page of single cases alone."""
    folder = tmp_path_factory.mktemp("cases")
    cases = [str(write_case(folder)), str(write_case(folder, "sine.json", **SINE))]
    assert main.main(["report", *cases, "--output", str(folder / "page.html")]) == 0
    return folder / "page.html"


def test_a_page_without_recorded_runs(browser, cases_file):
    """It has the figures of the cases and nothing else, and nothing goes wrong in it."""
    wrong, opened = [], browser.new_page()
    opened.on("console", lambda message: wrong.append(message.text))
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.goto(cases_file.as_uri())
    shown = opened.eval_on_selector_all("main > section:not([hidden])", "nodes => nodes.map(node => node.id)")
    assert (shown, wrong) == (OF_CASES, [])
    assert not opened.locator("#controls").is_visible()
    assert opened.locator("#fitted-0 details table tbody tr").count() == 21
    opened.close()
