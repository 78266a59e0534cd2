"""The workflows on GitHub have as few rights as they need, and run only actions that cannot change."""

import json
import re
import tomllib
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / ".github" / "workflows"
PERFORMANCE = "performance.yml"


def objections(text):
    """List what must not be in a workflow; the text is checked, as pull requests from forks run it as it is."""
    code = "\n".join(line.split(" #")[0] if not line.lstrip().startswith("#") else "" for line in text.splitlines())
    problems = []
    if "\npermissions: {}\n" not in code:
        problems.append("permissions are not taken away at the top")
    granted = re.findall(r"^ +permissions:(.*(?:\n {6}\S.*)*)", code, re.MULTILINE)
    problems += [f"a job is granted {grant.strip()!r}" for grant in granted if grant != "\n      contents: read"]
    if "pull_request_target" in code or "workflow_run" in code:
        problems.append("it is started with the rights of the target")
    if "secrets" in code or "github.token" in code:
        problems.append("it uses a secret")
    problems += [
        f"{action} is not pinned by a hash, with its version beside it"
        for action in re.findall(r"uses: *(.*)", text)
        if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)
    ]
    checkouts = re.split(r"uses: actions/checkout@", code)[1:]
    problems += [
        "checkout leaves its token behind" for step in checkouts if "persist-credentials: false" not in step
    ]
    if re.search(r"run:.*\$\{\{ *github\.(?:event|head_ref|base_ref)", code):
        problems.append("what a pull request may be called becomes part of a command")
    return problems


@pytest.mark.parametrize("name", sorted(file.name for file in FOLDER.glob("*.y*ml")))
def test_rights(name):
    """A workflow has read access alone, no secret, no action that can change and no token on the disk."""
    assert objections((FOLDER / name).read_text()) == []


FAULTS = {
    "every permission": ("permissions: {}", "permissions: write-all"),
    "a permission to write": ("      contents: read", "      contents: read\n      pull-requests: write"),
    "another one": ("      contents: read", "      contents: write"),
    "rights of the target": ("  pull_request:", "  pull_request_target:"),
    "a secret": ("gradperf gate", "TOKEN=${{ secrets.TOKEN }} gradperf gate"),
    "a tag": ("checkout@08eba0b27e820071cde6df949e0beb9ba4906955 # v4.3.0", "checkout@v4"),
    "an unknown version": (" # v4.6.2", ""),
    "a token left behind": ("persist-credentials: false", "persist-credentials: true"),
    "a branch's name": ("gradperf gate", "gradperf gate --base origin/${{ github.base_ref }}"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault(fault):
    """Each planted fault is found, and nothing else is."""
    text = (FOLDER / PERFORMANCE).read_text()
    before, after = FAULTS[fault]
    assert before in text
    assert len(objections(text.replace(before, after))) == 1


def test_versions():
    """The tests run on every Python that the package says it supports."""
    project = tomllib.loads((FOLDER.parents[1] / "pyproject.toml").read_text())["project"]
    supported = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    (tested,) = re.findall(r"^        python: (\[.*\])$", (FOLDER / "ci.yml").read_text(), re.MULTILINE)
    assert json.loads(tested) == supported
    assert f">={supported[0]}" == project["requires-python"]


def test_gate():
    """The gate has the whole history, a time limit, and keeps its record if it fails."""
    text = (FOLDER / PERFORMANCE).read_text()
    assert re.search(r"^on:\n  pull_request:\n\n", text, re.MULTILINE)
    assert re.search(r"^    timeout-minutes: \d+$", text, re.MULTILINE)
    assert "fetch-depth: 0" in text
    assert re.search(r"^      - run: gradperf gate --json ", text, re.MULTILINE)
    assert "if: ${{ !cancelled() }}" in text
    assert "continue-on-error" not in text
