"""Gathers what the page draws of single runs, as ``gradperf run --json`` writes them: losses and curves."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gradperf.errors import UserError
from gradperf.records import storage
from gradperf.records.one_run import is_one_run
from gradperf.text.printable import clean

MOST = 24
"""So many single runs are drawn."""

_MOST_POINTS = 400
_LONGEST = 200
_SERIES = ("x", "y", "fitted", "derivative")


def read(file: Path) -> dict[str, Any] | None:
    """Return what is drawn of the run of one case in ``file``; None if it holds something else.

    Raises UserError if a part of it is damaged, or if there is nothing to draw.
    """
    try:
        stored = storage.load(file)
    except UserError:
        return None
    if not is_one_run(stored):
        return None
    case = stored["case"]
    if not isinstance(case, str) or len(parts := case.split("-")) != 4:
        raise UserError(f"{file}: 'case' is not the id of a case")
    loss, curve = _numbers(file, "loss", stored["loss"]), _curve(file, stored.get("curve", {}))
    if len(loss) < 2 and not curve:
        raise UserError(f"{file}: {case} has one step and no curve, so there is nothing to draw")
    return {
        "file": _text(file.name),
        "case": _text(case),
        "problem": _text(parts[0]),
        "label": _text(parts[1]),
        "command": _command(stored.get("command"), case),
        "at": _moment(stored.get("at")),
        "version": _text(stored.get("framework_version") or ""),
        "steps": _count(stored.get("steps")) or len(loss),
        "seconds": _number(stored.get("seconds")),
        "gradient_error": _number(stored.get("gradient_error")),
        "loss": [[step + 1, _short(loss[step])] for step in _some(len(loss))],
        "curve": curve,
    }


def _curve(file: Path, stored: Any) -> dict[str, list[float]]:
    """Return the series of a curve, all of one length; raises UserError for anything else."""
    if not isinstance(stored, Mapping) or not stored.keys() <= set(_SERIES):
        raise UserError(f"{file}: 'curve' is not what gradperf writes")
    if not stored:
        return {}
    series = {name: _numbers(file, f"curve.{name}", stored.get(name)) for name in _SERIES if name in stored}
    lengths = {len(one) for one in series.values()}
    if len(series) != 3 or not {"x", "y"} <= series.keys() or len(lengths) != 1 or lengths == {0}:
        raise UserError(f"{file}: 'curve' needs x, y and one curve, all of one length")
    (length,) = lengths
    step = -(-length // _MOST_POINTS)
    return {name: [_short(one) for one in numbers[::step]] for name, numbers in series.items()}


def _numbers(file: Path, name: str, stored: Any) -> list[float]:
    """Return a list of finite numbers; raises UserError for anything else."""
    if not isinstance(stored, list):
        raise UserError(f"{file}: {name!r} is not a list")
    found = [_number(one) for one in stored]
    numbers = [one for one in found if one is not None]
    if len(numbers) < len(found):
        raise UserError(f"{file}: {name!r} holds something else than finite numbers, at place {found.index(None)}")
    return numbers


def _number(value: Any) -> float | None:
    try:
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        return float(value) if is_number else None
    except OverflowError:
        return None


def _some(count: int) -> list[int]:
    """Return places among ``count``: all, or some that are even on an even axis and on a logarithmic one."""
    if count <= _MOST_POINTS:
        return [*range(count)]
    half = _MOST_POINTS // 2
    even = {round(place * (count - 1) / (half - 1)) for place in range(half)}
    return sorted(even | {round(count ** (place / (half - 1))) - 1 for place in range(half)})


def _short(value: float) -> float:
    return float(f"{value:.7g}")


def _text(value: Any) -> str:
    return clean(str(value), _LONGEST)


def _count(value: Any) -> int:
    """Return a whole number that a page can show; else 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**12 else 0


def _command(stored: Any, case: str) -> str:
    return " ".join(map(_text, stored[:50] if isinstance(stored, list) else ["gradperf", "run", case]))


def _moment(value: Any) -> str | None:
    try:
        return datetime.fromisoformat(value).astimezone(UTC).isoformat(timespec="seconds")
    except (TypeError, ValueError, OverflowError):
        return None
