"""Formats quantities as text of bounded width: three significant digits, and never more characters than stated.

A table is aligned only if no value is wider than its column. A value that does not fit is written with an exponent,
or else as a bound: ``1.2e9``, ``<0.01``, ``>1e99``.
"""

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal


@dataclass(frozen=True)
class Unit:
    """A unit of time or of memory."""

    name: str
    size: float
    """In seconds, or bytes."""
    below: float = 999.5
    """The next unit is used from this many on: a value that rounds to a thousand is one of the next unit."""


TIMES = (
    Unit("ns", 1e-9),
    Unit("µs", 1e-6),
    Unit("ms", 1e-3),
    Unit("s", 1.0, 9999.5),  # four digits of seconds are read more easily than hours
    Unit("h", 3600.0),
)
MEMORIES = (Unit("B", 1.0), Unit("kB", 1e3), Unit("MB", 1e6), Unit("GB", 1e9), Unit("TB", 1e12))


def unit_for(size: float, units: tuple[Unit, ...]) -> Unit:
    """Return the smallest unit that is large enough for ``size``, else the largest one."""
    return next((unit for unit in units if size / unit.size < unit.below), units[-1])


def number(value: float, most: int = 7) -> str:
    """Return three digits, more only before the point: ``0.0934``, ``10.4``, ``2,532``.

    What takes more than ``most`` ≥ 6 characters has one or two digits and an exponent.
    """
    if value == 0:
        return "0"
    if not 0.0009995 <= value < 999_999.5:
        return _with_exponent(value, most)
    text = f"{value:,.0f}"
    for below, decimals in ((0.009995, 5), (0.09995, 4), (0.9995, 3), (9.995, 2), (99.95, 1)):
        if value < below:
            text = f"{value:.{decimals}f}"
            break
    return text if len(text) <= most else _with_exponent(value, most)


def _with_exponent(value: float, most: int = 7) -> str:
    """Return two digits and an exponent, ``1.2e-9``; one digit if that is more than ``most`` ≥ 6 characters."""
    if value < 1e-99:
        return "<1e-99"
    if value >= 1e99:
        return ">1e99"
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    text = f"{mantissa}e{int(exponent)}"
    return text if len(text) <= most else magnitude(value)


def factor(value: float, rounding: str = ROUND_HALF_EVEN) -> str:
    """Return the ratio of two times with two decimals, fewer from 10 on: ``1.20``, ``12.3``. At most 5 characters.

    ``rounding`` is one of the ways of the module decimal.
    """
    if value < 1000:
        for decimals in (2, 1, 0):
            rounded = Decimal(value).quantize(Decimal(1).scaleb(-decimals), rounding)
            if rounded < 10 ** (3 - decimals):
                return str(rounded) if rounded else "<0.01"
    return ">999"


def duration(seconds: float) -> str:
    """Return a time in the unit that suits it: ``850 ms``. At most 7 characters."""
    return _in_units(seconds, TIMES)


def memory(size_bytes: float) -> str:
    """Return bytes in the unit that suits them, powers of 1000: ``1.21 GB``. At most 7 characters."""
    return _in_units(size_bytes, MEMORIES)


def _in_units(size: float, units: tuple[Unit, ...]) -> str:
    unit = unit_for(size, units)
    value = size / unit.size
    if value >= unit.below:
        return f">999 {unit.name}"
    if 0 < value < 0.9995 and unit is units[0]:
        return f"<1 {unit.name}"
    # A size at the border of two units may come out as 0.9995 of the larger one.
    return f"{number(max(value, 1.0)) if value else 0} {unit.name}"


def short_time(seconds: float | None) -> str:
    """Return a time without zeros at the end: ``41 ns``; None means that it is longer than the wait for it."""
    if seconds is None:
        return "more than was waited for"
    unit = unit_for(seconds, TIMES)
    return f"{seconds / unit.size:.3g} {unit.name}"


def percent(share: float) -> str:
    """Return a share with its sign: ``12 %``, ``1.3 %``, ``0.05 %``, ``>999 %``."""
    value = 100 * share
    if value >= 999.5:
        return ">999 %"
    return f"{value:.0f} %" if value >= 9.95 else f"{value:.1f} %" if value >= 0.095 else f"{value:.1g} %"


def percent_number(share: float, decimals: int = 1) -> str:
    """Return a share in percent without the sign, for a column: ``0.4``, ``12``, ``<0.1``, ``>999``.

    At most 4 characters with one decimal, and 5 with two. Only 0 itself is ``0``.
    """
    value = 100 * share
    least = 10.0**-decimals
    if value == 0:
        return "0"
    if value < least / 2:
        return f"<{least:g}"
    if value < least * 9.5:
        return f"{value:.{decimals}f}"
    if value < 9.95:
        return f"{value:.1f}"
    return f"{value:.0f}" if value < 999.5 else ">999"


def magnitude(value: float) -> str:
    """Return one digit and an exponent, for errors: ``2e-16``. At most 6 characters."""
    if value == 0:
        return "0"
    mantissa, _, exponent = f"{value:.0e}".partition("e")
    return f"{mantissa}e{int(exponent)}"


def count(whole: int, most: int = 7) -> str:
    """Return a whole number, ``11,820``, or ``1.2e7`` if that takes more than ``most`` ≥ 6 characters."""
    in_full = f"{whole:,}"
    return in_full if len(in_full) <= most else ">1e99" if whole >= 10**99 else _with_exponent(float(whole))


def plural(number: float, one: str, many: str = "") -> str:
    """Return the number with its noun: ``1 thread``, ``2 threads``."""
    return f"{number:g} {one if number == 1 else many or f'{one}s'}"
