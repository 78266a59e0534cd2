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

from gradperf import options, results, show
from gradperf.gate import actions, checkout, comment, record, report, session, sides, trial
from gradperf.gate.findings import Finding, Outcome
from gradperf.gate.janitor import Janitor
from gradperf.gate.replicate import Cannot, Setting, collected_both
from gradperf.names import UserError

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
            results.check_can_write(option, file)
    cwd = Path.cwd()
    arguments = list(arguments) or _default_arguments(cwd)
    with checkout.lock(cwd), _ended_by_signals(), Janitor() as janitor:
        both = sides.prepare(parsed.base, parsed.base_python, parsed.head_python, cwd, janitor)
        setting = Setting(
            base=both.base,
            head=both.head,
            arguments=arguments,
            control=None,
            planted={},
            foreign=both.checkout,
            folder=both.folder,
            janitor=janitor,
            patience_s=patience_s,
        )
        _tell(f"base: {both.base.told}")
        _tell(f"head: {both.head.told}")
        environment = {
            "command": ["gradperf", *sys.argv[1:]],
            "pytest": arguments,
            "base": both.base.told,
            "head": both.head.told,
            **both.environment,
            "changed_files": len(both.changed),
            **session.described_machine(),
        }
        try:
            if both.identical and not parsed.even_if_identical:
                outcome = _identical(setting, plan, seed, environment, both.warnings)
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
                    warnings=both.warnings,
                    tell=_tell,
                )
        except Cannot as reason:
            outcome = _nothing(str(reason), plan, seed, environment, both.warnings)
    return _told(outcome, parsed)


def _plan(parsed: argparse.Namespace) -> trial.Plan:
    alpha = _share("alpha", parsed.alpha)
    plan = trial.Plan(
        alpha=alpha,
        min_effect=_share("min-effect", parsed.min_effect, zero=True),
        screen=options.whole_number("screen", parsed.screen, least=3),
        confirm=options.whole_number("confirm", parsed.confirm, least=1),
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
            found = table.get("tool", {}).get("gradperf", {}).get("gate", {}).get("arguments", [])
            if not isinstance(found, list) or not all(isinstance(word, str) for word in found):
                raise UserError(f"{file}: [tool.gradperf.gate] arguments has to be a list of strings")
            # They are paths seen from that file; pytest is started where the user stands.
            if place == folder:
                return found
            return [os.path.relpath(place / word, folder) if (place / word).exists() else word for word in found]
    return []


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let the gate end in order where it is told to end, as it does after Ctrl-C."""

    def end(number: int, _: Any) -> None:
        raise SystemExit(128 + number)

    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), end) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)


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
    """Say how far it is; on a terminal this is one line that changes."""
    print(f"gradperf gate: {text}", file=sys.stderr, flush=True)


def _told(outcome: Outcome, parsed: argparse.Namespace) -> int:
    """Print the report and write the files; a file that cannot be written is told, and never a success."""
    ascii_only = not show.encodes(sys.stdout.encoding, SIGNS)
    print("\n".join(report.table(outcome, shutil.get_terminal_size((100, 24)).columns, ascii_only)))
    code = outcome.exit_code
    writers: list[tuple[Path | None, Callable[[Outcome], str]]] = [
        (parsed.json, record.dumps),
        (parsed.markdown, comment.markdown),
    ]
    for file, text in writers:
        if file is None:
            continue
        try:
            record.write(file, text(outcome))
        except UserError as error:
            print(f"gradperf: {error}", file=sys.stderr)
            code = code or 2
    for line in actions.in_actions(outcome, os.environ, ascii_only):
        print(line)
    return code
