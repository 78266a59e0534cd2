"""The documentation site: it builds without a warning, asks no other server, and its commands are right."""

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from gradperf.commands import main
from tests.conftest import ROOT, run_process

HOW_TOS = [ROOT / "docs" / "index.md", *sorted((ROOT / "docs" / "howto").glob("*.md"))]
PAGES = [*HOW_TOS, ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

NEEDS_MKDOCS = pytest.mark.skipif(find_spec("material") is None, reason="needs the extra docs: mkdocs-material")


def build(checkout, site):
    """Build the site as the documentation says, with its links checked."""
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", site],
        cwd=checkout,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
        check=False,
    )


def copy(folder):
    """Copy what a reader of the how-tos has: the checkout, without records."""
    for name in ("conftest.py", "pyproject.toml", "mkdocs.yml"):
        shutil.copy(ROOT / name, folder)
    for name in ("gradperf", "perf", "correctness", "docs", "results", "tests", ".github"):
        ignored = shutil.ignore_patterns("__pycache__", "*.json", "*.jsonl")
        shutil.copytree(ROOT / name, folder / name, ignore=None if name == "gradperf" else ignored)
    for name in ("README.md", "CONTRIBUTING.md"):
        shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site."""
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@NEEDS_MKDOCS
def test_site_asks_no_other_server(site):
    """What a page loads is its own; only links that a reader follows lead elsewhere."""
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        text = page.read_text()
        loaded = re.findall(r"<(?:script|img|iframe|source)[^>]*\ssrc=\"?([^\s\">]+)", text)
        loaded += re.findall(r"<link[^>]*\shref=\"?([^\s\">]+)", text)
        assert not [address for address in loaded if "//" in address and not address.startswith("data:")], page
        assert 'data-md-component="source"' not in text  # the number of stars comes from GitHub
    for style in site.rglob("*.css"):
        assert not re.findall(r"@import|url\(\s*[\"']?(?:https?:)?//", style.read_text()), style


@NEEDS_MKDOCS
def test_reference_names_every_option(site):
    """Each command and each of its options is in the reference, as is each exit code of the gate."""
    _, *sections = (site / "reference" / "commands.html").read_text().split('<h2 id="gradperf-')
    text = {section.partition('"')[0]: section for section in sections}
    commands = parser_of_commands()[1].choices
    assert list(text) == list(commands)
    for name, parser in commands.items():
        for option in re.findall(r"^  (--[a-z-]+)", parser.format_help(), re.MULTILINE):
            assert f"<code>{option}" in text[name]
    of_pytest = (site / "reference" / "pytest.html").read_text()
    assert all(f"<code>--{name}" in of_pytest for name in ("framework", "tier", "threads", "no-wait", "plant"))
    codes = (site / "reference" / "exit-codes.html").read_text()
    assert all(f"<td>{code}</td>" in codes for code in (0, 2, 10, 11, 12, 13))
    records = (site / "reference" / "records.html").read_text()
    assert all(
        f"<code>{key}</code>" in records for key in ("step_error", "benchmarks_finished", "reference_s", "ci_low")
    )


@NEEDS_MKDOCS
def test_text_below_an_item_of_a_list_belongs_to_it(site):
    """GitHub's lists are two columns wide, those of Python-Markdown four."""
    text = (site / "gate.html").read_text()
    item = re.search(r"<li>\s*<p><strong>Which benchmarks\.</strong>.*?</li>", text, re.DOTALL)
    assert item
    assert "tool.gradperf.gate" in re.sub(r"<[^>]+>", "", item[0])


@NEEDS_MKDOCS
@pytest.mark.parametrize(
    ("link", "message"),
    [
        ("[x](nowhere.md)", "a link 'nowhere.md', but the target is not found"),
        ("[x](gate.md#nowhere)", "does not contain an anchor '#nowhere'"),
        ("[x](../nowhere.py)", "index.md links to nowhere.py, which does not exist"),
        ("[x](/gate.html)", "absolute link"),
    ],
)
def test_wrong_link_fails_the_build(link, message, tmp_path):
    """Every kind of link is checked, also those to anchors and to files outside of ``docs``."""
    checkout = copy(tmp_path)
    with (checkout / "docs" / "index.md").open("a") as page:
        page.write(f"\n{link}\n")
    done = build(checkout, tmp_path / "site")
    assert done.returncode == 1
    assert message in done.stdout + done.stderr


FENCE = re.compile(r"(?:<!-- not run: (?P<reason>.+?) -->\n)?```(?P<info>\S+.*)\n(?P<text>(?:.*\n)*?)```\n")


def shell_lines(page):
    """Yield each command line of the shell fences of a page, and why it is not run."""
    for fence in FENCE.finditer(page.read_text().replace("\n  ```", "\n```")):
        if fence["info"] == "sh":
            for line in fence["text"].replace("\\\n", " ").splitlines():
                yield from ((part, fence["reason"]) for part in parts(line))


def parts(line):
    """Yield the words of each command in a line."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="&;")
    lexer.whitespace_split = True
    words = []
    for word in [*lexer, "&&"]:
        if word not in ("&&", ";"):
            words.append(word)
        elif words:
            yield words
            words = []


def call(words, program):
    """Return the arguments of a call of ``program``; None if the command is another one."""
    names = [Path(word).name for word in words]
    starts = [place for place, name in enumerate(names) if name == program and "/to/" not in words[place]]
    before = words[: starts[0]] if starts else []
    known = {"uvx", "--from", "pipx", "run", "--spec", "uv", "--with", "/path/to/gradperf"}
    return words[starts[0] + 1 :] if starts and all("=" in word or word in known for word in before) else None


def parser_of_commands():
    """Return a parser of the command line, and its commands."""
    parser = argparse.ArgumentParser(prog="gradperf")
    commands = parser.add_subparsers(required=True)
    for command in main.COMMANDS:
        command.add(commands.add_parser)
    return parser, commands


GRADPERF = [
    pytest.param(arguments, id=f"{page.stem}: {' '.join(arguments)}")
    for page in PAGES
    for words, _ in shell_lines(page)
    if (arguments := call(words, "gradperf")) is not None
]


@pytest.mark.parametrize("arguments", GRADPERF)
def test_shown_command_is_understood(arguments):
    """Each ``gradperf …`` line of a page has options that exist, and values that can be read."""
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    parser_of_commands()[0].parse_args(own)


def test_lines_are_found():
    """The tests above and below see the lines of the pages."""
    assert len(GRADPERF) > 40
    assert len(PYTEST) > 10
    assert len(RUN) > 5


STANDS_FOR = {"<style>": "by_hand", "<problem>": "tiny_3x2x1", "<framework>": "numpy", "<name>": "numpy"}


def pytest_lines():
    """Yield the arguments of each ``pytest`` line, once."""
    seen = set()
    for page in PAGES:
        for words, _ in shell_lines(page):
            arguments = call(words, "pytest")
            if arguments is not None and tuple(arguments) not in seen:
                seen.add(tuple(arguments))
                yield pytest.param(arguments, id=f"{page.stem}: {' '.join(arguments)}")


PYTEST = [*pytest_lines()]


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """A copy of the checkout, in which a reader has written the Python of the how-tos into the files they name."""
    checkout = copy(tmp_path_factory.mktemp("reader"))
    for page in HOW_TOS:
        for fence in FENCE.finditer(page.read_text()):
            if title := re.fullmatch(r'python title="(?P<file>[^",]+)(, in (?P<name>\w+))?"', fence["info"]):
                file = checkout / title["file"]
                if title["name"]:  # the first entry of this tuple
                    start = re.compile(rf"^({title['name']}\b.*\n)", re.MULTILINE)
                    text, found = start.subn(lambda line, new=fence["text"]: f"{line[1]}{new},", file.read_text())
                    assert found == 1
                else:
                    assert not file.exists()
                    text = fence["text"]
                file.write_text(text)
    return checkout


@pytest.mark.parametrize("arguments", PYTEST)
def test_shown_pytest_line_is_understood(arguments, reader):
    """Each line has options that pytest knows, and names that gradperf knows; ``--markers`` then ends the run."""
    if "-n" in arguments:
        pytest.importorskip("xdist", reason="the line needs pytest-xdist")
    if "--threads" in arguments and (os.cpu_count() or 1) < 2:
        pytest.skip("the line needs two CPUs")
    words = " ".join(arguments)
    for name, one in STANDS_FOR.items():
        words = words.replace(name, one)
    done = run_process([sys.executable, "-m", "pytest", *words.split(), "--markers"], reader, reader, {})
    assert done.returncode == 0, done.stderr


RUN = [
    pytest.param(program, arguments, id=f"{page.stem}: {program} {' '.join(arguments)}")
    for page in HOW_TOS
    for words, reason in shell_lines(page)
    for program in ("gradperf", "pytest")
    if reason is None and (arguments := call(words, program)) is not None
]


@pytest.mark.parametrize(("program", "arguments"), RUN)
def test_shown_line_of_a_how_to_works(program, arguments, reader):
    """Each line that is not marked ``not run``, with the reason, does what the how-to says."""
    done = run_process([sys.executable, "-m", program, *arguments], reader, reader, {})
    assert done.returncode == 0, done.stdout + done.stderr


GALLERY = sorted(path for path in (ROOT / "docs" / "gallery").iterdir() if path.is_dir())


def described(record):
    """Return what a page must say of a record: its date, its machine, its versions and its command."""
    if "benchmarks" in record:
        facts, machine = record["gradperf"], record["machine_info"]
        return [
            record["datetime"][:10],
            machine["cpu_model"],
            *machine["versions"].values(),
            " ".join(facts["command"]),
        ]
    if "case" in record:
        return [record["at"][:10], record["framework_version"], " ".join(record["command"])]
    environment = record["environment"]
    upgraded = re.findall(r"\d+(?:\.\d+)+", environment.get("upgraded", ""))
    command = environment["command"][: environment["command"].index("--json")]
    return [environment["date"], environment["cpu_model"], *upgraded, " ".join(command)]


@pytest.mark.parametrize("folder", GALLERY, ids=lambda folder: folder.name)
def test_gallery_says_what_each_report_is(folder):
    """By the records themselves; and no record holds a path of the machine that made it."""
    (section,) = re.findall(
        rf"^## (?:(?!^## ).)*\(gallery/{folder.name}\.html\).*?(?=^## |\Z)",
        (ROOT / "docs" / "gallery.md").read_text(),
        re.MULTILINE | re.DOTALL,
    )
    records = [record.read_text() for record in folder.glob("*.json")]
    assert records
    for record in records:
        assert not re.search(r"/(?:tmp|root|home|opt)/", record)
        for fact in described(json.loads(record)):
            assert fact in section


@NEEDS_MKDOCS
def test_gallery_has_its_reports(site):
    """Each is one page that asks for nothing, with what its records hold; together they are small."""
    pages = {page.stem: page.read_text() for page in (site / "gallery").glob("*.html")}
    assert sorted(pages) == [folder.name for folder in GALLERY]
    assert "<h1>Regressed</h1>" in pages["regression"]
    assert "numpy.by_hand_inplace" in pages["four-frameworks"]
    assert all("default-src 'none'" in page and len(page) < 10**6 for page in pages.values())
    stored = sum(file.stat().st_size for folder in GALLERY for file in folder.glob("*.json"))
    assert stored < 1.5e6
