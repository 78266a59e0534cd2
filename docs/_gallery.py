"""A hook of mkdocs: makes a live report from the records in each folder of ``docs/gallery/``.

``python docs/_gallery.py RECORD FILE`` writes what a report shows of a record: a fifth of a run, and no paths.
"""

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import File

from gradperf import problems
from gradperf.commands.report import family_of
from gradperf.records import history
from gradperf.report import data, gate, page

_LOG = get_plugin_logger("gradperf")
_PATH = re.compile(r"(?<![\w.])/(?:[\w.+-]+/)+([\w.+-]+)")


def on_files(files: Any, config: Any, **_: Any) -> Any:
    """Add the reports."""
    for folder in sorted(path for path in (Path(config.docs_dir) / "gallery").iterdir() if path.is_dir()):
        records = sorted(folder.glob("*.json"))
        if records:
            files.append(File.generated(config, f"gallery/{folder.name}.html", content=_report(records)))
        else:
            _LOG.warning(f"gallery/{folder.name} holds no record")
    return files


def _report(records: list[Path]) -> str:
    """Return the page of a run of the gate, or of all other records; a record that cannot be read is a warning."""
    if (of_gate := gate.read(records[0])) is not None:
        return page.gate_html(gate.gather(of_gate))
    report = data.gather(history.newest_first(records), problems.baseline_of, family_of)
    for reason in report.left_out:
        _LOG.warning(reason)
    return page.html(report, f"gradperf report docs/gallery/{records[0].parent.name}")


def slim(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run without what no report shows: moments, halves of steps, and the statistics of calls."""
    whole = [one for one in run["benchmarks"] if one["extra_info"]["part"] == "all"]
    return {
        "machine_info": {name: value for name, value in run["machine_info"].items() if name != "node"},
        "commit_info": {name: run["commit_info"].get(name) for name in ("id", "time", "dirty")},
        "benchmarks": [
            {
                "fullname": one["fullname"],
                "extra_info": {n: v for n, v in one["extra_info"].items() if n != "moments" and v is not None},
                "stats": {name: one["stats"][name] for name in ("median", "iqr")},
            }
            for one in whole
        ],
        "datetime": run["datetime"],
        "version": run["version"],
        "gradperf": run["gradperf"],
    }


def short(value: Any) -> Any:
    """Return JSON with six digits of each number, and the last part of each path."""
    match value:
        case float():
            return float(f"{value:.6g}")
        case str():
            return _PATH.sub(lambda path: path[1], value)
        case Mapping():
            return {name: short(inner) for name, inner in value.items()}
        case list():
            return [short(inner) for inner in value]
    return value


if __name__ == "__main__":
    stored = json.loads(Path(sys.argv[1]).read_bytes())
    unseen = {name: {} for name in ("gradients", "weights", "result") if name in stored}
    kept = slim(stored) if "benchmarks" in stored else stored | unseen
    Path(sys.argv[2]).write_text(json.dumps(short(kept), ensure_ascii=False, separators=(",", ":")) + "\n")
