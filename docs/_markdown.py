"""A hook of mkdocs: reads the pages as GitHub does, so that each page is written once, for both.

- A link to a file outside of ``docs/`` leads to that file in the repository.
- What belongs to an item of a list stands below its text. Python-Markdown wants it four columns to the right.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.plugins import get_plugin_logger

_LOG = get_plugin_logger("gradperf")
_OUTWARD = re.compile(r"\]\((\.\./[^)#\s]+)")
_ITEM = re.compile(r"(- |\d+\. )")
_COLUMNS = 4


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """Return the text of a page as mkdocs reads it."""
    folder = posixpath.dirname(page.file.src_uri)
    root = Path(config.config_file_path).parent

    def outward(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join("docs", folder, link[1]))
        if path.startswith("docs/"):
            return link[0]
        if not (root / path).exists():
            _LOG.warning(f"{page.file.src_uri} links to {path}, which does not exist")
        return f"]({config.extra['source']}{path}"

    return indented(_OUTWARD.sub(outward, markdown))


def indented(markdown: str) -> str:
    """Move what belongs to an item of a list to the fourth column."""
    lines, more, fenced = [], "", False
    for line in markdown.splitlines():
        fenced ^= line.startswith("```")
        item = None if fenced else _ITEM.match(line)
        if item:
            more = " " * (_COLUMNS - len(item[0]))
        elif line and not line.startswith(" "):
            more = ""
        lines.append(line if item or not line else more + line)
    return "\n".join(lines) + "\n"
