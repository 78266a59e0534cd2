"""``gradperf pair``: the ratio of the times of two cases."""

import argparse

from gradperf import options
from gradperf.commands import AddParser, add_pairs, short_ids
from gradperf.commands.preparation import agreed, settings
from gradperf.errors import UserError
from gradperf.progress.display import on_stderr
from gradperf.progress.steps import Steps


def add(add_parser: AddParser) -> None:
    """Add the command and its options."""
    parser = add_parser("pair", help="compare the times of two cases, in pairs of fresh processes")
    parser.add_argument("first", metavar="CASE", nargs="+", help=short_ids.HELP)
    parser.add_argument(
        "second", metavar="CASE", help="the case to compare it with; what its id leaves out is that of the first"
    )
    add_pairs(parser)
    options.add(parser.add_argument, axes=False)
    parser.set_defaults(command=pair_cases)


def pair_cases(parsed: argparse.Namespace) -> int:
    """Check two cases against the reference, then time them against each other."""
    case_settings = settings(parsed)
    from gradperf.case_pairs.measure import Role, ratios
    from gradperf.checks import agreement, conduct
    from gradperf.checks.misconduct import Misconduct

    first = short_ids.find(parsed.first, case_settings)
    second = short_ids.find([parsed.second], case_settings, like=first)
    with on_stderr("pair") as display:
        both = []
        for case in (first, second):
            display.show(f"checking {case.id}")
            both.append(agreed(case, case_settings))
        try:
            for proven in both:
                display.show(f"checking {proven.case.id}")
                conduct.examine(proven, case_settings)
        except (Misconduct, agreement.Disagreement) as error:
            raise UserError(f"the time of a case would be misleading, so none is shown:\n{error}") from None
        steps, roles = Steps(display, "pair", parsed.pairs), (Role((first.id,)), Role((second.id,)))
        (result,) = ratios(*roles, case_settings, parsed.pairs, steps, equal_calls=False)
    steps_ratio = second.problem.steps / first.problem.steps
    for case, seconds in ((first, result.first_s), (second, result.second_s)):
        print(f"{seconds / case.problem.steps * 1e6:12.2f} µs per step  {case.id}")
    print(
        f"{result.ratio * steps_ratio:12.3f} times the second's time "
        f"({result.low * steps_ratio:.3f}–{result.high * steps_ratio:.3f}, "
        f"95 % interval of {parsed.pairs} pairs of processes)"
    )
    return 0
