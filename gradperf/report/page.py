"""Writes the page from a template. It is one file: styles, script and data are in it, and it asks for nothing."""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradperf.errors import UserError
from gradperf.report.data import Report

if TYPE_CHECKING:
    import jinja2

_HERE = Path(__file__).parent


def html(report: Report, command: str) -> str:
    """Return the page of a report; ``command`` made it. Raises UserError without the extra."""
    return _rendered("page.html", report=report, command=command)


def _rendered(template: str, report: Report, **facts: Any) -> str:
    environment = _environment()
    assets = {name: (_HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js")}
    data = asdict(report)
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    return environment.get_template(template).render(
        data=data, report=report, css=assets["page.css"], js=assets["page.js"], now=now, **facts
    )


def _environment() -> "jinja2.Environment":
    try:
        import jinja2
    except ImportError:
        raise UserError("the report needs jinja2: pip install 'gradperf[report]'") from None
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {
        "sort_keys": False,
        "separators": (",", ":"),
        "ensure_ascii": False,
    }
    return environment
