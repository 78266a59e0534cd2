"""Reads the kernel's files below /proc and /sys."""

from pathlib import Path

ROOT = Path("/")
"""The folder that contains them; tests use another one."""


def read(file: Path) -> str:
    """Return the text of ``file``; empty if it cannot be read."""
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""
