"""The command ``gradperf gate``: what it was asked, done and told.

Exit codes: 0 no regression; 10 regressed; 11 inconclusive (with ``--strict``; without it 0 and a warning);
12 untrusted; 13 nothing compared, or a case vanished or crashed; 2 a mistake in the command.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gradperf import options
from gradperf.commands import show
from gradperf.errors import UserError
from gradperf.gate import session
from gradperf.gate.decision import trial
from gradperf.gate.decision.findings import Finding, Outcome
from gradperf.gate.janitor import Janitor
from gradperf.gate.measuring.replicate import Cannot, Setting, collected_both
from gradperf.gate.report import github, markdown, record, terminal
from gradperf.gate.sides import checkout, prepare
from gradperf.suite import storage
from gradperf.text import streams

SIGNS = "×–µ …·"
"""What the report is written in, where the terminal can show it."""


def gate(parsed: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Compare base and head, and tell; ``arguments`` are those for pytest."""
    plan = _plan(parsed)
    accepted = _accepted(parsed)
    planted = _planted(parsed.plant)
    budget_s = None if parsed.budget is None else 60 * _positive("budget", parsed.budget)
    patience_s = _positive("patience", parsed.patience)
    seed = random.SystemRandom().randrange(2**32)
    if parsed.seed is not None:
        seed = options.whole_number("seed", parsed.seed, least=0)
    for option, file in (("--json", parsed.json), ("--markdown", parsed.markdown)):
        if file is not None:
            storage.check_can_write(option, file)
    cwd = Path.cwd()
    arguments = list(arguments) or _default_arguments(cwd)
    with checkout.lock(cwd), _ended_by_signals(), Janitor() as janitor:
        both = prepare.prepare(parsed.base, parsed.base_python, parsed.head_python, cwd, janitor)
        if both.checkout is not None:
            arguments = [_seen_from(cwd, both.checkout, word) for word in arguments]
        setting = Setting(
            base=both.base,
            head=both.head,
            arguments=arguments,
            control=None,
            planted={},
            foreign=both.checkout,
            changes_code=any(map(_is_code, both.changed)),
            folder=both.folder,
            janitor=janitor,
            patience_s=patience_s,
        )
        _tell(f"base: {both.base.description}")
        _tell(f"head: {both.head.description}")
        environment = {
            "command": ["gradperf", *sys.argv[1:]],
            "pytest": arguments,
            "base": both.base.description,
            "head": both.head.description,
            **both.environment,
            "changed_files": len(both.changed),
            **session.described_machine(),
        }
        warnings = [*both.warnings, *_hints(both, parsed)]
        try:
            if both.identical and not parsed.even_if_identical and not planted:
                outcome = _identical(setting, plan, seed, environment, warnings)
            else:
                outcome = session.compare(
                    setting,
                    plan,
                    planted=planted,
                    seed=seed,
                    accepted=accepted,
                    strict=parsed.strict,
                    budget_s=budget_s,
                    environment=environment,
                    warnings=warnings,
                    tell=_progress,
                )
        except Cannot as reason:
            outcome = _nothing(str(reason), plan, seed, environment, warnings)
        if sys.stderr.isatty():
            streams.say("")
    return _told(outcome, parsed)


def _is_code(path: str) -> bool:
    name = Path(path).name
    return name.endswith(".py") and not name.startswith(("test_", "conftest")) and not name.endswith("_test.py")


def _hints(both: prepare.Sides, parsed: argparse.Namespace) -> list[str]:
    """Tell what the user may have meant instead."""
    told = []
    if both.checkout is None:
        if both.identical:
            told.append("both sides are your own files by equal interpreters; --base REV compares with a revision")
        return told
    if not both.changed and parsed.base is None:
        told.append("nothing differs from where the branch left main; --base HEAD~1 compares with the last commit")
    pins = [path for path in both.changed if Path(path).name.startswith(_PINS) or path.endswith(".lock")]
    if pins and parsed.base_python is None:
        told.append(
            f"{pins[0]} changed: where it asks for other packages, both sides still ran with those installed; "
            "--base-python compares two environments"
        )
    return told


_PINS = ("pyproject.toml", "setup.py", "setup.cfg", "requirements", "constraints", "environment.y")


def _plan(parsed: argparse.Namespace) -> trial.Plan:
    alpha = _share("alpha", parsed.alpha)
    if alpha > 0.5:
        raise UserError(f"--alpha {parsed.alpha}: more than one run of two would alarm without a reason")
    plan = trial.Plan(
        alpha=alpha,
        min_effect=_share("min-effect", parsed.min_effect, zero=True),
        screen=options.whole_number("screen", parsed.screen, least=3),
        # Of fewer, the looks in between have too few to tell a slower case from a hopeless one: all are dropped.
        confirm=options.whole_number("confirm", parsed.confirm, least=5),
    )
    if plan.confirm < (least := trial.least_pairs(alpha)):
        raise UserError(f"--confirm {plan.confirm}: could never come to p ≤ {alpha:g}; it takes {least} or more")
    return plan


def _accepted(parsed: argparse.Namespace) -> dict[str, str]:
    if len(parsed.accept) != len(parsed.reason) or not all(text.strip() for text in parsed.reason):
        raise UserError("every --accept CASE takes a --reason TEXT of its own, for those who read the report")
    return dict(zip(parsed.accept, parsed.reason, strict=True))


def _planted(values: Sequence[str]) -> dict[str, float]:
    planted = {}
    for value in values:
        case, equals, share = value.rpartition("=")
        if not equals or not case:
            raise UserError(f"--plant takes CASE=SHARE, such as 'perf/test_x.py::test_y=5%', not {value!r}")
        planted[case] = _share("plant", share)
    return planted


def _share(option: str, text: str, *, zero: bool = False) -> float:
    """Read a share such as ``1%`` or ``0.01``."""
    number = text.strip()
    try:
        share = float(number[:-1]) / 100 if number.endswith("%") else float(number)
    except ValueError:
        share = -1.0
    if not (0 < share < 1 or (zero and share == 0)):
        raise UserError(f"--{option} takes a share between 0 and 1, such as 1% or 0.01, not {text!r}")
    return share


def _positive(option: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 < number < float("inf"):
        raise UserError(f"--{option} takes a number above 0, not {text!r}")
    return number


def _default_arguments(folder: Path) -> list[str]:
    """Give ``[tool.gradperf.gate] arguments`` of the nearest pyproject.toml: what a repository gates."""
    for place in (folder, *folder.parents):
        if (file := place / "pyproject.toml").is_file():
            try:
                table = tomllib.loads(file.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise UserError(f"{file} cannot be read: {error}") from None
            found: Any = table
            for name in ("tool", "gradperf", "gate", "arguments"):
                missing: Any = [] if name == "arguments" else {}
                found = found.get(name, missing) if isinstance(found, dict) else None
            if not isinstance(found, list) or not all(isinstance(word, str) for word in found):
                raise UserError(f"{file}: [tool.gradperf.gate] arguments has to be a list of strings")
            # They are paths seen from that file; pytest is started where the user stands.
            if place == folder:
                return found
            return [os.path.relpath(place / word, folder) if (place / word).exists() else word for word in found]
    return []


def _seen_from(folder: Path, repo: Path, word: str) -> str:
    """Make a path relative that leads into the checkout from the root: each side has a file of its own there."""
    path, colons, test = word.partition("::")
    real, top = os.path.realpath(path), os.path.realpath(repo)
    if not os.path.isabs(path) or not Path(real).is_relative_to(top):
        return word
    return os.path.relpath(real, os.path.realpath(folder)) + colons + test


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let the gate end in order where it is told to end, as it does after Ctrl-C."""

    def end(number: int, _: Any) -> None:
        raise SystemExit(128 + number)

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    # What is ignored stays so: `nohup` asks for that.
    before = {n: signal.signal(n, end) for n in numbers if signal.getsignal(n) != signal.SIG_IGN}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _identical(
    setting: Setting, plan: trial.Plan, seed: int, environment: Mapping[str, Any], warnings: Sequence[str]
) -> Outcome:
    """List the cases, and time none."""
    (found,) = collected_both([setting.head], setting)
    cases = tuple(Finding(case["id"], "identical", case["group"]) for case in found if not case["skipped"])
    if not cases:
        raise Cannot("there is no benchmark: the arguments of pytest leave none")
    return Outcome("identical", 0, cases, (), (), tuple(warnings), session.plan_told(plan), seed, environment)


def _nothing(
    reason: str, plan: trial.Plan, seed: int, environment: Mapping[str, Any], warnings: Sequence[str]
) -> Outcome:
    return Outcome("incomplete", 13, (), (), (), (reason, *warnings), session.plan_told(plan), seed, environment)


def _tell(text: str) -> None:
    """Say how far it is."""
    streams.say(f"gradperf gate: {text}")


def _progress(text: str) -> None:
    """Say how far it is; on a terminal this is one line that changes."""
    if not sys.stderr.isatty():
        _tell(text)
        return
    room = shutil.get_terminal_size((100, 24)).columns - 1
    streams.say(f"\r\x1b[K{f'gradperf gate: {text}'[:room]}", end="")


def _told(outcome: Outcome, parsed: argparse.Namespace) -> int:
    """Print the report and write the files; what cannot be written is told, and never a success."""
    ascii_only = not show.encodes(sys.stdout.encoding, SIGNS)
    lines = terminal.table(outcome, shutil.get_terminal_size((100, 24)).columns, ascii_only)
    messages = _printed([*lines, *github.in_actions(outcome, os.environ, ascii_only)])
    writers: list[tuple[Path | None, Callable[[Outcome], str]]] = [
        (parsed.json, record.dumps),
        (parsed.markdown, markdown.markdown),
    ]
    for file, text in writers:
        if file is None:
            continue
        try:
            record.write(file, text(outcome))
        except UserError as error:
            messages.append(str(error))
    for message in messages:
        streams.say(f"gradperf: {message}")
    return outcome.exit_code or (2 if messages else 0)


def _printed(lines: Sequence[str]) -> list[str]:
    """Print the report; gives what went wrong, unless it is that nobody listens, as after ``| head``."""
    try:
        print("\n".join(lines), flush=True)
    except OSError as error:
        streams.silence(sys.stdout)
        if not isinstance(error, BrokenPipeError):
            return [f"the report cannot be printed: {error.strerror}"]
    return []
