"""The benchmarks take each problem in the dtype it was published in, unless ``--dtype`` says otherwise."""

import pytest

from gradperf.suite import plugin


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    plugin.parametrize(metafunc, all_dtypes=False)
