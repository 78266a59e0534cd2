"""The options that choose what runs, and the readers of all option values, for pytest and the command line.

A reader takes the text of one value and returns the value, or raises ``argparse.ArgumentTypeError``. This module
must not import numpy or a framework: the thread count must be known before they are imported.
"""

import math
import os
from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable, Iterable
from typing import Any

from gradperf.errors import unknown

TIERS = ("short", "quick", "full")


def whole_number(least: int) -> Callable[[str], int]:
    """Return a reader of whole numbers of at least ``least``."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least:
            raise ArgumentTypeError(f"expected a whole number of at least {least}, not {text!r}")
        return number

    return read


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def share(*, most: float = 1, zero: bool = False) -> Callable[[str], float]:
    """Return a reader of shares such as ``1%`` or ``0.01``: below 1, at most ``most``, and 0 only with ``zero``."""

    def read(text: str) -> float:
        number = text.strip()
        value = _float(number[:-1]) / 100 if number.endswith("%") else _float(number)
        if not (0 < value < 1 and value <= most) and not (zero and value == 0):
            raise ArgumentTypeError(f"expected a share between 0 and {most:g}, such as 1% or 0.01, not {text!r}")
        return value

    return read


def planted(text: str) -> tuple[str, float]:
    """Read CASE=SHARE: known work that is added to a case on purpose."""
    case, _, value = text.rpartition("=")
    if not case:
        raise ArgumentTypeError(f"expected CASE=SHARE, such as 'torch.autograd=5%', not {text!r}")
    return case, share()(value)


def positive_number(text: str) -> float:
    """Read a number above 0."""
    number = _float(text)
    if not 0 < number < float("inf"):
        raise ArgumentTypeError(f"expected a number above 0, not {text!r}")
    return number


def tier(text: str) -> str:
    """Read the name of a tier."""
    if text not in TIERS:
        raise ArgumentTypeError(str(unknown("tier", text, TIERS)))
    return text


def threads(text: str) -> int:
    """Read a thread count, at most one for each CPU: more threads compete for the CPUs and distort every time."""
    count = whole_number(1)(text)
    # macOS has no sched_getaffinity.
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if count > cpus:
        raise ArgumentTypeError(f"this process may use {cpus} CPU{'' if cpus == 1 else 's'}, not {count}")
    return count


def names(text: str) -> list[str]:
    """Read names separated by commas."""
    split = [name.strip() for name in text.split(",")]
    if "" in split:
        raise ArgumentTypeError("a name is empty; leave this option out to choose everything")
    return split


AXES = {
    "framework": "numpy, torch, tensorflow, jax",
    "style": "one way of computing, such as by_hand or autograd",
    "problem": "such as two_layer_784x30x10, or matmul_<m>x<k>x<n> at any size",
    "device": "cpu, cuda",
    "dtype": "float32, float64",
}


SETTINGS: dict[str, tuple[Callable[[str], Any], Any, str]] = {
    "tier": (
        tier,
        "quick",
        "short: a few steps, for the gate; quick: short trainings; full: the published sizes",
    ),
    "threads": (threads, 1, "threads that each library may use"),
    "seed": (whole_number(0), 0, "seed of inputs and weights"),
}
"""Reader, default and help of each."""


def add(add_option: Callable[..., Any], settings: Iterable[str] = SETTINGS, *, axes: bool = True) -> None:
    """Add the options to a parser of pytest or argparse, by its method ``add_option``."""
    for axis, example in AXES.items() if axes else ():
        text = f"only these (separate by commas, or repeat the option): {example}"
        add_option(f"--{axis}", action="extend", type=names, default=[], metavar="NAME", help=text)
    for name in settings:
        read, default, text = SETTINGS[name]
        add_option(f"--{name}", type=read, default=default, metavar="VALUE", help=f"{text} (default: {default})")


def named(parsed: Namespace) -> dict[str, tuple[str, ...]]:
    """Return the names that were given on each axis, each once; empty for an axis without any."""
    return {axis: tuple(dict.fromkeys(getattr(parsed, axis))) for axis in AXES}
