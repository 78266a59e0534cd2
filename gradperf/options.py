"""The options that say what to run: one table, read by pytest and by the command line alike.

No framework and no numpy is imported here: the thread count must be known before either is.
"""

import os
from collections.abc import Callable, Iterable
from typing import Any

from gradperf.errors import UserError, unknown

TIERS = ("short", "quick", "full")

AXES = {
    "framework": "numpy, torch, tensorflow, jax",
    "style": "one way of computing, such as by_hand or autograd",
    "problem": "such as two_layer_784x30x10, or matmul_<m>x<k>x<n> at any size",
    "device": "cpu, cuda",
    "dtype": "float32, float64",
}

SETTINGS = {
    "tier": (
        "quick",
        "short: a few steps, for the gate; quick: shorter trainings; full: the published sizes (default: quick)",
    ),
    "threads": ("1", "threads of every library, bound before import (default: 1)"),
    "seed": ("0", "seed of inputs and weights (default: 0)"),
}


def add(add_option: Callable[..., Any], settings: Iterable[str] = SETTINGS, *, axes: bool = True) -> None:
    """Add the options to a parser of pytest's or argparse's."""
    for axis, example in AXES.items() if axes else ():
        add_option(
            f"--{axis}",
            action="append",
            default=[],
            metavar="NAME",
            help=f"only these (may be repeated, or separated by commas): {example}",
        )
    for name in settings:
        default, text = SETTINGS[name]
        add_option(f"--{name}", default=default, metavar="VALUE", help=text)


def names(axis: str, values: Iterable[str]) -> tuple[str, ...]:
    """Split repeated and comma-separated values into names, each once; raises UserError for an empty one."""
    split = [name.strip() for value in values for name in value.split(",")]
    if "" in split:
        raise UserError(f"--{axis} was given an empty name; leave the option out to take every {axis}")
    return tuple(dict.fromkeys(split))


def whole_number(option: str, text: str, least: int) -> int:
    """Read a whole number; raises UserError when it is none, or below ``least``."""
    try:
        number = int(text)
    except ValueError:
        number = None
    if number is None or number < least:
        raise UserError(f"--{option} takes a whole number from {least} up, not {text!r}")
    return number


def threads(text: str) -> int:
    """Read a thread count; more than there are CPUs would measure their quarrel, and torch dies of 100,000."""
    count = whole_number("threads", text, least=1)
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if count > cpus:
        raise UserError(f"--threads {count}: this process may use {cpus} CPU{'' if cpus == 1 else 's'}")
    return count


def tier(text: str) -> str:
    """Check the name of a tier."""
    if text not in TIERS:
        raise unknown("tier", text, TIERS)
    return text
