"""``gradperf run``: run one case once and show what it computes."""

import argparse
import json
import sys
import time
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from gradperf import options
from gradperf.commands import AddParser, add_json, add_value, short_ids
from gradperf.commands.preparation import agreed, settings
from gradperf.errors import UserError
from gradperf.records.one_run import OneRun

if TYPE_CHECKING:  # it imports numpy, which must wait until the threads are bound
    from gradperf.cases import Case


def add(add_parser: AddParser) -> None:
    """Add the command and its options."""
    parser = add_parser("run", help="run one case once, and show its losses, gradients, weights and seconds")
    parser.add_argument("case", metavar="CASE", nargs="+", help=short_ids.HELP)
    add_value(parser, "--steps", "N", options.whole_number(1), None, "steps of the training, instead of the tier's")
    options.add(parser.add_argument, axes=False)
    add_json(parser)
    parser.set_defaults(command=run_case)


def run_case(parsed: argparse.Namespace) -> int:
    """Check one case against the reference, run it once and show its results."""
    case_settings = settings(parsed)
    from gradperf import files
    from gradperf.problems.training import Training

    case = short_ids.find(parsed.case, case_settings)
    if parsed.steps is not None:
        case = _with_steps(case, parsed.steps)
    if parsed.json is not None:
        files.check_can_write("--json", parsed.json)
    proven = agreed(case, case_settings)
    start_s = time.perf_counter()
    proven.run()
    seconds = time.perf_counter() - start_s

    steps = "step" if case.problem.steps == 1 else "steps"
    print(f"{case.id}: {case.problem.steps} {steps} in {seconds:.6g} s, inputs {proven.inputs_sha256[:12]}…")
    parameters = case.problem.parameters if isinstance(case.problem, Training) else ()
    results: dict[str, Any] = {
        "loss": proven.outputs.get("losses", []),
        "gradients": {name.removeprefix("grad_"): gradient for name, gradient in proven.gradients.items()},
        # A problem that updates nothing ends with the weights it began with.
        "weights": {name: proven.outputs.get(name, proven.inputs[name]) for name in parameters},
        "result": {name: array for name, array in proven.outputs.items() if name == "product"},
    }
    _print_results(results, proven.gradient_error)
    if parsed.json is not None:
        record = OneRun(
            case=case.id,
            command=("gradperf", *sys.argv[1:]),
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            steps=case.problem.steps,
            seed=parsed.seed,
            threads=parsed.threads,
            framework_version=proven.framework_version,
            inputs_sha256=proven.inputs_sha256,
            seconds=seconds,
            gradient_error=proven.gradient_error,
            curve=case.problem.curve(proven.inputs, proven.outputs),
            **results,
        )
        files.write(parsed.json, json.dumps(asdict(record), default=lambda array: array.tolist()) + "\n")
        print(f"written to {parsed.json}")
    return 0


def _with_steps(case: "Case", steps: int) -> "Case":
    from gradperf.problems.training import Training

    if not isinstance(case.problem, Training) or case.problem.optimizer is None:
        raise UserError(f"--steps: {case.problem.name} is not a training; it always takes one step")
    return replace(case, problem=replace(case.problem, steps=steps))


def _print_results(results: dict[str, Any], gradient_error: float | None) -> None:
    """Print some of the losses and the first numbers of each array."""
    losses = results["loss"]
    if len(losses) > 0:
        shown = sorted({0, *(len(losses) * k // 10 for k in range(1, 10)), len(losses) - 1})
        print("loss, before each step:")
        for step in shown:
            print(f"  {step + 1:>8}  {losses[step]:.9g}")
    for title, key in (("first gradients", "gradients"), ("final weights", "weights"), ("result", "result")):
        if results[key]:
            error = f", off by at most {gradient_error:.1e} of their norm" if key == "gradients" else ""
            print(f"{title}{error}:")
        for name, array in results[key].items():
            numbers = " ".join(f"{number:.8g}" for number in array.ravel()[:6])
            print(f"  {name:3} {'×'.join(map(str, array.shape)):>8}  {numbers}{' …' if array.size > 6 else ''}")
