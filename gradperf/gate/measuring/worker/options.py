"""Overrules options of pytest that would keep the worker from running its benchmarks as they are."""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Any

import pytest

from . import SEED


class Options:
    """A plugin that neither stores nor compares nor skips, and goes on after a failure."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)  # before pytest-cov starts its tracer, which would be timed too
    def pytest_load_initial_conftests(self, early_config: pytest.Config) -> Generator[None, Any, Any]:
        """Switch coverage off, if its plugin is active."""
        if hasattr(early_config.known_args_namespace, "no_cov"):
            early_config.known_args_namespace.no_cov = True
        return (yield)

    @pytest.hookimpl(tryfirst=True)  # before other plugins read their options
    def pytest_configure(self, config: pytest.Config) -> None:
        """Change the options; raise ``pytest.UsageError`` for those that cannot be changed."""
        option = config.option
        if hasattr(option, "dist"):  # pytest-xdist would run the benchmarks in other processes, at once
            option.dist, option.tx, option.numprocesses = "no", [], None
        elif getattr(option, "numprocesses", None):
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
        if hasattr(option, "reruns"):
            option.reruns = 0
        if getattr(option, "randomly_seed", None) in ("default", "last"):
            option.randomly_seed = int(os.environ.get(SEED, "0"))  # A pair must work on the same random numbers.
        if option.basetemp:
            os.makedirs(option.basetemp, exist_ok=True)
            option.basetemp = os.path.join(option.basetemp, f"gradperf-{os.getpid()}")  # pytest empties it
