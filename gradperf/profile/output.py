"""Writes a profile: as JSON, and as the files that viewers open."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gradperf import files
from gradperf.cases import Settings
from gradperf.checks.agreement import Agreed
from gradperf.errors import UserError
from gradperf.profile.facts import Profile


def record(agreed: Agreed, settings: Settings, profile: Profile) -> str:
    """Return all facts as JSON; times are seconds of one step."""
    rows: list[dict[str, Any]] = [
        {
            "name": row.name.strip(),
            "step_s": row.step_s,
            "share": profile.share(row.step_s),
            "calls": row.calls,
            **({"line": asdict(row.line)} if row.line else {}),
        }
        for row in profile.rows
    ]
    facts = {
        "case": agreed.case.id,
        "seed": settings.seed,
        "threads": settings.threads,
        "framework_version": agreed.framework_version,
        "inputs_sha256": agreed.inputs_sha256,
        "profiler": profile.tool,
        "rows_are": f"{profile.kind}s",
        "steps": profile.steps,
        "steps_per_call": profile.steps_per_call,
        "step_s": profile.plain_s,
        "profiled_step_s": profile.profiled_s,
        "overhead": profile.overhead,
        "runtime_s": profile.runtime_s,
        "unseen_s": profile.unseen_s,
        "rows": rows,
    }
    return json.dumps(facts, ensure_ascii=False, indent=1) + "\n"


def write(folder: Path, case: str, profile: Profile) -> list[str]:
    """Write the files that viewers open, each whole or not at all; return two lines on each of them.

    Raises UserError if one cannot be written.
    """
    said = []
    for one in profile.files:
        file = folder / one.path.format(case=case)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{file.parent}: cannot be made: {error.strerror}") from None
        files.write_bytes(file, one.data)
        said += [f"written to {file}", f"  {one.opened_by.format(folder=folder)}"]
    return said
