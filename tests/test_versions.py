"""The name of a tox environment must agree with the versions installed in it."""

import pytest

from gradperf.frameworks import versions


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ("perf-numpy24-torch213", {"numpy": "2.4", "torch": "2.13"}),
        ("correctness-jax09", {"jax": "0.9"}),
        ("perf-jax010-tensorflow221", {"jax": "0.10", "tensorflow": "2.21"}),
        ("perf", {}),
        ("perf-numpy24x", {}),
    ],
)
def test_names_are_read(environment, expected):
    """The first digit is the major version."""
    assert versions.named(environment) == expected


@pytest.mark.parametrize(
    ("environment", "found", "wrong"),
    [
        ("perf-numpy24", {"numpy": "2.4.6"}, 0),
        ("perf-numpy24-jax01", {"numpy": "2.4.6", "jax": "0.10.2"}, 1),
        ("perf-numpy24-jax09", {"numpy": "2.2.6"}, 2),
        ("perf-numpy24-torch213", {"numpy": "2.4.6", "torch": "2.13.0+cpu"}, 0),
        ("perf-torch213", {"numpy": "2.4.6", "torch": "2.13.0+cpu"}, 1),
    ],
)
def test_contradictions_are_reported(environment, found, wrong):
    """A version that differs or is missing is reported, and a missing numpy; 0.10 is not 0.1."""
    assert len(versions.contradictions(environment, found)) == wrong


def test_command_fails_on_a_contradiction(capsys):
    """The exit code is 1, so tox stops before anything is measured."""
    assert versions.main("perf-numpy19") == 1
    assert "numpy 1.9 in the name" in capsys.readouterr().err
    assert versions.main("perf") == 0
