"""Correctness is proven in both dtypes, unless ``--dtype`` says otherwise."""

import pytest

from gradperf import suite


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    suite.parametrize(metafunc, all_dtypes=True)
