"""``gradperf neighbours``: does a case take longer when other frameworks are in its process?"""

import argparse

from gradperf import options
from gradperf.commands import AddParser, add_pairs, short_ids
from gradperf.commands.preparation import check_can_run, settings
from gradperf.errors import UserError
from gradperf.progress.display import on_stderr
from gradperf.progress.steps import Steps


def add(add_parser: AddParser) -> None:
    """Add the command and its options."""
    parser = add_parser("neighbours", help="measure whether cases take longer when other frameworks are imported")
    parser.add_argument(
        "cases",
        metavar="CASE",
        nargs="+",
        help="cases: ids that `gradperf list` shows, or enough parts of each, such as tiny_3x2x1-torch.autograd",
    )
    add_pairs(parser)
    options.add(parser.add_argument, ("threads",), axes=False)
    parser.set_defaults(command=compare_alone_and_beside)


def compare_alone_and_beside(parsed: argparse.Namespace) -> int:
    """Time each case in processes with its framework alone, and in processes with all other frameworks too."""
    case_settings = settings(parsed)
    from gradperf import frameworks
    from gradperf.case_pairs.measure import Role, ratios
    from gradperf.frameworks import versions

    chosen = [*dict.fromkeys(short_ids.find([id_], case_settings) for id_ in parsed.cases)]
    for case in chosen:
        check_can_run(case, parsed.threads)
    installed = versions.installed()
    owns = [*dict.fromkeys(case.framework for case in chosen)]
    with on_stderr("neighbours") as display:
        steps = Steps(display, "pair", parsed.pairs * len(owns))
        for own in owns:
            others = [name for name in frameworks.names() if name not in (own, "numpy") and name in installed]
            if not others:
                raise UserError(f"no framework beside {own} is installed here")
            ids = tuple(case.id for case in chosen if case.framework == own)
            beside, alone = Role(ids, tuple(others)), Role(ids)
            results = ratios(beside, alone, case_settings, parsed.pairs, steps, equal_calls=True)
            display.clear()
            for id_, result in zip(ids, results, strict=True):
                print(
                    f"{result.ratio:7.3f} times as long beside {', '.join(others)} "
                    f"({result.low:.3f}–{result.high:.3f})  {id_}",
                    flush=True,
                )
    print(f"95 % intervals of {parsed.pairs} pairs of processes")
    return 0
