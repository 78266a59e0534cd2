"""The command line: one file for each command, with its options and the function that runs it.

A command's options are read before its threads are bound. So these files import numpy, pytest, and modules that
import them, only inside functions.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gradperf.options import whole_number

AddParser = Callable[..., argparse.ArgumentParser]
"""argparse's ``add_parser(name, help=…)``, which adds a command."""


def add_value(
    parser: argparse.ArgumentParser, name: str, metavar: str, read: Callable[[str], Any], default: Any, text: str
) -> None:
    """Add an option with a value. Its help ends in the default, unless that is None."""
    shown = "" if default is None else " (default: %(default)s)"
    parser.add_argument(name, metavar=metavar, type=read, default=default, help=f"{text}{shown}")


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add ``--json FILE``."""
    add_value(parser, "--json", "FILE", Path, None, "write all results to FILE as JSON")


def add_pairs(parser: argparse.ArgumentParser) -> None:
    """Add ``--pairs N``."""
    least = 6  # with fewer, no interval has a confidence of 95 %
    add_value(parser, "--pairs", "N", whole_number(least), 8, f"pairs of processes, at least {least}")
