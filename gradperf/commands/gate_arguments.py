"""The options of ``gradperf gate``. Nothing heavy is imported here: every command loads this file."""

import argparse
from pathlib import Path


def add(parser: argparse.ArgumentParser) -> None:
    """Add the options of the gate."""
    add = parser.add_argument
    add("--base", metavar="REV", help="what to compare with (default: the merge base with the main branch)")
    add("--base-python", metavar="PATH", help="interpreter of the base: another version of a framework, say")
    add("--head-python", metavar="PATH", help="interpreter of the head (default: the one that runs this)")
    add("--alpha", metavar="P", default="0.01", help="at most so many runs alarm without a reason (default: 0.01)")
    add("--min-effect", metavar="SHARE", default="1%", help="slowdowns up to this are no regression (default: 1%%)")
    add("--screen", metavar="N", default="8", help="pairs of processes for all cases (default: 8)")
    add("--confirm", metavar="N", default="24", help="fresh pairs for what looks slower (default: 24)")
    add("--budget", metavar="MINUTES", help="stop in time; what is undecided by then is inconclusive")
    add("--json", metavar="FILE", type=Path, help="write everything to FILE")
    add("--markdown", metavar="FILE", type=Path, help="write a comment for a pull request to FILE")
    add("--strict", action="store_true", help="exit with 11 where something is inconclusive")
    add(
        *("--accept",),
        metavar="CASE",
        action="append",
        default=[],
        help="this case may be slower, fail, differ or be gone; takes a --reason; may be repeated",
    )
    add("--reason", metavar="TEXT", action="append", default=[], help="why; one for each --accept")
    add("--seed", metavar="N", help="of the coin flips (default: drawn, and told)")
    add("--patience", metavar="SECONDS", default="300", help="a process silent for longer hangs (default: 300)")
    add("--even-if-identical", action="store_true", help="time also where nothing changed: to see that it is quiet")
    add(
        *("--plant",),
        metavar="CASE=SHARE",
        action="append",
        default=[],
        help="slow down the head of this case, by real work, to see it caught: CASE=5%%; * is any characters",
    )
    parser.epilog = "After -- come arguments of pytest, which choose the benchmarks: gradperf gate -- perf -k jax"


def add_certificate(parser: argparse.ArgumentParser) -> None:
    """Add the options of the certificate."""
    add = parser.add_argument
    add("--unchanged", metavar="N", default="0", help="runs without any change")
    add(
        "--planted",
        metavar="N",
        default="0",
        help="runs with 3, 5 and 10 %% of work added to cases of each group",
    )
    add("--group", metavar="N", default="0", help="runs with 2 %% of work added to all cases of one group")
    store = "the runs so far; new ones are added (default: %(default)s)"
    add("--store", metavar="FILE", type=Path, default=Path("docs/certificate.jsonl"), help=store)
    add("--page", metavar="FILE", type=Path, default=Path("docs/certificate.md"), help="default: %(default)s")
    parser.epilog = "After -- come arguments of pytest, as for the gate. Nothing may be uncommitted."
