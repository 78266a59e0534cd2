"""Overrules options of pytest that would keep the worker from running its benchmarks as they are."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator
from typing import Any

import pytest

from . import SEED

IN_TURN = "pytest-xdist is asked for in the options of pytest; the gate ran the benchmarks one after the other"
FORKED = "pytest-forked is asked for; the gate ran the benchmarks in its own processes"
NEITHER = (
    "neither pytest-benchmark nor pytest-codspeed is active; the gate timed with a `benchmark` fixture of its own"
)


class Options:
    """A plugin that neither stores nor compares nor skips, and goes on after a failure.

    Options of a plugin are changed where it is active. It may be installed and switched off.
    """

    def __init__(self) -> None:
        """Note nothing yet."""
        self.notes: list[str] = []
        """What the gate does otherwise than the user's options ask for, if the report has to say so."""

    def pytest_addoption(self, parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
        """Let the gate say where the cache is also where there is none: pytest may refuse unknown settings."""
        if pluginmanager.is_blocked("cacheprovider"):
            parser.addini("cache_dir", "unused")

    @pytest.hookimpl(wrapper=True, tryfirst=True)  # before pytest-cov starts its tracer, which would be timed too
    def pytest_load_initial_conftests(self, early_config: pytest.Config) -> Generator[None, Any, Any]:
        """Switch coverage off."""
        _switch_coverage_off(early_config.known_args_namespace)
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)  # before any plugin reads its options, even in this hook
    def pytest_cmdline_main(self, config: pytest.Config) -> Generator[None, Any, Any]:
        """Change the options; raise ``pytest.UsageError`` for those that cannot be changed."""
        option = config.option
        _switch_coverage_off(option)
        self._stay_in_this_process(option)
        _run_all(option)
        option.xmlpath = None
        if has_pytest_benchmark(config):
            _store_nothing(option)
        elif not has_codspeed(config):
            self.notes.append(NEITHER)
        _share_seed(option)
        if option.basetemp:
            os.makedirs(option.basetemp, exist_ok=True)
            option.basetemp = own = os.path.join(option.basetemp, f"gradperf-{os.getpid()}")  # pytest empties it
            try:
                return (yield)
            finally:
                shutil.rmtree(own, ignore_errors=True)
        return (yield)

    def _stay_in_this_process(self, option: Any) -> None:
        """Have pytest-xdist run nothing: it would run the benchmarks in other processes, at once."""
        processes = getattr(option, "numprocesses", None)
        if getattr(option, "forked", False):
            self.notes.append(FORKED)
            option.forked = False
        if hasattr(option, "dist"):
            if processes or option.dist != "no" or getattr(option, "distload", False):
                self.notes.append(IN_TURN)
            option.dist, option.tx, option.numprocesses, option.distload = "no", [], None, False
        elif processes:
            raise pytest.UsageError(
                "benchmarks cannot be timed by several processes at once: add -n0 to the arguments of pytest"
            )


def has_pytest_benchmark(config: pytest.Config) -> bool:
    """Return whether pytest-benchmark is active."""
    return hasattr(config.option, "benchmark_disable")


def has_codspeed(config: pytest.Config) -> bool:
    """Return whether pytest-codspeed is active."""
    return hasattr(config.option, "codspeed")


def _switch_coverage_off(option: Any) -> None:
    if hasattr(option, "no_cov"):
        option.no_cov = True


def _run_all(option: Any) -> None:
    """Run every benchmark once, whatever fails and however long it waits for the other side."""
    option.maxfail = 0
    option.stepwise = option.stepwise_skip = False
    option.collectonly = False
    for name in ("reruns", "force_reruns"):  # of pytest-rerunfailures
        if hasattr(option, name):
            setattr(option, name, 0)
    if hasattr(option, "codspeed"):
        option.codspeed = False  # It would measure each benchmark itself, in the place of the turns.
    if hasattr(option, "session_timeout"):  # of pytest-timeout; a file with settings may also have one
        option.session_timeout = float("inf")


def _store_nothing(option: Any) -> None:
    """Have pytest-benchmark time, and keep nothing."""
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


def _share_seed(option: Any) -> None:
    """Have a pair work on the same random numbers, unless the user chose them."""
    seed = int(os.environ.get(SEED, "0"))
    if getattr(option, "randomly_seed", None) in ("default", "last"):
        option.randomly_seed = seed
    if str(getattr(option, "random_order_seed", "")).startswith("default:"):
        option.random_order_seed = str(seed)
    if getattr(option, "hypothesis_seed", "") is None:
        option.hypothesis_seed = str(seed)
