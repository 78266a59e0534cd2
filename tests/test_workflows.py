"""What the workflows may do on GitHub: as little as they need, by code that cannot be exchanged behind our back."""

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / ".github" / "workflows"
PERFORMANCE = "performance.yml"


def objections(text):
    """List what must not be in a workflow. Read as text: pull requests from forks run it with what it says."""
    code = "\n".join(line.split(" #")[0] if not line.lstrip().startswith("#") else "" for line in text.splitlines())
    found = []
    if "\npermissions: {}\n" not in code:
        found.append("permissions are not taken away at the top")
    granted = re.findall(r"^ +permissions:(.*(?:\n {6}\S.*)*)", code, re.MULTILINE)
    found += [f"a job is granted {grant.strip()!r}" for grant in granted if grant != "\n      contents: read"]
    if "pull_request_target" in code or "workflow_run" in code:
        found.append("it is started with the rights of the target")
    if "secrets" in code or "github.token" in code:
        found.append("it uses a secret")
    found += [
        f"{action} is not pinned by a hash, with its version beside it"
        for action in re.findall(r"uses: *(.*)", text)
        if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)
    ]
    checkouts = re.split(r"uses: actions/checkout@", code)[1:]
    found += ["checkout leaves its token behind" for step in checkouts if "persist-credentials: false" not in step]
    if re.search(r"run:.*\$\{\{ *github\.(?:event|head_ref|base_ref)", code):
        found.append("what a pull request may be called becomes part of a command")
    return found


@pytest.mark.parametrize("name", sorted(file.name for file in FOLDER.glob("*.y*ml")))
def test_rights(name):
    """Read access alone, no secrets, no action that can change, nobody's token on the disk."""
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
    """Each right too much is noticed."""
    text = (FOLDER / PERFORMANCE).read_text()
    before, after = FAULTS[fault]
    assert before in text
    assert len(objections(text.replace(before, after))) == 1


def test_gate():
    """The gate has the history that it looks for its base in, ends some day, and is kept where it failed."""
    text = (FOLDER / PERFORMANCE).read_text()
    assert re.search(r"^on:\n  pull_request:\n\n", text, re.MULTILINE)
    assert re.search(r"^    timeout-minutes: \d+$", text, re.MULTILINE)
    assert "fetch-depth: 0" in text
    assert re.search(r"^      - run: gradperf gate --json ", text, re.MULTILINE)
    assert "if: ${{ !cancelled() }}" in text
    assert "continue-on-error" not in text
