"""Patterns in which ``*`` stands for any characters, and every other character for itself."""

import re


def means(pattern: str, text: str) -> bool:
    """Return whether ``text`` is what ``pattern`` means, as a whole. Brackets are common in the ids of tests."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text, re.DOTALL) is not None
