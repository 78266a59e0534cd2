"""The gate's answer as JSON, described by ``record.schema.json``, and how it reaches the disk.

``schema`` is the integer 1. It changes when a key is removed or means something else, not when one is added. What
is not finite is null: NaN and Infinity are no JSON.
"""

import json
import math
import os
import secrets
from collections.abc import Mapping, Set
from datetime import date
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from gradperf.errors import UserError
from gradperf.gate.decision.findings import Control, Finding, Outcome

SCHEMA = 1
SCHEMA_FILE = Path(__file__).with_name("record.schema.json")


def record(outcome: Outcome) -> dict[str, Any]:
    """Give everything that was found, ready for JSON."""
    told: dict[str, Any] = _plain(
        {
            "schema": SCHEMA,
            "verdict": outcome.verdict,
            "exit_code": outcome.exit_code,
            "cases": [_finding(case) for case in outcome.cases],
            "groups": [_finding(group) for group in outcome.groups],
            "controls": [_control(control) for control in outcome.controls],
            "warnings": outcome.warnings,
            "plan": outcome.plan,
            "seed": outcome.seed,
            "environment": outcome.environment,
        }
    )
    return told


def dumps(outcome: Outcome) -> str:
    """Give the record as the text of a file."""
    return json.dumps(record(outcome), indent=1, allow_nan=False) + "\n"


def write(path: Path, text: str) -> None:
    """Write all of ``text`` or nothing: the file at ``path`` is the old one until the new one is on the disk."""
    try:
        if path.exists() and not path.is_file():  # a device or a pipe, such as /dev/stdout: not to be replaced
            path.write_bytes(_encoded(text))
        else:
            _replace(path.resolve(), text)  # a link stays one
    except (OSError, RuntimeError, ValueError) as error:  # no space, links in a circle, a null character
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot be written: {reason}") from None


def _replace(path: Path, text: str) -> None:
    beside = path.with_name(f".gradperf-{secrets.token_hex(8)}.tmp")  # os.replace cannot cross file systems
    try:
        with beside.open("xb") as file:
            file.write(_encoded(text))
            file.flush()
            os.fsync(file.fileno())  # some file systems notice only here that they are full
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")  # half a surrogate pair is no reason to lose a run


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "id": finding.id,
        "verdict": finding.verdict,
        "ratio": finding.ratio,
        "ci_low": finding.ci_low,
        "ci_high": finding.ci_high,
        "p_adjusted": finding.p_adjusted,
        "pairs": finding.pairs,
        "smallest_visible_change": finding.smallest_visible_change,
        "group": finding.group,
        "base_s": finding.base_s,
        "head_s": finding.head_s,
        "screened": finding.screened,
        "confirmed": finding.confirmed,
        "reason": finding.reason,
        "accepted": finding.accepted,
    }


def _control(control: Control) -> dict[str, Any]:
    return {
        "name": control.name,
        "case": control.case,
        "effect": control.effect,
        "result": control.result,
        "ratio": control.ratio,
        "ci_low": control.ci_low,
        "ci_high": control.ci_high,
        "p": control.p,
        "values": control.values,
    }


def _plain(value: Any) -> Any:
    """Give what JSON can hold; whatever else a plan or an environment has is written as its text."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, Set):
        return sorted((_plain(one) for one in value), key=str)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        number = float(value)
        return number if math.isfinite(number) else None
    return value.isoformat() if isinstance(value, date) else str(value)
