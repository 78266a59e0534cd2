"""The action: its steps are run by bash as GitHub would, against a small server in place of GitHub's interface."""

import json
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gradperf.gate.report import comment
from tests.conftest import ROOT
from tests.gate.repositories import git, make, write
from tests.gate.suites import QUIET, environment

yaml = pytest.importorskip("yaml")

ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
STEPS = {step.get("name", step.get("id")): step for step in ACTION["runs"]["steps"]}
FAST, SLOW = (f"def work():\n    for _ in range({count}):\n        pass\n" for count in (5_000, 40_000))
SUITE = "import project\n\ndef test_work(benchmark):\n    benchmark(project.work)\n"
QUICK = "--screen 3 --confirm 5 --alpha 0.5 --min-effect '50%'"

# The programs of gradperf's own environment, which find this checkout in isolation too.
START = f"import sys; sys.path.insert(0, '{ROOT}'); from gradperf.commands.main import main; sys.exit(main())"
MODULE = (
    f"import runpy, sys; sys.path.insert(0, '{ROOT}'); del sys.argv[:2]; "
    "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
)
PROGRAM = f'#!/bin/sh\nexec {sys.executable} -c "{START}" "$@"\n'
PYTHON = f'''#!/bin/sh
if [ "$2" = -m ]; then shift; exec {sys.executable} -c "{MODULE}" "$@"; fi
exec {sys.executable} "$@"
'''


class Server(ThreadingHTTPServer):
    """What GitHub would do with comments."""

    def __init__(self):
        """Start without a comment."""
        self.comments, self.asked, self.refusal = [], [], None
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    """Answers requests for comments."""

    def answer(self):
        """Note what was asked, and do it or refuse it."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append((self.command, self.path, self.headers["Authorization"]))
        refused = self.server.refusal and self.command != "GET"
        found = {} if refused else self.found(json.loads(body or b"null"))
        self.send_response(self.server.refusal if refused else 200)
        self.end_headers()
        self.wfile.write(json.dumps(found).encode())

    def found(self, body):
        """Do what was asked with the comments."""
        if self.command == "GET":
            page = int(re.search(r"&page=(\d+)", self.path)[1])
            return self.server.comments[100 * (page - 1) : 100 * page]
        if self.command == "POST":
            number = len(self.server.comments)
            self.server.comments.append({"id": number, "user": {"type": "Bot"}, "body": body["body"]})
        else:
            (one,) = [one for one in self.server.comments if self.path.endswith(f"/{one['id']}")]
            one["body"] = body["body"]
        return {}

    do_GET = do_POST = do_PATCH = answer  # noqa: N815 - the names that the library calls

    def log_message(self, *_):
        """Print nothing."""


@pytest.fixture
def server():
    """Return a server that runs."""
    with Server() as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture
def job(tmp_path, server):
    """Return ``job(name, …)``, which runs a step as a job of a pull request does."""
    make(tmp_path / "repo", {"project.py": FAST, "bench/test_work.py": SUITE})
    git(tmp_path / "repo", "switch", "--quiet", "-c", "change")
    runner = tmp_path / "runner"
    own = runner / "gradperf" / "bin"
    write(own, {"gradperf": PROGRAM, "python": PYTHON})
    for file in own.iterdir():
        file.chmod(0o755)
    write(tmp_path, {"event.json": json.dumps({"pull_request": {"number": 7}}), "output": "", "summary": ""})

    def run(name, inputs=(), outputs=()):
        known = {key: one.get("default", "") for key, one in ACTION["inputs"].items()} | dict(inputs)
        known["token"] = "secret-token"  # noqa: S105 - for a server of our own

        def value(text):
            found = re.sub(r"\$\{\{ inputs\.(\w+) \}\}", lambda match: str(known[match[1]]), str(text))
            return re.sub(r"\$\{\{ steps\.(\w+)\.outputs\.([\w-]+) \}\}", lambda m: dict(outputs)[m[2]], found)

        step = STEPS[name]
        (tmp_path / "script").write_text(step["run"])
        done = subprocess.run(
            ["/bin/bash", "--noprofile", "--norc", "-eo", "pipefail", tmp_path / "script"],
            cwd=tmp_path / "repo" / value(step.get("working-directory", ".")),
            env=environment(
                **{key: value(text) for key, text in step["env"].items()},
                TMPDIR=str(tmp_path),
                RUNNER_TEMP=str(runner),
                GITHUB_ACTIONS="true",
                GITHUB_ACTION_PATH=str(ROOT),
                GITHUB_API_URL=server.url,
                GITHUB_BASE_REF="",
                GITHUB_EVENT_PATH=str(tmp_path / "event.json"),
                GITHUB_OUTPUT=str(tmp_path / "output"),
                GITHUB_REPOSITORY="someone/project",
                GITHUB_RUN_ID="42",
                GITHUB_SERVER_URL="https://github.example",
                GITHUB_STEP_SUMMARY=str(tmp_path / "summary"),
            ),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run


def outputs(tmp_path):
    """Return what a step has set."""
    return dict(line.split("=", 1) for line in (tmp_path / "output").read_text().splitlines())


def test_slower(job, server, tmp_path):
    """A slower pull request fails; the report is in the summary and in one comment, which the next run replaces."""
    write(tmp_path / "repo", {"project.py": SLOW})
    words = {
        "arguments": f"bench {' '.join(QUIET)} --deselect '$(touch {tmp_path}/hacked) x' -k \"work\"",
        "options": QUICK,
    }
    done = job("Gate", words)
    assert done.returncode == 10, done.stdout + done.stderr
    found = outputs(tmp_path)
    assert found["exit-code"] == "10"
    assert json.loads(Path(found["record"]).read_text())["verdict"] == "regressed"
    assert (tmp_path / "summary").read_text().startswith("## gradperf gate: regressed – 1 of 1 case slower\n")
    assert "::error title=gradperf gate%3A regressed::bench/test_work.py" in done.stdout
    assert "secret-token" not in str(done)
    assert not (tmp_path / "hacked").exists()

    assert job("Comment", outputs=found).returncode == 0
    (posted,) = server.comments
    assert posted["body"].startswith("## gradperf gate: regressed – ")
    assert posted["body"].endswith(f"\n{comment.MARKER}\n")
    assert "https://github.example/someone/project/actions/runs/42" in posted["body"]
    assert server.asked[-1] == ("POST", "/repos/someone/project/issues/7/comments", "Bearer secret-token")

    write(tmp_path / "repo", {"project.py": FAST})
    assert job("Gate", words).returncode == 0
    assert job("Comment", outputs=outputs(tmp_path)).returncode == 0
    (posted,) = server.comments
    assert posted["body"].startswith("## gradperf gate: identical – ")


@pytest.mark.parametrize("word", ["--no-such-option", "'unbalanced"])
def test_no_report(job, server, tmp_path, word):
    """A mistake in the inputs fails, and the comment does not go on showing an old report."""
    (tmp_path / "runner" / "gradperf-gate.md").write_text("## old")
    done = job("Gate", {"options": word})
    assert done.returncode == 2
    assert "no-such-option" in done.stderr or 'the input "options" has a quote without its end' in done.stderr
    found = {"exit-code": "", **outputs(tmp_path)}
    assert job("Comment", outputs=found).returncode == 0
    (posted,) = server.comments
    assert posted["body"].startswith("## gradperf gate: no report\n")


@pytest.mark.parametrize("code", [401, 403, 404])
def test_from_a_fork(job, server, tmp_path, code):
    """A token that may not write is no failure."""
    server.refusal = code
    done = job("Comment", outputs={"exit-code": "0", "report": str(tmp_path / "summary")})
    assert done.returncode == 0
    assert done.stdout.startswith("::notice title=gradperf gate::no comment: the token may not write.")


def test_github_is_out_of_order(job, server, tmp_path):
    """What goes wrong on GitHub's side is a warning."""
    server.refusal = 500
    ended = {"exit-code": "0", "report": str(tmp_path / "summary")}
    assert "::warning title=gradperf gate::no comment: GitHub answered 500" in job("Comment", outputs=ended).stdout
    server.shutdown()
    server.server_close()
    done = job("Comment", outputs=ended)
    assert done.returncode == 0
    assert "::warning title=gradperf gate::no comment: GitHub could not be asked" in done.stdout


def test_no_pull_request(job, server, tmp_path):
    """A push has nothing to comment on."""
    (tmp_path / "event.json").write_text("{}")
    done = job("Comment", outputs={"exit-code": "0", "report": ""})
    assert (done.returncode, server.asked) == (0, [])
    assert "not of a pull request" in done.stdout


def test_own_comment():
    """Ours is found among many; one of a stranger with our marker is not ours, nor is one that quotes it."""

    def one(id_, body, type_="Bot", **more):
        return {"id": id_, "body": body, "user": {"type": type_}, **more}

    mine = f"## x\n\n{comment.MARKER}\n"
    assert comment.own(iter([one(1, None), one(2, mine + "no"), one(3, mine, "User"), one(4, mine)])) == 4
    assert comment.own(iter([one(1, mine, "User", author_association="MEMBER")])) == 1
    assert comment.own(iter([one(1, mine, "User", author_association="NONE")])) is None


def test_pages(server):
    """All pages of comments are searched."""
    server.comments = [{"id": n, "body": "", "user": {"type": "User"}} for n in range(250)]
    api = comment.Api({"GITHUB_API_URL": server.url, "GITHUB_REPOSITORY": "a/b"}, 7)
    assert [one["id"] for one in api.comments()] == list(range(250))
    assert len(server.asked) == 3


def test_install(job, tmp_path):
    """It gets an environment of its own, with the version of the action."""
    log = tmp_path / "log"
    shell = f'#!/bin/sh\necho "$0 $*" >> {log}\n'
    write(tmp_path, {"python": shell})
    write(tmp_path / "runner" / "gradperf" / "bin", {"python": shell})
    (tmp_path / "python").chmod(0o755)
    assert job("Install gradperf", outputs={"python-path": str(tmp_path / "python")}).returncode == 0
    made, installed = log.read_text().splitlines()
    assert made == f"{tmp_path}/python -m venv {tmp_path}/runner/gradperf"
    assert installed.startswith(f"{tmp_path}/runner/gradperf/bin/python -m pip install ")
    assert installed.endswith(f" {ROOT}")


def test_documented():
    """The workflow in the documentation is valid, pins what our own pins, and knows the inputs and outputs."""
    page = (ROOT / "docs" / "gate.md").read_text().partition("## On GitHub")[2]
    (workflow,) = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(on:.*?)```", page, re.DOTALL))
    job = workflow["jobs"]["gate"]
    assert (workflow[True], workflow["permissions"]) == ("pull_request", {})  # YAML takes `on` for true
    assert job["permissions"] == {"contents": "read", "pull-requests": "write"}
    checkout, setup, _, gated = job["steps"]
    own = (ROOT / ".github" / "workflows" / "performance.yml").read_text()
    assert all(f"{step['uses']} # v" in own and f"{step['uses']} # v" in page for step in (checkout, setup))
    assert checkout["with"] == {"fetch-depth": 0, "persist-credentials": False}
    assert set(gated["with"]) <= set(ACTION["inputs"])
    assert re.findall(r"^\| `([\w-]+)` \|", page, re.MULTILINE) == list(ACTION["inputs"])
    assert all(f"`{name}`" in page for name in ACTION["outputs"])


def test_rights():
    """No input becomes part of a script, the token is in one step alone, and other actions cannot change."""
    text = (ROOT / "action.yml").read_text()
    assert "pull_request_target`: it runs" in text
    for step in STEPS.values():
        assert "${{" not in step.get("run", "")
    assert [name for name, step in STEPS.items() if "inputs.token" in str(step)] == ["Comment"]
    assert " -I -m " in STEPS["Comment"]["run"]
    assert "secrets" not in text
    for action in re.findall(r"uses: *(.*)", text):
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)
