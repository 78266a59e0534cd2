"""``gradperf profile``: where the time of a step goes."""

import argparse
from pathlib import Path

from gradperf import options
from gradperf.commands import AddParser, add_json, add_value, short_ids
from gradperf.commands.preparation import agreed, check_can_run, settings
from gradperf.errors import UserError


def add(add_parser: AddParser) -> None:
    """Add the command and its options."""
    parser = add_parser(
        "profile",
        help="show where the time of a step goes: by line for numpy, by operator for the others",
        epilog="A profiler makes a step slower, so its times only say what is expensive. `pytest perf` and "
        "`gradperf pair` measure.",
    )
    parser.add_argument("case", metavar="CASE", nargs="+", help=short_ids.HELP)
    add_value(
        parser, "--seconds", "N", options.positive_number, 2, "take about this long, once the case is checked"
    )
    add_value(parser, "--top", "N", options.whole_number(1), 20, "show the N most expensive operators")
    output = "write files for viewers into FOLDER: Chrome traces, XPlanes, or .lprof of line_profiler"
    add_value(parser, "--output", "FOLDER", Path, None, output)
    add_json(parser)
    options.add(parser.add_argument, axes=False)
    parser.set_defaults(command=profile_case)


def profile_case(parsed: argparse.Namespace) -> int:
    """Check one case against the reference, profile it, and show where its time goes."""
    case_settings = settings(parsed)
    from gradperf import files
    from gradperf.checks.agreement import Disagreement
    from gradperf.frameworks.profiling import NoProfile, profiler
    from gradperf.profile import measure, output, table
    from gradperf.text.printable import clean, clean_lines
    from gradperf.text.table import Terminal

    case = short_ids.find(parsed.case, case_settings)
    if parsed.json is not None:
        files.check_can_write("--json", parsed.json)
    if parsed.output is not None:
        files.check_can_write_in("--output", parsed.output)
    check_can_run(case, case_settings.threads)
    own = profiler(case.framework)
    if reason := own.missing():
        raise UserError(reason)
    proven = agreed(case, case_settings)
    try:
        profile = measure.profiled(proven, case_settings, own, parsed.seconds)
    except NoProfile as reason:
        raise UserError(f"{case.id} cannot be profiled: {reason}") from None
    except Disagreement as error:
        raise UserError(f"{case.id} disagrees with the reference, so no profile is shown:\n{error}") from None
    print("\n".join(table.lines(case.id, profile, own.WORDS, Terminal.of_output(), parsed.top)))
    if parsed.output is not None:
        print()
        print("\n".join(clean_lines(line) for line in output.write(parsed.output, case.id, profile)))
    if parsed.json is not None:
        files.write(parsed.json, output.record(proven, case_settings, profile))
        print(clean(f"written to {parsed.json}"))
    return 0
