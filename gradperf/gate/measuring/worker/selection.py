"""Finds the benchmarks among the collected tests."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import pytest

from .options import has_codspeed

FIXTURES = ("benchmark", "codspeed_benchmark")
"""The fixtures that time what they are called with, and the markers by which pytest-codspeed times a whole test."""

_ASKED_LATER = re.compile(r"getfixturevalue\(\s*[\"'](codspeed_)?benchmark[\"']\s*\)")


def may_time(item: pytest.Item) -> bool:
    """Return whether a test has something to time, or may ask for the fixture while it runs."""
    return has_fixture(item) or is_timed_whole(item) or _may_ask_later(item)


def has_fixture(item: pytest.Item) -> bool:
    """Return whether a test takes a fixture that times, itself or through other fixtures."""
    return any(name in FIXTURES for name in _fixtures(item))


def is_timed_whole(item: pytest.Item) -> bool:
    """Return whether the whole test is to be timed: it has a marker of pytest-codspeed, if that is active."""
    marked = any(item.get_closest_marker(name) for name in FIXTURES)
    return marked and not has_fixture(item) and has_codspeed(item.config)


def _may_ask_later(item: pytest.Item) -> bool:
    """Return whether the test, or a fixture of its file or of a ``conftest.py`` above it, asks while it runs."""
    if "request" not in _fixtures(item):
        return False
    files = [str(item.path), *(str(folder / "conftest.py") for folder in item.path.parents)]
    return any(_ASKED_LATER.search(_source(file)) for file in files)


def _fixtures(item: pytest.Item) -> Any:
    return getattr(item, "fixturenames", ())


@cache
def _source(file: str) -> str:
    try:
        with open(file, encoding="utf-8", errors="replace") as opened:
            return opened.read()
    except OSError:
        return ""
