"""``gradperf gate``: did a change make any benchmark slower?

Exit codes: 0 no regression; 10 regressed; 11 suspect (something looks slower, but that is not proven), or
inconclusive with ``--strict`` (without it 0 and a warning); 12 untrusted; 13 nothing compared, or a case vanished
or crashed; 2 a mistake in the command.
"""

import argparse
import os
import random
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradperf import files, options
from gradperf.commands import AddParser, add_json, add_value
from gradperf.errors import UserError
from gradperf.progress.display import on_stderr
from gradperf.text import streams
from gradperf.text.table import Terminal

if TYPE_CHECKING:  # they take time to import
    from gradperf.gate.decision.findings import Outcome
    from gradperf.gate.decision.trial import Plan
    from gradperf.gate.sides.prepare import Sides


def add(add_parser: AddParser) -> None:
    """Add the command and its options."""
    parser = add_parser(
        "gate",
        help="compare two revisions: did a change make any benchmark slower?",
        usage="gradperf gate [OPTION ...] [-- PYTEST_ARGUMENT ...]",
        epilog="Arguments after -- go to pytest and choose the benchmarks: gradperf gate -- perf -k jax",
    )
    option = parser.add_argument
    option("--base", metavar="REV", help="revision to compare with (default: the merge base with the main branch)")
    option(
        "--base-python",
        metavar="PATH",
        help="Python interpreter of the base, for instance with another version of a framework",
    )
    option("--head-python", metavar="PATH", help="Python interpreter of the head (default: that of --python)")
    add_shared(parser, python="Python interpreter of both sides")
    option("--even-if-identical", action="store_true", help="measure even if nothing changed")
    parser.set_defaults(command=gate_change)


def add_shared(parser: argparse.ArgumentParser, python: str) -> None:
    """Add the options of every command that gates: how it measures, decides and reports.

    ``python`` says what the interpreter is for.
    """
    option, value = parser.add_argument, partial(add_value, parser)
    positive, whole = options.positive_number, options.whole_number
    where = "that of the active environment, of .venv or venv in the project's folder, or the one that runs this"
    option("--python", metavar="PATH", help=f"{python} (default: {where})")
    value("--alpha", "P", options.share(most=0.5), 0.01, "at most this share of runs may raise a false alarm")
    value("--min-effect", "SHARE", options.share(zero=True), "1%", "slowdowns up to this share are no regression")
    value("--screen", "N", whole(3), 8, "pairs of processes for all cases")
    # With fewer, each look sees too few pairs to tell a slower case from a hopeless one, and drops all cases.
    value("--confirm", "N", whole(5), 24, "fresh pairs for what looks slower; as many again if in doubt")
    value("--budget", "MINUTES", positive, None, "stop after this time; undecided cases are inconclusive")
    add_json(parser)
    option("--markdown", metavar="FILE", type=Path, help="write a comment for a pull request to FILE")
    option("--html", metavar="FILE", type=Path, help="write the report as a page to FILE; needs gradperf[report]")
    option("--strict", action="store_true", help="exit with 11 if a case is inconclusive")
    accept = (
        "allow this case to be slower, fail, differ or be gone, or a changed file not to be compared; "
        "* in it means any characters; needs --reason; may be repeated"
    )
    option("--accept", metavar="CASE", action="append", default=[], help=accept)
    option("--reason", metavar="TEXT", action="append", default=[], help="reason for --accept; one for each")
    value("--seed", "N", whole(0), None, "seed of the random order (default: a new one; the report shows it)")
    value("--patience", "SECONDS", positive, "300", "seconds without an answer before a process counts as hung")
    plant = "add this share of work to a case of the head, to test the gate: CASE=5%%; * matches any characters"
    option("--plant", metavar="CASE=SHARE", type=options.planted, action="append", default=[], help=plant)


def gate_change(parsed: argparse.Namespace, **facts: Any) -> int:
    """Compare base and head, and report the outcome; ``facts`` are for the record."""
    from gradperf.gate import session
    from gradperf.gate.janitor import Janitor
    from gradperf.gate.measuring import provenance
    from gradperf.gate.measuring.replicate import Setting
    from gradperf.gate.sides import checkout, prepare, project_python, pytest_arguments

    plan, accepted = check(parsed)
    cwd = Path.cwd()
    arguments = parsed.pytest_arguments or pytest_arguments.configured(cwd)
    with checkout.lock(cwd), _signals_end_the_gate(), Janitor() as janitor, on_stderr("gate") as display:
        python = sys.executable
        if None in (parsed.base_python, parsed.head_python):
            chosen = project_python.choose(parsed.python, cwd, os.environ)
            display.say(f"Python: {chosen.python}, {chosen.reason}")
            python = chosen.python
        display.show("copying both sides")
        sides = prepare.prepare(parsed.base, parsed.base_python, parsed.head_python, cwd, janitor, python)
        display.clear()
        if sides.checkout is not None:
            arguments = [pytest_arguments.relative(cwd, sides.checkout, argument) for argument in arguments]
        display.say(f"base: {sides.base.description}")
        display.say(f"head: {sides.head.description}")
        request = session.Request(
            setting=Setting(
                base=sides.base,
                head=sides.head,
                arguments=arguments,
                control=None,
                planted={},
                foreign=sides.checkout,
                changes_code=provenance.changes_code(sides.changed, accepted, (sides.base.root, sides.head.root)),
                folder=sides.folder,
                janitor=janitor,
                patience_s=parsed.patience,
                changed=sides.changed,
                separate=sides.separate,
                distributions=sides.distributions,
                controls=sides.controls,
            ),
            plan=plan,
            planted=dict(parsed.plant),
            accepted=accepted,
            seed=random.SystemRandom().randrange(2**32) if parsed.seed is None else parsed.seed,
            strict=parsed.strict,
            budget_s=None if parsed.budget is None else 60 * parsed.budget,
            list_only=_is_listed_only(sides, arguments) and not parsed.even_if_identical and not parsed.plant,
            environment={
                "command": ["gradperf", *sys.argv[1:]],
                "pytest": arguments,
                "base": sides.base.description,
                "head": sides.head.description,
                **sides.environment,
                "changed_files": len(sides.changed),
                **facts,
                **session.machine_facts(),
            },
            warnings=(*sides.warnings, *_hints(sides, parsed)),
        )
        outcome = session.run(request, display)
    return _report(outcome, parsed)


def _is_listed_only(sides: "Sides", arguments: Sequence[str]) -> bool:
    """Return whether nothing has to be timed: the sides are identical in all that a benchmark could depend on."""
    from gradperf.gate.sides import documentation, pytest_arguments

    sources = [
        place for side in (sides.base, sides.head) for place in pytest_arguments.places(side.folder, arguments)
    ]
    return sides.identical and not (sides.changed and documentation.is_read(sources, sides.changed))


def check(parsed: argparse.Namespace) -> tuple["Plan", dict[str, str]]:
    """Return the plan and the accepted cases; raise UserError for options that cannot be, before any work."""
    plan, accepted = _plan(parsed), _accepted(parsed)
    for option, file in (("--json", parsed.json), ("--markdown", parsed.markdown), ("--html", parsed.html)):
        if file is not None:
            files.check_can_write(option, file)
    if parsed.html is not None:
        from gradperf.report import page

        page.check_can_render()
    return plan, accepted


def _plan(parsed: argparse.Namespace) -> "Plan":
    from gradperf.gate.decision import trial

    least = trial.least_pairs(parsed.alpha)
    if parsed.confirm < least:
        raise UserError(
            f"--confirm {parsed.confirm}: too few pairs to reach p ≤ {parsed.alpha:g}; at least {least} are needed"
        )
    return trial.Plan(**{name: getattr(parsed, name) for name in ("alpha", "min_effect", "screen", "confirm")})


def _accepted(parsed: argparse.Namespace) -> dict[str, str]:
    """Return the reason of each accepted case."""
    if len(parsed.accept) != len(parsed.reason) or not all(text.strip() for text in parsed.reason):
        raise UserError("every --accept CASE needs its own --reason TEXT; the report shows it")
    return dict(zip(parsed.accept, parsed.reason, strict=True))


@contextmanager
def _signals_end_the_gate() -> Iterator[None]:
    """Clean up after SIGTERM and SIGHUP as after Ctrl-C."""

    def end(number: int, _: Any) -> None:
        raise SystemExit(128 + number)

    # A signal that is ignored stays ignored: `nohup` relies on that.
    numbers = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) != signal.SIG_IGN]
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _hints(sides: "Sides", parsed: argparse.Namespace) -> list[str]:
    """Return a hint for each option that the user may have needed."""
    if sides.checkout is None:
        if sides.identical:
            return ["both sides are your own files, run by equal interpreters; --base REV compares with a revision"]
        return []
    hints = []
    if not sides.changed and parsed.base is None:
        hints.append("nothing changed since the branch left main; --base HEAD~1 compares with the commit before")
    pins = [path for path in sides.changed if Path(path).name.startswith(_PINS) or path.endswith(".lock")]
    if pins and parsed.base_python is None:
        hints.append(
            f"{pins[0]} changed: if it requires other packages, both sides still ran with those installed; "
            "--base-python compares two environments"
        )
    return hints


_PINS = ("pyproject.toml", "setup.py", "setup.cfg", "requirements", "constraints", "environment.y")


def _report(outcome: "Outcome", parsed: argparse.Namespace) -> int:
    """Print the report, write the files and return the exit code; what cannot be written is no success."""
    from gradperf.gate.report import github, markdown, record, terminal

    output = Terminal.of_output()
    lines = terminal.lines(outcome, output)
    errors = _print([*lines, *github.in_actions(outcome, os.environ, output.ascii_only)])
    for file, text in ((parsed.json, record.dumps), (parsed.markdown, markdown.markdown), (parsed.html, _page)):
        try:
            if file is not None:
                files.write(file, text(outcome))
        except UserError as error:
            errors.append(str(error))
    for message in errors:
        streams.say(f"gradperf: {message}")
    return outcome.exit_code or (2 if errors else 0)


def _page(outcome: "Outcome") -> str:
    from gradperf.gate.report import record
    from gradperf.report import gate, page

    return page.gate_html(gate.gather(record.record(outcome)))


def _print(lines: Sequence[str]) -> list[str]:
    """Print the report and return the error, if any; a closed pipe, as after ``| head``, is none."""
    try:
        print("\n".join(lines), flush=True)
    except OSError as error:
        streams.silence(sys.stdout)
        if not isinstance(error, BrokenPipeError):
            return [f"the report cannot be printed: {error.strerror}"]
    return []
