"""``gradperf upgrade``: does another version of a package make any benchmark slower?

It makes two environments, as installed and upgraded, and runs the gate between them. Its exit codes are the gate's.
"""

import argparse
import os
from pathlib import Path

from gradperf.commands import AddParser, gate
from gradperf.text import streams


def add(add_parser: AddParser) -> None:
    """Add the command and its options."""
    parser = add_parser(
        "upgrade",
        help="compare what is installed with another version: would it make any benchmark slower?",
        usage="gradperf upgrade REQUIREMENT [REQUIREMENT ...] [OPTION ...] [-- PYTEST_ARGUMENT ...]",
        epilog="Arguments after -- go to pytest, as for the gate: gradperf upgrade torch==2.13.0 -- perf -k torch",
    )
    parser.add_argument(
        "requirements", metavar="REQUIREMENT", nargs="+", help="what to install on top, such as torch==2.13.0"
    )
    gate.add_shared(parser, python="Python interpreter whose environment is upgraded, in a copy")
    parser.set_defaults(command=gate_upgrade, base=None, even_if_identical=False)


def gate_upgrade(parsed: argparse.Namespace) -> int:
    """Make the environments, say how they differ, and run the gate between them on the user's files."""
    from gradperf.environments import cache, differences, pair
    from gradperf.gate.sides import project_python

    gate.check(parsed)
    cwd = Path.cwd()
    chosen = project_python.choose(parsed.python, cwd, os.environ)
    _say(f"Python: {chosen.python}, {chosen.reason}")
    made = pair.make(chosen.python, parsed.requirements, cwd, _say)
    asked_for = differences.requested(parsed.requirements)
    for change in sorted(made.changes, key=lambda change: change.name not in asked_for):
        _say(f"{'upgraded' if change.name in asked_for else 'changed with it'}: {change}")
    place = cache.place(os.environ)
    _say(f"both environments are kept in {place} for the next time; delete that folder to free its space")
    parsed.base_python, parsed.head_python = str(made.base), str(made.head)
    return gate.gate_change(parsed, upgraded=", ".join(map(str, made.changes)))


def _say(text: str) -> None:
    streams.say(f"gradperf upgrade: {text}")
