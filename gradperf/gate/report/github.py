"""The gate on GitHub: annotations on the run, and the report in its summary.

GitHub shows ten annotations of each kind and drops the others, so the tenth says how many were left out.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from gradperf.gate.decision.findings import ControlResult, Finding, Outcome, Verdict
from gradperf.gate.report import markdown, sentences, words
from gradperf.text.printable import clean, plain

MOST = 10


def in_actions(outcome: Outcome, environ: Mapping[str, str], ascii_only: bool = False) -> list[str]:
    """Append the report to the summary of the step; return the lines to print. Do nothing outside GitHub."""
    if environ.get("GITHUB_ACTIONS") != "true":
        return []
    lines = annotations(outcome, ascii_only)
    if summary := environ.get("GITHUB_STEP_SUMMARY"):
        try:
            with Path(summary).open("a", encoding="utf-8") as file:
                file.write(markdown.markdown(outcome))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            lines.append(_command("warning", "no summary", f"{summary}: cannot be written: {reason}", ascii_only))
    return lines


def annotations(outcome: Outcome, ascii_only: bool = False) -> list[str]:
    """Return workflow commands: errors for what fails the gate, warnings for what could not be decided."""
    failed = _controls(outcome, "failed")
    # A failed control withdraws what was measured, not that a case is missing or returns something else.
    urgent = [verdict for verdict in words.URGENT if not failed or verdict not in ("regressed", "suspect")]
    errors = [*failed, *_messages(outcome.cases, *urgent), *_messages(outcome.groups, *urgent, what="group ")]
    if outcome.exit_code and not errors:
        errors = [(outcome.verdict, sentences.headline(outcome))]
    warnings = [("warning", warning) for warning in outcome.warnings]
    warnings += [*_controls(outcome, "not seen"), *_messages(outcome.cases, "unstable", "inconclusive")]
    return [*_lines("error", errors, ascii_only), *_lines("warning", warnings, ascii_only)]


def _controls(outcome: Outcome, result: ControlResult) -> list[tuple[str, str]]:
    controls = [control for control in outcome.controls if control.result == result]
    return [(f"control {result}", sentences.describe_control(control)) for control in controls]


def _messages(findings: Sequence[Finding], *verdicts: Verdict, what: str = "") -> list[tuple[str, str]]:
    """Return title and text of each finding with one of ``verdicts``."""
    return [
        (
            one.verdict,
            f"{what}{one.id}: {one.reason or (one.verdict if one.ratio is None else words.measured_text(one))}",
        )
        for one in words.not_accepted(findings, *verdicts)
    ]


def _lines(kind: str, messages: Sequence[tuple[str, str]], ascii_only: bool) -> list[str]:
    shown = messages if len(messages) <= MOST else messages[: MOST - 1]
    lines = [_command(kind, title, text, ascii_only) for title, text in shown]
    if rest := len(messages) - len(shown):
        lines.append(_command(kind, "and more", f"{rest} more are in the report of the gate.", ascii_only))
    return lines


def _command(kind: str, title: str, text: str, ascii_only: bool) -> str:
    message = plain(clean(text, 4 * words.REASON_LENGTH), ascii_only)
    heading = plain(f"gradperf gate: {title}", ascii_only)
    return f"::{kind} title={_escaped(heading).replace(':', '%3A').replace(',', '%2C')}::{_escaped(message)}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
