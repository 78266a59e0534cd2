"""Writes the page."""

from collections.abc import Sequence

from gradperf.stability.runs import Run


def markdown(runs: Sequence[Run]) -> str:
    """Return the page as Markdown."""
    return f"# Stored runs\n\n{len(runs)} runs.\n"
