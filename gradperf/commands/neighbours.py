"""``gradperf neighbours``: does it change a case's time that other frameworks are in its process?"""

import argparse

from gradperf import options
from gradperf.commands import AddParser
from gradperf.commands.preparation import settings
from gradperf.errors import UserError


def add(add_parser: AddParser) -> None:
    """Add the command and its options."""
    parser = add_parser(
        "neighbours", help="time cases alone and beside all other frameworks: does their presence matter?"
    )
    parser.add_argument("cases", metavar="CASE", nargs="+", help="ids that `gradperf list` shows")
    parser.add_argument(
        "--pairs",
        metavar="N",
        type=options.whole_number(6),
        default=8,
        help="pairs of processes (default: %(default)s, at least 6)",
    )
    options.add(parser.add_argument, ("threads",), axes=False)
    parser.set_defaults(command=compare_alone_and_beside)


def compare_alone_and_beside(parsed: argparse.Namespace) -> int:
    """Time each case in processes of its framework alone and in processes that hold all other frameworks too."""
    case_settings = settings(parsed)
    from gradperf import cases, frameworks
    from gradperf.case_pairs import neighbours
    from gradperf.frameworks import versions

    chosen = [cases.find(id_, case_settings) for id_ in dict.fromkeys(parsed.cases)]
    for case in chosen:
        if reason := cases.obstacle(case, parsed.threads):
            raise UserError(f"{case.id} cannot run here: {reason}")
    installed = versions.installed()
    for own in dict.fromkeys(case.framework for case in chosen):
        others = [name for name in frameworks.names() if name not in (own, "numpy") and name in installed]
        if not others:
            raise UserError(f"no framework beside {own} is installed here")
        ids = [case.id for case in chosen if case.framework == own]
        for company in neighbours.measured(ids, others, parsed.threads, parsed.pairs):
            print(
                f"{company.ratio:7.3f} times as long beside {', '.join(others)} "
                f"({company.low:.3f}–{company.high:.3f})  {company.case}",
                flush=True,
            )
    print(f"median and 95 % interval of {parsed.pairs} pairs of processes")
    return 0
