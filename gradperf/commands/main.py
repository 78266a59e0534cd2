"""The command line: ``gradperf list``, ``run``, ``pair``, ``gate``, ``certificate``, ``show``, ``doctor`` …

A user's mistake is one message and exit code 2.
"""

import argparse
import errno
import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from gradperf import files, options
from gradperf.commands import gate_arguments, show
from gradperf.errors import UserError
from gradperf.machine import threads
from gradperf.text import streams

if TYPE_CHECKING:  # both import numpy, which must wait until the threads are bound
    from gradperf.cases import Case, Settings
    from gradperf.checks.agreement import Agreed
    from gradperf.problems import Arrays


_PURPOSE = "What does this gradient cost, is it right, and did my change make it slower?"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    try:
        return _run(list(sys.argv[1:] if arguments is None else arguments))
    finally:
        streams.flush()


class _Parser(argparse.ArgumentParser):
    """Tells a mistake also where nobody reads it: argparse of older Pythons ends with a traceback then."""

    def error(self, message: str) -> NoReturn:
        streams.say(f"{self.format_usage()}{self.prog}: error: {message}")
        raise SystemExit(2)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="gradperf", description=_PURPOSE)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    listing = commands.add_parser("list", help="every case, whether it can run here and, if not, why")
    options.add(listing.add_argument, ("tier", "threads"))
    listing.add_argument("--json", action="store_true", help="as JSON, on standard output")
    listing.set_defaults(command=list_cases)

    running = commands.add_parser(
        "run", help="run one case once: its losses, first gradients, final weights and seconds"
    )
    running.add_argument("case", metavar="CASE", help="an id that `gradperf list` shows")
    running.add_argument("--steps", metavar="N", help="steps of the training, instead of the tier's")
    options.add(running.add_argument, axes=False)
    running.add_argument("--json", metavar="FILE", type=Path, help="write everything to FILE")
    running.set_defaults(command=run_case)

    pairing = commands.add_parser("pair", help="time two cases in turns: the ratio of their times per step")
    pairing.add_argument("first", metavar="CASE", help="an id that `gradperf list` shows")
    pairing.add_argument("second", metavar="CASE", help="what the first is compared with")
    pairing.add_argument("--pairs", metavar="N", default="8", help="pairs of processes (default: 8, at least 6)")
    options.add(pairing.add_argument, axes=False)
    pairing.set_defaults(command=pair_cases)

    gating = commands.add_parser("gate", help="did a change make any benchmark slower? Compares two revisions")
    gate_arguments.add(gating)
    gating.set_defaults(command=gate_change)

    certifying = commands.add_parser(
        "certificate", help="how often does the gate alarm here, and what does it catch?"
    )
    gate_arguments.add_certificate(certifying)
    certifying.set_defaults(command=certify_gate)

    showing = commands.add_parser("show", help="the table of a recorded run")
    showing.add_argument(
        "run", metavar="FILE", type=Path, help="its JSON, or a folder: the newest run in or below it"
    )
    showing.set_defaults(command=show.show_run)

    beside = commands.add_parser(
        "neighbours", help="time cases alone and beside all other frameworks: does their presence matter?"
    )
    beside.add_argument("cases", metavar="CASE", nargs="+", help="ids that `gradperf list` shows")
    beside.add_argument("--pairs", metavar="N", default="8", help="pairs of processes (default: 8, at least 6)")
    options.add(beside.add_argument, ("threads",), axes=False)
    beside.set_defaults(command=time_in_company)

    examining = commands.add_parser("doctor", help="what this machine can measure, and what it cannot")
    options.add(examining.add_argument, ("threads",), axes=False)
    examining.add_argument(
        "--seconds", metavar="N", default="60", help="time for measuring, about (default: 60, at least 5)"
    )
    examining.add_argument("--json", metavar="FILE", type=Path, help="write everything to FILE")
    examining.set_defaults(command=examine_machine)
    return parser


def _run(words: list[str]) -> int:
    """Read ``words``, and do what they say."""
    parser = _parser()
    own, behind = words, []
    for_pytest = words[:1] in (["gate"], ["certificate"])
    if for_pytest and "--" in words:
        own, behind = words[: words.index("--")], words[words.index("--") + 1 :]
    parsed, unknown = parser.parse_known_args(own)
    if unknown:
        where = "; what is meant for pytest stands after --" if for_pytest and own == words else ""
        parser.error(f"unrecognized arguments: {' '.join(unknown)}{where}")
    parsed.behind = behind
    try:
        code: int = parsed.command(parsed)
        with suppress(BrokenPipeError):
            sys.stdout.flush()
        return code
    except UserError as error:
        streams.say(f"gradperf: {error}")
        return 2
    except MemoryError:
        streams.say("gradperf: not enough memory for this; fewer steps or a smaller problem may do")
        return 2
    except KeyboardInterrupt:
        streams.say("gradperf: interrupted")
        return 130  # as shells do: 128 and the signal's number
    except BrokenPipeError:  # `gradperf list | head`
        return 0
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        streams.say(f"gradperf: {error.strerror}: the output is incomplete")
        return 2


def _settings(parsed: argparse.Namespace, seed: str = "0") -> "Settings":
    """Check the options, bind the threads, and only then import what imports numpy."""
    tier = options.tier(parsed.tier)
    count = options.threads(parsed.threads)
    number = options.whole_number("seed", seed, least=0)
    threads.bind(count)
    from gradperf.cases import Settings

    return Settings(tier, count, number)


def list_cases(parsed: argparse.Namespace) -> int:
    """Print every case that the options leave."""
    settings = _settings(parsed)
    from gradperf import cases

    choice = cases.Choice(**{axis: options.names(axis, getattr(parsed, axis)) for axis in options.AXES})
    cases.check_names(choice)
    found = [(case, cases.obstacle(case, settings.threads)) for case in cases.chosen(choice, settings)]
    if parsed.json:
        rows = [
            {
                "id": case.id,
                **{axis: case.value(axis) for axis in options.AXES},
                "steps": case.problem.steps,
                "runs_here": reason is None,
                "reason": reason,
            }
            for case, reason in found
        ]
        print(json.dumps(rows, indent=2))
        return 0
    width = max((len(case.id) for case, _ in found), default=0)
    for case, reason in found:
        print(f"{case.id:{width}}  {reason or 'runs here'}")
    running = sum(reason is None for _, reason in found)
    print(f"{len(found)} cases, {running} run here, {len(found) - running} do not")
    return 0


def run_case(parsed: argparse.Namespace) -> int:
    """Run one case once, after it agreed with the reference, and show what it computes."""
    settings = _settings(parsed, parsed.seed)
    from gradperf import cases

    case = cases.find(parsed.case, settings)
    if parsed.steps is not None:
        case = _with_steps(case, options.whole_number("steps", parsed.steps, least=1))
    if parsed.json is not None:
        files.check_can_write("--json", parsed.json)
    agreed = _agreed(case, settings)
    start_s = time.perf_counter()
    agreed.run()
    seconds = time.perf_counter() - start_s

    steps = "step" if case.problem.steps == 1 else "steps"
    print(f"{case.id}: {case.problem.steps} {steps} in {seconds:.6g} s, inputs {agreed.inputs_sha256[:12]}…")
    shown: dict[str, Any] = {
        "loss": agreed.outputs.get("losses", []),
        "gradients": {name.removeprefix("grad_"): gradient for name, gradient in agreed.gradients.items()},
        # Where nothing is updated, the weights are still those it began with.
        "weights": {
            name: agreed.outputs.get(name, agreed.inputs[name]) for name in getattr(case.problem, "parameters", ())
        },
        "result": {n: array for n, array in agreed.outputs.items() if n == "product"},
    }
    _show(shown, agreed.gradient_error)
    if parsed.json is not None:
        record = {
            "case": case.id,
            "steps": case.problem.steps,
            "seed": settings.seed,
            "threads": settings.threads,
            "framework_version": agreed.framework_version,
            "inputs_sha256": agreed.inputs_sha256,
            "seconds": seconds,
            "gradient_error": agreed.gradient_error,
            **shown,
        }
        parsed.json.write_text(json.dumps(record, default=lambda array: array.tolist()) + "\n")
        print(f"written to {parsed.json}")
    return 0


def pair_cases(parsed: argparse.Namespace) -> int:
    """Time two cases in pairs of processes that take turns, after both agreed with the reference."""
    settings = _settings(parsed, parsed.seed)
    pairs = options.whole_number("pairs", parsed.pairs, least=6)
    from gradperf import cases
    from gradperf.case_pairs import measure
    from gradperf.checks import agreement, conduct

    first, second = (cases.find(id_, settings) for id_ in (parsed.first, parsed.second))
    both = [_agreed(case, settings) for case in (first, second)]
    try:
        for agreed in both:
            conduct.examine(agreed, settings)
    except (conduct.Misconduct, agreement.Disagreement) as error:
        raise UserError(f"its time would not mean what it says, so nothing is shown:\n{error}") from None
    roles = [measure.Role((case.id,)) for case in (first, second)]
    (found,) = measure.ratios(roles[0], roles[1], settings, pairs, equal_calls=False)
    per_step = second.problem.steps / first.problem.steps
    for case, seconds in ((first, found.first_s), (second, found.second_s)):
        print(f"{seconds / case.problem.steps * 1e6:12.2f} µs per step  {case.id}")
    print(
        f"{found.ratio * per_step:12.3f} times the second's time "
        f"({found.low * per_step:.3f}–{found.high * per_step:.3f}, 95 % interval of {pairs} pairs of processes)"
    )
    return 0


def examine_machine(parsed: argparse.Namespace) -> int:
    """Tell what this machine is, what spoils measuring on it, and the smallest change that it can show."""
    count = options.threads(parsed.threads)
    seconds = options.whole_number("seconds", parsed.seconds, least=5)
    found = {name: os.environ[name] for name in threads.VARIABLES if name in os.environ}
    threads.bind(count)
    from gradperf.doctor import examination, report

    if parsed.json is not None:
        files.check_can_write("--json", parsed.json)
    print(f"gradperf doctor: measuring for about {seconds} s; leave the machine alone meanwhile", flush=True)
    examined = examination.examine(count, seconds, found)
    print("\n".join(report.lines(examined)))
    if parsed.json is not None:
        parsed.json.write_text(json.dumps(report.record(examined), indent=2) + "\n")
        print(f"written to {parsed.json}")
    return 0


def gate_change(parsed: argparse.Namespace) -> int:
    """Decide whether a change made any benchmark slower."""
    from gradperf.commands import gate

    return gate.gate(parsed, parsed.behind)


def certify_gate(parsed: argparse.Namespace) -> int:
    """Run the gate on unchanged code and on planted slowdowns, and write down how it did."""
    from gradperf.certificate import measure

    for kind in ("unchanged", "planted", "group"):
        setattr(parsed, kind, options.whole_number(kind, getattr(parsed, kind), least=0))
    return measure.certify(parsed, parsed.behind)


def time_in_company(parsed: argparse.Namespace) -> int:
    """Time cases in processes of their own and in some that hold all other frameworks too."""
    count = options.threads(parsed.threads)
    pairs = options.whole_number("pairs", parsed.pairs, least=6)
    threads.bind(count)
    from gradperf import cases, frameworks
    from gradperf.case_pairs import measure

    settings = cases.Settings(threads=count)

    chosen = [cases.find(id_, settings) for id_ in dict.fromkeys(parsed.cases)]
    for case in chosen:
        if reason := cases.obstacle(case, settings.threads):
            raise UserError(f"{case.id} cannot run here: {reason}")
    for own in dict.fromkeys(case.framework for case in chosen):
        others = [name for name in frameworks.names() if name not in (own, "numpy") and _is_installed(name)]
        if not others:
            raise UserError(f"there is no framework beside {own} here")
        ids = tuple(case.id for case in chosen if case.framework == own)
        beside, alone = measure.Role(ids, tuple(others)), measure.Role(ids)
        for id_, found in zip(ids, measure.ratios(beside, alone, settings, pairs, equal_calls=True), strict=True):
            print(
                f"{found.ratio:7.3f} times as long beside {', '.join(others)} "
                f"({found.low:.3f}–{found.high:.3f})  {id_}",
                flush=True,
            )
    print(f"95 % intervals of {pairs} pairs of processes")
    return 0


def _is_installed(framework: str) -> bool:
    from gradperf.frameworks import versions

    return framework in versions.installed()


def _agreed(case: "Case", settings: "Settings") -> "Agreed":
    """Prepare and check a case; raises UserError where it cannot run, or disagrees with the reference."""
    from gradperf import cases
    from gradperf.checks import agreement

    if reason := cases.obstacle(case, settings.threads):
        raise UserError(f"{case.id} cannot run here: {reason}")
    try:
        return agreement.agree(case, settings)
    except agreement.Disagreement as error:
        raise UserError(f"disagrees with the reference, so nothing is shown:\n{error}") from None


def _with_steps(case: "Case", steps: int) -> "Case":
    if getattr(case.problem, "optimizer", None) is None:
        raise UserError(f"--steps: {case.problem.name} is no training, it has one step")
    return replace(case, problem=replace(case.problem, steps=steps))  # type: ignore[type-var]  # a dataclass


def _show(shown: dict[str, Any], gradient_error: float | None) -> None:
    """Print losses along the way and the first numbers of every array."""
    losses = shown["loss"]
    if len(losses) > 0:
        at = sorted({0, *(len(losses) * k // 10 for k in range(1, 10)), len(losses) - 1})
        print("loss, before each step:")
        for step in at:
            print(f"  {step + 1:>8}  {losses[step]:.9g}")
    for title, key in (("first gradients", "gradients"), ("final weights", "weights"), ("result", "result")):
        if shown[key]:
            error = f", off by at most {gradient_error:.1e} of their norm" if key == "gradients" else ""
            print(f"{title}{error}:")
            _show_arrays(shown[key])


def _show_arrays(arrays: "Arrays") -> None:
    for name, array in arrays.items():
        numbers = " ".join(f"{number:.8g}" for number in array.ravel()[:6])
        print(f"  {name:3} {'×'.join(map(str, array.shape)):>8}  {numbers}{' …' if array.size > 6 else ''}")
