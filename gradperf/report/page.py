"""Writes a page from a template. It is one file: styles, script and data are in it, and it asks for nothing."""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradperf.errors import UserError
from gradperf.report.data import Report
from gradperf.report.gate import GatePage

if TYPE_CHECKING:
    import jinja2

_HERE = Path(__file__).parent


def html(report: Report, command: str) -> str:
    """Return the page of recorded runs; ``command`` made it. Raises UserError without the extra."""
    environment = _environment()
    return _rendered(
        environment, "page.html", data=asdict(report), report=report, command=command, js=_asset("page.js")
    )


def gate_html(page: GatePage) -> str:
    """Return the page of a run of the gate. Raises UserError without the extra."""
    return _rendered(_environment(), "gate.html", page=page)


def check_can_render() -> None:
    """Raise UserError without the extra, before any work is done."""
    _environment()


def _asset(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _rendered(environment: "jinja2.Environment", template: str, **facts: Any) -> str:
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    return environment.get_template(template).render(css=_asset("page.css"), now=now, **facts)


def _environment() -> "jinja2.Environment":
    try:
        import jinja2
    except ImportError:
        raise UserError("a page needs jinja2: pip install 'gradperf[report]'") from None
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
