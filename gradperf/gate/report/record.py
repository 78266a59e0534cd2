"""The gate's findings as JSON, described by ``record.schema.json``.

``schema`` is the integer 1. It changes when a key is removed or means something else, not when one is added.
Numbers that are not finite are null, because JSON has no NaN and no Infinity.
"""

import json
import math
from collections.abc import Mapping, Set
from dataclasses import asdict
from datetime import date
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from gradperf.gate.decision.findings import Outcome

SCHEMA = 1
SCHEMA_FILE = Path(__file__).with_name("record.schema.json")


def record(outcome: Outcome) -> dict[str, Any]:
    """Return all findings, ready for JSON."""
    return {"schema": SCHEMA} | {key: _plain(value) for key, value in asdict(outcome).items()}


def dumps(outcome: Outcome) -> str:
    """Return the record as the text of a file."""
    return json.dumps(record(outcome), indent=1, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    """Return what JSON can hold; other values of a plan or an environment are written as text."""
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
