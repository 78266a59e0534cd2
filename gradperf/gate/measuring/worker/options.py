"""Overrules options of pytest that would keep the worker from running its benchmarks as they are."""

from __future__ import annotations

import os

import pytest


class Options:
    """A plugin that neither stores nor compares nor skips, and goes on after a failure."""

    @pytest.hookimpl(tryfirst=True)  # before pytest-benchmark reads its options
    def pytest_configure(self, config: pytest.Config) -> None:
        """Change the options; raise ``pytest.UsageError`` for those that cannot be changed."""
        option = config.option
        if getattr(option, "dist", "no") != "no" or getattr(option, "numprocesses", None):
            raise pytest.UsageError(
                "benchmarks cannot be timed by several processes at once: add -n0 to the arguments of pytest"
            )
        if not hasattr(option, "benchmark_disable"):
            raise pytest.UsageError("pytest-benchmark is not active: is it installed, and not switched off by -p?")
        option.maxfail = 0
        option.stepwise = option.stepwise_skip = False
        option.collectonly = False
        option.xmlpath = None
        option.benchmark_disable = False
        option.benchmark_skip = False
        option.benchmark_autosave = False
        option.benchmark_save = None
        option.benchmark_compare = None
        option.benchmark_compare_fail = None
        option.benchmark_json = None
        option.benchmark_cprofile = None
        option.benchmark_histogram = None
        option.benchmark_storage = f"file://{os.devnull}"  # pytest-benchmark would make the folder at once
        option.benchmark_quiet = True
