"""Keeps one comment on a pull request up to date: ``python -m gradperf.gate.report.comment REPORT EXIT_CODE``.

It runs in the last step of ``action.yml``. The comment is known by a marker in its last line. A token that may not
write, as in a pull request from a fork, is no failure: the report is in the step's summary anyway. So is nothing
else that goes wrong here: the gate alone decides.
"""

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

MARKER = "<!-- gradperf gate -->"
MOST_PAGES = 20
"""Pages of a hundred comments that are searched for ours."""
TIMEOUT_S = 30.0
_TRUSTED = ("OWNER", "MEMBER", "COLLABORATOR")


class Api:
    """GitHub's interface for the comments on one pull request."""

    def __init__(self, environ: Mapping[str, str], number: int) -> None:
        self._url = environ.get("GITHUB_API_URL", "https://api.github.com").rstrip("/")
        self._repository = f"{self._url}/repos/{environ['GITHUB_REPOSITORY']}"
        self._comments = f"{self._repository}/issues/{number}/comments"
        self._token = environ.get("TOKEN", "")

    def comments(self) -> Iterator[dict[str, Any]]:
        """Yield the comments, the oldest first."""
        for page in range(1, MOST_PAGES + 1):
            found = self._ask("GET", f"{self._comments}?per_page=100&page={page}")
            yield from found
            if len(found) < 100:
                return

    def write(self, body: str, comment: int | None) -> None:
        """Replace the text of a comment; without one, write a new comment."""
        if comment is None:
            self._ask("POST", self._comments, body)
        else:
            self._ask("PATCH", f"{self._repository}/issues/comments/{comment}", body)

    def _ask(self, method: str, url: str, body: str | None = None) -> Any:
        request = urllib.request.Request(  # noqa: S310 - GitHub says where its interface is
            url, method=method, data=None if body is None else json.dumps({"body": body}).encode()
        )
        request.add_header("Authorization", f"Bearer {self._token}")
        request.add_header("Accept", "application/vnd.github+json")
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310 - the same
            return json.load(answer)


def text(report: Path, code: str, environ: Mapping[str, str]) -> str:
    """Return the comment: the report, which run it is of, and the marker."""
    try:
        found = report.read_text(encoding="utf-8")
    except OSError:
        found = (
            f"## gradperf gate: no report\n\nThe gate ended with exit code {code or 'unknown'} before it could "
            "compare. The log of the run says why.\n"
        )
    run = "{}/{}/actions/runs/{}".format(
        *(environ.get(f"GITHUB_{name}", "") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID"))
    )
    # The verdict stands in the first line, where a mail about the comment begins.
    return f"{found}\n<sub>[The run that this is of]({run}).</sub>\n\n{MARKER}\n"


def own(comments: Iterator[dict[str, Any]]) -> int | None:
    """Return the comment to replace; one that a stranger wrote with our marker is not ours."""
    for comment in comments:
        is_trusted = comment["user"]["type"] == "Bot" or comment.get("author_association") in _TRUSTED
        if is_trusted and (comment["body"] or "").rstrip().endswith(MARKER):
            return int(comment["id"])
    return None


def pull_request(environ: Mapping[str, str]) -> int | None:
    """Return the number of the pull request that started this run, if one did."""
    try:
        event = json.loads(Path(environ["GITHUB_EVENT_PATH"]).read_text(encoding="utf-8"))
        return int(event["pull_request"]["number"])
    except (KeyError, OSError, TypeError, ValueError):
        return None


def main() -> int:
    """Write the comment, or say why there is none."""
    report, code = sys.argv[1:]
    number = pull_request(os.environ)
    if number is None:
        print("::notice title=gradperf gate::no comment: this run is not of a pull request")
        return 0
    try:
        api = Api(os.environ, number)
        api.write(text(Path(report), code, os.environ), own(api.comments()))
    except urllib.error.HTTPError as error:
        if error.code in (401, 403, 404):
            reason = (
                "the token may not write. A pull request from a fork never may; in others the job needs "
                "the permission pull-requests: write"
            )
            print(f"::notice title=gradperf gate::no comment: {reason}. The report is in the summary of the run.")
        else:
            print(f"::warning title=gradperf gate::no comment: GitHub answered {error.code} {error.reason}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        said = " ".join(str(error).split())
        print(f"::warning title=gradperf gate::no comment: GitHub could not be asked: {said}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
