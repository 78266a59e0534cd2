"""Gathers what the page of a gate's record shows: verdict, controls, and each case's interval and pairs."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradperf.errors import UserError
from gradperf.text.printable import clean

ORDER = (
    *("regressed", "suspect", "different", "failed", "removed", "unstable", "inconclusive", "improved"),
    *("unchanged", "new", "identical"),
)
"""Verdicts, those that need a look first."""

_WIDTH, _LEFT, _RIGHT, _ROW = 760, 16, 744, 26
_LEAST_SPAN = math.log(1.06)
"""The axis reaches at least this far to both sides: small noise must not fill it."""

_LONGEST = 300


@dataclass(frozen=True)
class Line:
    """One case, group or control, with its places on the axis in the picture."""

    name: str
    verdict: str
    words: str
    y: float
    x: float | None = None
    low: float | None = None
    high: float | None = None
    pairs: tuple[float, ...] = ()
    """Places of the pairs' own ratios."""
    reason: str = ""


@dataclass(frozen=True)
class GatePage:
    """What the page shows."""

    verdict: str
    exit_code: int
    counts: tuple[tuple[str, int], ...]
    controls: tuple[Line, ...]
    lines: tuple[Line, ...]
    warnings: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    ticks: tuple[tuple[float, str], ...]
    band: tuple[float, float]
    """Places between which a case is unchanged."""
    one: float
    width: int = _WIDTH
    row: int = _ROW


def is_record(stored: Any) -> bool:
    """Return whether a file holds what a run of the gate found."""
    return isinstance(stored, Mapping) and {"verdict", "exit_code", "cases", "controls"} <= stored.keys()


def read(file: Path) -> Mapping[str, Any] | None:
    """Return the record of a gate in ``file``; None if it is something else, or cannot be read."""
    try:
        stored = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return stored if is_record(stored) else None


def gather(record: Mapping[str, Any]) -> GatePage:
    """Return what the page shows of a record; raises UserError if it is damaged."""
    try:
        return _gather(record)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UserError(f"the record of the gate is damaged: {type(error).__name__}: {error}") from None


def _gather(record: Mapping[str, Any]) -> GatePage:
    findings = [*record["cases"], *record["groups"]]
    findings.sort(key=lambda one: (_place(one["verdict"]), -(_number(one.get("ratio")) or 1.0)))
    bounds = [
        _number(one.get(name))
        for one in (*findings, *record["controls"])
        for name in ("ci_low", "ci_high", "ratio")
    ]
    span = max([_LEAST_SPAN, *(abs(math.log(bound)) for bound in bounds if bound)])

    def x(log_ratio: float) -> float:
        share = max(-1.0, min(1.0, log_ratio / (1.05 * span)))
        return round(_LEFT + (share + 1) / 2 * (_RIGHT - _LEFT), 1)

    equivalence = math.log1p(float(record["plan"].get("equivalence") or 0.0))
    counted = [str(one["verdict"]) for one in record["cases"]]
    return GatePage(
        verdict=_text(record["verdict"]),
        exit_code=int(record["exit_code"]),
        counts=tuple((name, counted.count(name)) for name in ORDER if name in counted),
        controls=tuple(
            _line(one, one["name"], one["result"], place, x) for place, one in enumerate(record["controls"])
        ),
        lines=tuple(_line(one, one["id"], one["verdict"], place, x) for place, one in enumerate(findings)),
        warnings=tuple(map(_text, record["warnings"])),
        facts=_facts(record),
        ticks=tuple((x(math.log(ratio)), f"{ratio:g}×") for ratio in _ticks(span)),
        band=(x(-equivalence), x(equivalence)),
        one=x(0.0),
    )


def _place(verdict: Any) -> int:
    return ORDER.index(verdict) if verdict in ORDER else len(ORDER)


def _text(value: Any) -> str:
    return clean(str(value), _LONGEST)


def _number(value: Any) -> float | None:
    """Return a ratio, or None."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 < value < math.inf else None


def _line(one: Mapping[str, Any], name: Any, verdict: Any, place: int, x: Any) -> Line:
    ratio, low, high = (_number(one.get(key)) for key in ("ratio", "ci_low", "ci_high"))
    values = [*one.get("screened", ()), *one.get("confirmed", ()), *one.get("values", ())]
    return Line(
        name=_text(name),
        verdict=_text(verdict),
        words=_words(ratio, low, high, one),
        y=place * _ROW + _ROW / 2,
        x=None if ratio is None else x(math.log(ratio)),
        low=None if low is None else x(math.log(low)),
        high=None if high is None else x(math.log(high)),
        pairs=tuple(x(float(value)) for value in values if value is not None),
        reason=_text(one.get("reason") or one.get("accepted") or one.get("modes") or ""),
    )


def _words(ratio: float | None, low: float | None, high: float | None, one: Mapping[str, Any]) -> str:
    if ratio is None:
        return "not measured"
    size = f"{max(ratio, 1 / ratio):.3g}×"
    said = size if size == "1×" else f"{size} {'slower' if ratio >= 1 else 'faster'}"
    if low is not None and high is not None:
        ends = sorted((low, high) if ratio >= 1 else (1 / low, 1 / high))
        said += f" (between {ends[0]:.3g} and {ends[1]:.3g})"
    if (effect := one.get("effect")) is not None:
        said += f"; {100 * effect:g} % was planted" if effect else "; nothing differs"
    pairs = one.get("pairs")
    return f"{said}, {pairs} pairs" if pairs else said


def _facts(record: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    environment, plan = record["environment"], record["plan"]
    shown = [
        (name, environment.get(name)) for name in ("base", "head", "upgraded", "cpu_model", "started", "seconds")
    ]
    command = environment.get("command")
    shown.append(("command", " ".join(map(str, command)) if isinstance(command, list) else None))
    shown += [(name.replace("_", " "), plan.get(name)) for name in ("alpha", "min_effect", "equivalence")]
    return tuple(
        (name.replace("_", " "), _text(value))
        for name, value in (*shown, ("seed", record["seed"]))
        if value is not None
    )


def _ticks(span: float) -> Sequence[float]:
    """Return ratios for the axis: 1, and some on both sides."""
    steps = [1.01, 1.02, 1.05, 1.1, 1.2, 1.5, 2, 3, 5, 10, 30, 100]
    within = [step for step in steps if math.log(step) <= span]
    kept = within[-3:] or [1.05]
    return [*(float(f"{1 / step:.2g}") for step in reversed(kept)), 1.0, *kept]
