"""Reads the size of this machine's memory."""

import os


def memory_bytes() -> int | None:
    """Return the size of the physical memory."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        return None
