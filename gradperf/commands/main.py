"""The command line: reads the arguments, runs one command, and reports its errors."""

import argparse
import errno
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import gradperf
from gradperf.commands import (
    certificate,
    compare,
    completion,
    doctor,
    explain,
    gate,
    neighbours,
    pair,
    profile,
    report,
    run,
    show,
    stability,
    upgrade,
)
from gradperf.commands import list as listing
from gradperf.commands.next_step import next_step
from gradperf.errors import UserError, nearest, unknown
from gradperf.text import streams
from gradperf.text.printable import clean, clean_lines
from gradperf.text.table import Terminal

COMMANDS = (
    listing,
    run,
    pair,
    profile,
    gate,
    upgrade,
    certificate,
    show,
    report,
    compare,
    stability,
    neighbours,
    doctor,
    explain,
    completion,
)

WITH_PYTEST_ARGUMENTS = ("gate", "upgrade", "certificate", "stability")
"""Commands that pass what follows ``--`` to pytest."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; raises SystemExit as argparse does."""
    streams.open_closed()
    streams.escape()
    try:
        return _run(list(sys.argv[1:] if arguments is None else arguments))
    finally:
        streams.flush()


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Report a wrong argument; argparse's own method fails on a closed pipe in older versions of Python."""
        streams.say(f"{self.format_usage()}{self.prog}: error: {message}")
        raise SystemExit(2)


def _parsed(words: list[str]) -> argparse.Namespace:
    parser = _Parser(
        prog="gradperf", description="What does this gradient cost, is it right, and did my change make it slower?"
    )
    parser.add_argument("--version", action="version", version=f"gradperf {gradperf.__version__}")
    parser.set_defaults(parser=parser, commands=COMMANDS)
    commands = parser.add_subparsers(metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands.add_parser)
    for one in commands.choices.values():
        one.set_defaults(parser=one)
    if not words:
        following = Terminal.of_output().wrap(clean(f"Next: {next_step(Path())}"))
        streams.say("\n".join([parser.format_help(), *following]))
        raise SystemExit(2)
    if not words[0].startswith("-") and words[0] not in commands.choices:
        parser.error(str(unknown("command", words[0], commands.choices)))
    own, for_pytest = words, list[str]()
    takes_more = words[0] in WITH_PYTEST_ARGUMENTS
    if takes_more and "--" in words:
        own, for_pytest = words[: words.index("--")], words[words.index("--") + 1 :]
    parsed, unread = parser.parse_known_args(own)
    if unread:
        hint = "; put arguments for pytest after --" if takes_more and own == words else ""
        text = parsed.parser.format_help()
        parsed.parser.error(f"unrecognized arguments: {' '.join(unread)}{hint}{_meant(unread[0], text)}")
    if "command" not in parsed:
        parser.error("the following arguments are required: COMMAND")
    parsed.pytest_arguments = for_pytest
    return parsed


def _meant(word: str, text: str) -> str:
    """Return a question that names the option nearest to a mistyped one, among those of a help text."""
    if not word.startswith("--"):
        return ""
    existing = re.findall(r"(?<!\S)--([a-z-]+)", text)  # without the dashes, which make any two options similar
    guess = nearest(word.partition("=")[0].removeprefix("--"), existing)
    return guess and "." + guess.replace("'", "'--", 1)


def _is_gone() -> bool:
    """Return whether the current folder was removed."""
    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False


def _run(words: list[str]) -> int:
    parsed = _parsed(words)
    try:
        code: int = parsed.command(parsed)
        with suppress(BrokenPipeError):
            sys.stdout.flush()
        return code
    except BrokenPipeError:  # `gradperf list | head`
        return 0
    except UserError as error:
        code, message = 2, str(error)
    except MemoryError:
        code, message = 2, "not enough memory; try fewer steps or a smaller problem"
    except KeyboardInterrupt:
        code, message = 130, "interrupted"  # as shells do: 128 plus the number of the signal
    except OSError as error:
        if _is_gone():
            code, message = 2, "the current folder does not exist any more; change into one that does"
        elif error.errno == errno.ENOSPC:
            code, message = 2, f"{error.strerror}: the output is incomplete"
        else:
            raise
    streams.say(clean_lines(f"gradperf: {message}"))  # it may name a file, or quote one
    return code
