"""Explains a name: ``gradperf.explain``."""

from gradperf.commands import explain as command
from gradperf.text.table import Terminal


class Explanation(str):
    """A text that a notebook shows as it is, not as the value of a string."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Return the text itself."""
        return str(self)


def explain(name: str = "") -> Explanation:
    """Return what a style, problem, column, verdict or exit code is; without a name, what can be explained.

    Raises ``gradperf.errors.UnknownName`` with the nearest names.
    """
    return Explanation("\n".join(command.lines(name, Terminal.of_output())))
