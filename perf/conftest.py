"""Runs the benchmarks in the dtype that each problem was published in, unless ``--dtype`` is given."""

import pytest

from gradperf.suite import selection


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    selection.parametrize(metafunc, all_dtypes=False)
