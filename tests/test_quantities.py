"""Times, sizes and shares as text: no wider than stated, and true to the last digit."""

import decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradperf.text import quantities


@pytest.mark.parametrize(
    ("write", "value", "text"),
    [
        (quantities.number, 0.0, "0"),
        (quantities.number, 0.000999, "1.0e-3"),
        (quantities.number, 0.0009996, "0.00100"),
        (quantities.number, 0.09342, "0.0934"),
        (quantities.number, 0.99951, "1.00"),
        (quantities.number, 2531.7, "2,532"),
        (quantities.number, 999_999.4, "999,999"),
        (quantities.number, 1e6, "1.0e6"),
        (quantities.number, 1e100, ">1e99"),
        (quantities.number, float("inf"), ">1e99"),
        (quantities.number, 1e-300, "<1e-99"),
        (quantities.factor, 1.005001, "1.01"),
        (quantities.factor, 0.004, "<0.01"),
        (quantities.factor, 9.994, "9.99"),
        (quantities.factor, 9.996, "10.0"),
        (quantities.factor, 99.96, "100"),
        (quantities.factor, 999.6, ">999"),
        (quantities.factor, float("inf"), ">999"),
        (quantities.duration, 0.0, "0 ns"),
        (quantities.duration, 4.3e-8, "43.0 ns"),
        (quantities.duration, 1e-12, "<1 ns"),
        (quantities.duration, 999.6e-6, "1.00 ms"),
        (quantities.duration, 5400, "5,400 s"),
        (quantities.duration, 36_000, "10.0 h"),
        (quantities.duration, 1e9, ">999 h"),
        (quantities.memory, 512, "512 B"),
        (quantities.memory, 1.2e12, "1.20 TB"),
        (quantities.percent_number, 0.0, "0"),
        (quantities.percent_number, 0.0004, "<0.1"),
        (quantities.percent_number, 0.0996, "10"),
        (quantities.percent_number, 0.1234, "12"),
        (quantities.percent_number, 1e9, ">999"),
        (quantities.magnitude, 2.06e-8, "2e-8"),
        (quantities.magnitude, 0.0, "0"),
        (quantities.count, 999_999, "999,999"),
        (quantities.count, 11_820_000, "1.2e7"),
        (quantities.count, 10**600, ">1e99"),
    ],
)
def test_quantities(write, value, text):
    """Three digits, and the seams between the ways of writing them."""
    assert write(value) == text


def test_numbers_in_six_characters():
    """Two digits and an exponent, or one, where three do not fit."""
    printed = [quantities.number(value, most=6) for value in (0.0934, 0.00934, 99_999, 123_456, 1.26e-10, 9.6e-10)]
    assert printed == ["0.0934", "9.3e-3", "99,999", "1.2e5", "1e-10", "1e-9"]


@given(st.floats(1e-320, 1e308), st.integers(6, 7))
def test_numbers_fit(value, most):
    """Whatever their size."""
    assert len(quantities.number(value, most)) <= most
    assert len(quantities.factor(value)) <= 5


@given(st.floats(0.01, 999))
def test_factors_are_rounded_to_the_side_that_is_asked_for(value):
    """A bound that is rounded down is no larger than it was."""
    low, high = (float(quantities.factor(value, way)) for way in (decimal.ROUND_FLOOR, decimal.ROUND_CEILING))
    assert low <= value <= high
    assert high - low <= 0.011 * max(1, value)


def test_percent_with_two_decimals():
    """For shares, of which there may be very little."""
    printed = [quantities.percent_number(share, 2) for share in (0.00001, 0.0004, 0.004, 0.04, 0.4, 1)]
    assert printed == ["<0.01", "0.04", "0.4", "4.0", "40", "100"]


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (7e6, ">999 %"),
        (9.99, "999 %"),
        (1.1, "110 %"),
        (0.123, "12 %"),
        (0.0996, "10 %"),
        (0.0994, "9.9 %"),
        (0.001, "0.1 %"),
        (0.0005, "0.05 %"),
        (0, "0 %"),
    ],
)
def test_percent(share, text):
    """With the sign, for sentences."""
    assert quantities.percent(share) == text


UNITS = {unit.name: unit.size for unit in quantities.TIMES + quantities.MEMORIES}


@given(st.floats(0, 1e307) | st.sampled_from([999.5e-9, 0.9995e-3, 999.5, 9999.5, 0.9995e9]) | st.floats(1e-9, 1e9))
def test_quantities_fit_and_say_what_they_mean(value):
    """No wider than stated, and, unless it is a bound, within half a unit of the last digit."""
    for write, most, digits in (
        (quantities.number, 7, 2),
        (quantities.duration, 7, 3),
        (quantities.memory, 7, 3),
        (quantities.percent_number, 4, 0),
        (quantities.magnitude, 6, 1),
    ):
        text = write(value)
        assert len(text) <= most
        if text[0] not in "<>" and write is not quantities.percent_number:
            amount, _, unit = text.replace(",", "").partition(" ")
            meant = float(amount) * UNITS.get(unit, 1)
            assert meant == pytest.approx(value, rel=0.51 * 10.0 ** (1 - digits))


@given(st.integers(1, 10**120))
def test_counts_fit(whole):
    """A break-even has no bound; its cell has."""
    assert len(quantities.count(whole)) <= 7
    assert len("~" + quantities.count(whole, most=6)) <= 7
